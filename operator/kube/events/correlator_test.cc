// Few Events for much that happens: counts, combination, and a limit per object.
#include "operator/kube/events/correlator.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace sluice_operator::kube {
namespace {

Happening happening(const std::string& message, const std::string& uid = "u1") {
  return {{"ns", "orders"}, uid, "sluice.dev/v1alpha1", "Stream", EventType::kNormal, "ShardSplit",
          message};
}

TEST(EventCorrelator, TheSameAgainRaisesTheCount) {
  EventCorrelator correlator("sluice-operator", "pod-1");
  auto first = correlator.record(happening("split 3"), 0, 1'700'000'000'000);
  ASSERT_TRUE(first && first->create);
  EXPECT_EQ((*first->body)["involvedObject"]["name"], "orders");
  EXPECT_EQ((*first->body)["firstTimestamp"], "2023-11-14T22:13:20Z");
  auto second = correlator.record(happening("split 3"), 1'000, 1'700'000'001'000);
  ASSERT_TRUE(second && !second->create);
  EXPECT_EQ(second->key, first->key);
  EXPECT_EQ((*second->body)["count"], 2);
  EXPECT_EQ((*second->body)["lastTimestamp"], "2023-11-14T22:13:21Z");
  correlator.forget(first->key);
  EXPECT_TRUE(correlator.record(happening("split 3"), 2'000, 1'700'000'002'000)->create);
}

TEST(EventCorrelator, ManySimilarOnesBecomeOne) {
  EventCorrelator correlator("c", "i");
  for (size_t i = 0; i < EventCorrelator::kSimilarMax; ++i) {
    EXPECT_TRUE(correlator.record(happening("split " + std::to_string(i)), 1, 1)->create);
  }
  auto eleventh = correlator.record(happening("split 11"), 1, 1);
  ASSERT_TRUE(eleventh->create);
  EXPECT_EQ((*eleventh->body)["message"], "(combined from similar events): split 11");
  EXPECT_FALSE(correlator.record(happening("split 12"), 1, 1)->create);
}

TEST(EventCorrelator, AFloodIsSilencedPerObject) {
  EventCorrelator correlator("c", "i");
  for (int64_t i = 0; i < EventCorrelator::kBurst; ++i) {
    EXPECT_TRUE(correlator.record(happening("same"), 5, 5));
  }
  EXPECT_FALSE(correlator.record(happening("same"), 5, 5));
  EXPECT_TRUE(correlator.record(happening("same", "u2"), 5, 5));
  EXPECT_TRUE(correlator.record(happening("same"), 5 + EventCorrelator::kRefillMs, 5));
  EXPECT_FALSE(correlator.record(happening("same"), 6 + EventCorrelator::kRefillMs, 5));
}

TEST(EventCorrelator, LongMessagesAreCutBetweenCharacters) {
  EventCorrelator correlator("c", "i");
  auto event = correlator.record(happening(std::string(1023, 'x') + "ä"), 0, 0);
  EXPECT_EQ((*event->body)["message"].get<std::string>().size(), 1023u);
}

}  // namespace
}  // namespace sluice_operator::kube
