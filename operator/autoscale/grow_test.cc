// Partitions of a topic only grow, seldom and by enough, and never because of keys that more
// partitions would not help.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "operator/autoscale/decide.h"

namespace sluice_operator::autoscale {
namespace {

using testing::HasSubstr;

constexpr double kMiB = 1 << 20;

class Topic {
 public:
  explicit Topic(int partitions) : loads(static_cast<size_t>(partitions), 0.1) {
    policy.partitioned = true;
    policy.shards_max = 64;
    policy.target = 0.7;
    policy.scale_up_after_ms = 300'000;
  }
  Decision look(double after_s = 5) {
    now_ms += static_cast<int64_t>(after_s * 1000);
    Snapshot snapshot;
    snapshot.now_ms = snapshot.wall_ms = now_ms;
    for (size_t i = 0; i < loads.size(); i++) {
      ShardLoad load;
      load.shard = static_cast<int32_t>(i);
      load.bytes_per_s = loads[i] * kMiB;
      load.records_per_s = 1;
      if (i == 0) load.hot_key = hot_key;
      snapshot.open_shards.push_back(load);
    }
    snapshot.problem = problem;
    return decide(policy, snapshot, memory);
  }
  Decision look_for(double seconds) {
    Decision last;
    for (double t = 0; t < seconds && last.action == Action::kNone; t += 5) last = look();
    return last;
  }

  std::vector<double> loads;
  std::optional<HotKey> hot_key;
  std::string problem;
  Policy policy;
  Memory memory;
  int64_t now_ms = 1'000'000;
};

TEST(Partitions, GrowWhenOneHasBeenAboveTheTargetForLongEnough) {
  Topic topic(4);
  EXPECT_EQ(topic.look_for(60).reason, "WithinTarget");
  topic.loads.assign(4, 1.05);
  auto began = topic.now_ms;
  EXPECT_EQ(topic.look_for(200).reason, "Stabilising");
  auto decision = topic.look_for(400);
  ASSERT_EQ(decision.action, Action::kGrow);
  EXPECT_EQ(decision.reason, "PartitionsFull");
  EXPECT_GE(topic.now_ms - began, 300'000);
  EXPECT_EQ(decision.operations.at(0).partitions, 8);  // 4.2 / (0.7 * 0.75)
  EXPECT_THAT(decision.message, HasSubstr("keys move"));
  EXPECT_EQ(decision.inputs.at("partitions"), "4");
}

TEST(Partitions, NeverShrinkAndNeverSplitOrMerge) {
  Topic topic(6);
  for (int hour = 0; hour < 3; hour++) EXPECT_EQ(topic.look_for(3600).action, Action::kNone);
}

TEST(Partitions, GrowAgainOnlyAfterTheCoolDown) {
  Topic topic(2);
  topic.loads.assign(2, 1.0);
  auto first = topic.look_for(900);
  ASSERT_EQ(first.action, Action::kGrow);
  auto grown_ms = topic.now_ms;
  topic.loads.assign(static_cast<size_t>(first.operations[0].partitions), 1.0);  // it grew as well
  EXPECT_EQ(topic.look_for(1800).reason, "CoolingDown");
  auto second = topic.look_for(3600);
  EXPECT_EQ(second.action, Action::kGrow);
  EXPECT_GE(topic.now_ms - grown_ms, topic.policy.cooldown_ms);
}

TEST(Partitions, BoundsHold) {
  Topic topic(4);
  topic.policy.shards_max = 5;
  topic.loads.assign(4, 2.0);
  auto decision = topic.look_for(900);
  ASSERT_EQ(decision.action, Action::kGrow);
  EXPECT_EQ(decision.operations[0].partitions, 5);
  topic.policy.shards_max = 4;
  topic.memory = {};
  EXPECT_EQ(topic.look_for(900).reason, "AtMaximum");
}

TEST(Partitions, UnevenKeysAreNamedAndMoveNothing) {
  Topic topic(8);
  topic.loads[0] = 1.2;  // the others 0.1
  auto decision = topic.look_for(3600);
  EXPECT_EQ(decision.action, Action::kNone);
  EXPECT_EQ(decision.reason, "UnevenKeys");
  EXPECT_THAT(decision.message, HasSubstr("partition 0"));
  topic.hot_key = HotKey{"user-17", 1, 0.95};
  decision = topic.look_for(60);
  EXPECT_EQ(decision.reason, "HotKey");
  EXPECT_THAT(decision.message, HasSubstr("user-17"));
}

TEST(Partitions, DryRunRecommendsAndFreezeStopsAndBadFiguresDecideNothing) {
  Topic topic(4);
  topic.policy.mode = Mode::kDryRun;
  topic.loads.assign(4, 1.0);
  auto decision = topic.look_for(900);
  EXPECT_TRUE(decision.recommended_only);
  topic.policy.mode = Mode::kFrozen;
  EXPECT_EQ(topic.look().reason, "Frozen");
  topic.policy.mode = Mode::kAuto;
  topic.problem = "Prometheus is away";
  EXPECT_THAT(topic.look().message, HasSubstr("nothing is decided"));
}

}  // namespace
}  // namespace sluice_operator::autoscale
