// What the planners are given: policies from resources, and what survives an operator's restart.
#include "operator/reconcile/scaling_input.h"

#include <gtest/gtest.h>

namespace sluice_operator::reconcile {
namespace {

TEST(ScalingInput, PartitionsHaveAPolicyOfTheirOwn) {
  api::StreamClusterSpec cluster;
  cluster.limits.shard_write_bytes_per_second = 5 << 20;
  api::StreamSpec stream;
  stream.partition_scaling =
      api::StreamSpec::PartitionScaling{.max_partitions = 24, .accept_key_movement = true};
  auto policy = policy_of(cluster, stream);
  EXPECT_TRUE(policy.partitioned);
  EXPECT_EQ(policy.shards_max, 24);
  EXPECT_DOUBLE_EQ(policy.target, 0.7);
  EXPECT_EQ(policy.scale_up_after_ms, 300'000);
  EXPECT_EQ(policy.cooldown_ms, 3600'000);
  EXPECT_DOUBLE_EQ(policy.shard_bytes_per_s, 5 << 20);
  stream.partition_scaling.reset();
  stream.autoscaling.emplace();
  EXPECT_FALSE(policy_of(cluster, stream).partitioned);
}

TEST(ScalingInput, ARestartDoesNotCutACoolDownShort) {
  api::Stream stream;
  const int64_t wall_ms = 1'800'000'000'000, now_ms = 5'000'000;
  EXPECT_EQ(last_growth_of(stream, now_ms, wall_ms), -1);
  stream.status.decisions.push_back({.time = api::rfc3339(wall_ms - 10'000), .action = "None"});
  stream.status.decisions.push_back(
      {.time = api::rfc3339(wall_ms - 60'000), .action = "AddPartitions"});
  stream.status.decisions.push_back(
      {.time = api::rfc3339(wall_ms - 900'000), .action = "AddPartitions"});
  EXPECT_EQ(last_growth_of(stream, now_ms, wall_ms), now_ms - 60'000);
  // It was before this machine started: as long ago as can be told.
  EXPECT_EQ(last_growth_of(stream, 1000, wall_ms), 0);
}

TEST(ScalingInput, ADrainThatCannotFinishIsWhyNothingElseIsDone) {
  api::StreamCluster cluster;
  cluster.spec.brokers = 3;
  cluster.status.brokers = 4;  // the fourth is being drained
  cluster.status.rebalance.state = "Blocked";
  cluster.status.rebalance.message = "broker 3 still holds clicks/0: no other broker has room";
  LoadAnswer answer;
  for (int i = 0; i < 3; i++) {
    auto pod = "c-" + std::to_string(i);
    cluster.status.broker_states.push_back({.id = i, .pod = pod});
    answer.brokers[pod].used[0] = 0.95;
  }
  auto snapshot = broker_snapshot_of(cluster, answer, 3, 1000);
  EXPECT_NE(snapshot.busy.find("no other broker has room"), std::string::npos) << snapshot.busy;
  autoscale::BrokerMemory memory;
  auto decision = autoscale::decide_brokers({}, snapshot, memory);
  EXPECT_EQ(decision.action, autoscale::BrokerAction::kNone);
  EXPECT_EQ(decision.reason, "Busy");
  EXPECT_EQ(decision.brokers, 3);
}

TEST(ScalingInput, ABrokerWithoutMetricsStopsDecisionsAboutBrokers) {
  api::StreamCluster cluster;
  cluster.spec.brokers = cluster.status.brokers = 2;
  cluster.status.broker_states = {{.id = 0, .pod = "c-0"}, {.id = 1, .pod = "c-1"}};
  LoadAnswer answer;
  answer.brokers["c-0"].used[0] = 0.1;
  auto snapshot = broker_snapshot_of(cluster, answer, 1, 1000);
  EXPECT_EQ(snapshot.problem, "c-1 has no metrics");
  autoscale::BrokerMemory memory;
  EXPECT_EQ(autoscale::decide_brokers({}, snapshot, memory).action, autoscale::BrokerAction::kNone);
}

}  // namespace
}  // namespace sluice_operator::reconcile
