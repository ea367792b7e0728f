// Clients are counted together where their quota says so, and apart where it does not.
#include "broker/quotas/client_quotas.h"

#include <gtest/gtest.h>

namespace broker::quotas {
namespace {

class TestClock : public env::Clock {
 public:
  int64_t mono_ms() const override { return now_ms; }
  int64_t mono_us() const override { return now_ms * 1000; }
  int64_t wall_ms() const override { return now_ms; }
  int64_t now_ms = 1'000'000;
};

class ClientQuotasTest : public testing::Test {
 protected:
  void set(std::optional<std::string> user, std::optional<std::string> client_id,
           const std::string& key, double value) {
    sluice::v1::AlterClientQuotas change;
    auto add = [&](const char* type, const std::optional<std::string>& name) {
      if (!name) return;
      auto* part = change.add_entity();
      part->set_type(type);
      if (*name != "<default>") part->set_name(*name);
    };
    add(kUser, user);
    add(kClientId, client_id);
    change.add_ops()->set_key(key);
    change.mutable_ops(0)->set_value(value);
    ASSERT_TRUE(check_change(change, nullptr).ok());
    apply(change, all_);
    quotas.update(all_);
  }

  TestClock clock;
  Metrics metrics;
  ClientQuotas quotas{clock, metrics};

 private:
  sluice::v1::ClientQuotas all_;
};

constexpr Quota kIn = Quota::kProducerByteRate;

TEST_F(ClientQuotasTest, WithoutAQuotaNobodyPauses) {
  EXPECT_EQ(quotas.record(kIn, {"alice", "app"}, 1e12), 0);
  EXPECT_EQ(quotas.bytes_max(kIn, {"alice", "app"}), INT64_MAX);
  set("bob", std::nullopt, "producer_byte_rate", 1);
  EXPECT_EQ(quotas.record(kIn, {"alice", "app"}, 1e12), 0);
}

TEST_F(ClientQuotasTest, AUsersClientsShareItsQuota) {
  set("alice", std::nullopt, "producer_byte_rate", 1000);
  EXPECT_EQ(quotas.record(kIn, {"alice", "a"}, 10'000), 0);
  EXPECT_EQ(quotas.record(kIn, {"alice", "b"}, 1000), 1000);
  EXPECT_EQ(quotas.refusal_ms(kIn, {"alice", "c"}), 1000);
  EXPECT_EQ(quotas.refusal_ms(kIn, {"bob", "a"}), 0);
  clock.now_ms += 1000;
  EXPECT_EQ(quotas.refusal_ms(kIn, {"alice", "c"}), 0);
}

// The rate is measured over eleven seconds: refusing by it turned a pause of one into eleven.
TEST_F(ClientQuotasTest, ARefusalEndsWithThePause) {
  set("alice", std::nullopt, "consumer_byte_rate", 1000);
  constexpr Quota kOut = Quota::kConsumerByteRate;
  EXPECT_EQ(quotas.record(kOut, {"alice", ""}, 12'000), 2000);
  clock.now_ms += 1999;
  EXPECT_EQ(quotas.refusal_ms(kOut, {"alice", ""}), 1);
  clock.now_ms += 1;
  EXPECT_EQ(quotas.refusal_ms(kOut, {"alice", ""}), 0);
  EXPECT_GT(quotas.record(kOut, {"alice", ""}, 1), 0) << "and what comes then is counted";
  EXPECT_GT(quotas.refusal_ms(kOut, {"alice", ""}), 0);
  set("alice", std::nullopt, "consumer_byte_rate", 100'000);
  EXPECT_EQ(quotas.refusal_ms(kOut, {"alice", ""}), 0) << "a quota that is raised ends pauses";
}

TEST_F(ClientQuotasTest, EachUserHasItsOwnDefaultQuota) {
  set("<default>", std::nullopt, "producer_byte_rate", 1000);
  EXPECT_GT(quotas.record(kIn, {"alice", ""}, 20'000), 0);
  EXPECT_EQ(quotas.record(kIn, {"bob", ""}, 10'000), 0);
  EXPECT_GT(quotas.record(kIn, {"", ""}, 20'000), 0);  // ANONYMOUS
}

TEST_F(ClientQuotasTest, AnonymousIsAUserLikeInKafka) {
  set("ANONYMOUS", std::nullopt, "producer_byte_rate", 1);
  EXPECT_GT(quotas.record(kIn, {"", "x"}, 1000), 0);
}

TEST_F(ClientQuotasTest, AClientIdIsSharedByUsersOnTheLowestLevels) {
  set(std::nullopt, "app", "producer_byte_rate", 1000);
  EXPECT_EQ(quotas.record(kIn, {"alice", "app"}, 10'000), 0);
  EXPECT_EQ(quotas.record(kIn, {"bob", "app"}, 1000), 1000);
}

TEST_F(ClientQuotasTest, WorkIsAPercentageAndThePauseOneWindowAtMost) {
  set("alice", std::nullopt, "request_percentage", 1);
  EXPECT_EQ(quotas.record_work({"alice", ""}, 100'000), 0);  // 0.1 s in 10 s: 1 %
  EXPECT_EQ(quotas.record_work({"alice", ""}, 900'000), 1000);
}

TEST_F(ClientQuotasTest, MutationsComeInBursts) {
  constexpr Quota kMutations = Quota::kControllerMutationRate;
  set("alice", std::nullopt, "controller_mutation_rate", 1);
  EXPECT_EQ(quotas.record(kMutations, {"alice", ""}, 11), 0);
  EXPECT_EQ(quotas.record(kMutations, {"alice", ""}, 100), 100'000);
  clock.now_ms += 50'000;
  quotas.record(kMutations, {"bob", ""}, 1);
  EXPECT_EQ(quotas.refusal_ms(kMutations, {"alice", ""}), 50'000) << "a debt outlives idleness";
}

TEST_F(ClientQuotasTest, WhatIsPausedIsInTheMetrics) {
  set("alice", std::nullopt, "producer_byte_rate", 1000);
  quotas.record(kIn, {"alice", "a"}, 12'000);
  const std::string text = metrics.expose();
  EXPECT_NE(text.find("sluice_client_quotas 1"), std::string::npos) << text;
  EXPECT_NE(text.find("sluice_client_quota_throttled_requests_total{client_id=\"\",quota="
                      "\"producer_byte_rate\",user=\"alice\"} 1"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("sluice_client_quota_throttle_time_seconds_total{client_id=\"\",quota="
                      "\"producer_byte_rate\",user=\"alice\"} 2"),
            std::string::npos)
      << text;
}

TEST_F(ClientQuotasTest, AnAnswerHoldsTenWindowsAtMost) {
  set("alice", std::nullopt, "consumer_byte_rate", 1000);
  EXPECT_EQ(quotas.bytes_max(Quota::kConsumerByteRate, {"alice", ""}), 10'000);
}

}  // namespace
}  // namespace broker::quotas
