// Scaling decisions: hot shards split at their heat, cold neighbours merge, bounds and windows hold,
// and missing figures decide nothing.
#include "operator/autoscale/decide.h"

#include <gtest/gtest.h>

namespace sluice_operator::autoscale {
namespace {

using broker::coordination::HashKey;
using broker::coordination::KeyRange;
using broker::coordination::split_equally;

ShardLoad shard(int32_t index, KeyRange range, double bytes, double records) {
  ShardLoad load;
  load.shard = index;
  load.range = range;
  load.bytes_per_s = bytes;
  load.records_per_s = records;
  return load;
}

Snapshot equal_shards(int count, double bytes_each, int64_t now_ms) {
  Snapshot snapshot;
  snapshot.now_ms = now_ms;
  auto ranges = *split_equally({}, count);
  for (int i = 0; i < count; i++) {
    snapshot.open_shards.push_back(shard(i, ranges[static_cast<size_t>(i)], bytes_each, 1));
  }
  return snapshot;
}

constexpr double kMiB = 1 << 20;

TEST(Decide, AHotShardSplitsAfterItsWindowIntoWhatTheLoadAsksFor) {
  Policy policy;
  policy.scale_up_after_ms = 5000;
  Memory memory;
  EXPECT_EQ(decide(policy, equal_shards(1, 2.5 * kMiB, 0), memory).reason, "Stabilising");
  auto decision = decide(policy, equal_shards(1, 2.5 * kMiB, 5000), memory);
  EXPECT_EQ(decision.action, Action::kSplit);
  EXPECT_EQ(decision.at.size(), 3u);  // 2.5 / 0.7 -> 4 parts
  EXPECT_EQ(decision.inputs.at("openShards"), "1");
  EXPECT_NE(decision.message.find("2621440 bytes/s"), std::string::npos);
}

TEST(Decide, ABlipIsForgotten) {
  Policy policy;
  policy.scale_up_after_ms = 5000;
  Memory memory;
  decide(policy, equal_shards(1, 2 * kMiB, 0), memory);
  decide(policy, equal_shards(1, 0.1 * kMiB, 3000), memory);
  EXPECT_EQ(decide(policy, equal_shards(1, 2 * kMiB, 6000), memory).reason, "Stabilising");
}

TEST(Decide, MaximumAndMinimumHold) {
  Policy policy;
  policy.scale_up_after_ms = policy.scale_down_after_ms = 0;
  policy.shards_max = 2;
  policy.shards_min = 2;
  Memory memory;
  EXPECT_EQ(decide(policy, equal_shards(2, 9 * kMiB, 0), memory).reason, "AtMaximum");
  EXPECT_EQ(decide(policy, equal_shards(2, 0, 1000), memory).reason, "WithinTarget");
  policy.shards_max = 3;
  auto decision = decide(policy, equal_shards(2, 9 * kMiB, 2000), memory);
  EXPECT_EQ(decision.at.size(), 1u);  // room for one more only
}

TEST(Decide, ColdNeighboursMergeAfterTheirWindow) {
  Policy policy;
  policy.scale_down_after_ms = 20'000;
  Memory memory;
  EXPECT_EQ(decide(policy, equal_shards(4, 0, 0), memory).action, Action::kNone);
  auto decision = decide(policy, equal_shards(4, 0, 20'000), memory);
  EXPECT_EQ(decision.action, Action::kMerge);
  EXPECT_EQ(decision.shards, (std::vector<int32_t>{0, 1}));
}

TEST(Decide, MissingFiguresDecideNothingAndForgetTheWindows) {
  Policy policy;
  policy.scale_up_after_ms = 1000;
  Memory memory;
  decide(policy, equal_shards(2, 2 * kMiB, 0), memory);
  auto missing = equal_shards(2, 2 * kMiB, 900);
  missing.open_shards[1].bytes_per_s.reset();
  EXPECT_EQ(decide(policy, missing, memory).reason, "MetricsMissing");
  EXPECT_EQ(decide(policy, equal_shards(2, 2 * kMiB, 1100), memory).reason, "Stabilising");
  auto busy = equal_shards(2, 2 * kMiB, 9000);
  busy.resharding = true;
  EXPECT_EQ(decide(policy, busy, memory).reason, "Resharding");
}

TEST(Cuts, FollowTheHeat) {
  ShardLoad load;
  load.heat[15] = 100;  // everything in the last sixteenth
  auto at = cuts(load, 2);
  ASSERT_EQ(at.size(), 1u);
  EXPECT_GT(at[0], HashKey{15} << 124);
  load.heat = {};
  at = cuts(load, 2);
  ASSERT_EQ(at.size(), 1u);
  EXPECT_EQ(at[0], HashKey{1} << 127);
  load.range = {5, 6};
  EXPECT_EQ(cuts(load, 2), (std::vector<HashKey>{6}));
}

}  // namespace
}  // namespace sluice_operator::autoscale
