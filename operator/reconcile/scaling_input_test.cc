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
  auto snapshot = broker_snapshot_of(cluster, answer, 3, "", 1000);
  EXPECT_NE(snapshot.busy.find("no other broker has room"), std::string::npos) << snapshot.busy;
  autoscale::BrokerMemory memory;
  auto decision = autoscale::decide_brokers({}, snapshot, memory);
  EXPECT_EQ(decision.action, autoscale::BrokerAction::kNone);
  EXPECT_EQ(decision.reason, "Busy");
  EXPECT_EQ(decision.brokers, 3);
}

TEST(ScalingInput, ARestartKnowsTheLastStepAndWhetherABrokerHelped) {
  const int64_t wall_ms = 1'800'000'000'000, now_ms = 5'000'000;
  api::StreamClusterStatus status;
  auto memory = broker_memory_of(status, now_ms, wall_ms);
  EXPECT_FALSE(memory.trial);
  EXPECT_EQ(memory.last_step_ms, -1);
  status.decisions = {
      {.time = api::rfc3339(wall_ms - 5'000), .action = "None", .reason = "CoolingDown"},
      {.time = api::rfc3339(wall_ms - 60'000), .action = "DrainBroker", .reason = "BrokersIdle"},
      {.time = api::rfc3339(wall_ms - 900'000),
       .action = "AddBroker",
       .reason = "ProduceSlow",
       .inputs = {{"trialLoad", "55%"}, {"produceP99Milliseconds", "48"}}}};
  memory = broker_memory_of(status, now_ms, wall_ms);
  EXPECT_EQ(memory.last_step_ms, now_ms - 60'000);
  ASSERT_TRUE(memory.trial);
  EXPECT_DOUBLE_EQ(memory.trial->first_load, 0.55);
  EXPECT_DOUBLE_EQ(memory.trial->p99_ms, 48);
}

TEST(ScalingInput, LooksThatDoNothingPushNoStepOut) {
  std::vector<api::Decision> decisions;
  add_broker_decision(decisions, {.time = "0", .action = "AddBroker"});
  for (int i = 1; i < 100; i++) {
    add_broker_decision(decisions, {.time = std::to_string(i), .action = "None"});
  }
  EXPECT_EQ(decisions.size(), api::StreamClusterStatus::kDecisionsMax);
  EXPECT_EQ(decisions.front().time, "99");
  EXPECT_EQ(decisions.back().action, "AddBroker");
  for (int i = 0; i < 100; i++) add_broker_decision(decisions, {.action = "DrainBroker"});
  EXPECT_EQ(decisions.size(), api::StreamClusterStatus::kDecisionsMax);
  EXPECT_EQ(decisions.back().action, "DrainBroker");
}

// spec.brokers was written, the broker is not there yet, and another operator has taken over.
TEST(ScalingInput, AnOperatorThatEndsAfterAStepIsFollowedByOneThatWaitsForIt) {
  const int64_t wall_ms = 1'800'000'000'000;
  int64_t now_ms = 5'000'000;
  api::StreamCluster cluster;
  cluster.spec.brokers = 4;
  cluster.status.brokers = 3;
  cluster.status.conditions = {{"Ready", "True", "AllReady", "", "", 0}};
  cluster.status.decisions = {{.time = api::rfc3339(wall_ms - 20'000), .action = "AddBroker"}};
  LoadAnswer answer;
  for (int id = 0; id < 3; id++) {
    auto pod = "c-" + std::to_string(id);
    cluster.status.broker_states.push_back({.id = id, .pod = pod});
    answer.brokers[pod].used[0] = 0.95;
  }
  autoscale::BrokerPolicy policy{.brokers_min = 3, .brokers_max = 9};
  auto memory = broker_memory_of(cluster.status, now_ms, wall_ms);
  auto look = [&] {
    return autoscale::decide_brokers(
        policy, broker_snapshot_of(cluster, answer, 3, "", now_ms += 5000), memory);
  };
  EXPECT_EQ(look().reason, "Busy");
  cluster.status.brokers = 4;
  cluster.status.broker_states.push_back({.id = 3, .pod = "c-3"});
  answer.brokers["c-3"].used[0] = 0.95;
  int looks = 0;
  for (; look().action == autoscale::BrokerAction::kNone; looks++) ASSERT_LT(looks, 1000);
  EXPECT_GE(looks * 5000, policy.cooldown_ms - 20'000 - 10'000);  // of the step before it
}

TEST(ScalingInput, LagAndWaitsReachThePlanners) {
  LoadAnswer answer;
  answer.lags["clicks"].growing = {0};
  answer.brokers["c-0"].used[0] = 0.1;
  answer.brokers["c-0"].produce_p99_ms = 7;
  sluice::v1::ShardMap map;
  map.add_shards()->set_state(sluice::v1::SHARD_STATE_OPEN);
  EXPECT_EQ(snapshot_of(map, "clicks", answer, 1, 1).lag->growing, std::set<int32_t>{0});
  EXPECT_FALSE(snapshot_of(map, "other", answer, 1, 1).lag);
  api::StreamCluster cluster;
  cluster.spec.brokers = cluster.status.brokers = 1;
  cluster.status.broker_states = {{.id = 0, .pod = "c-0", .zone = "z"}};
  auto snapshot = broker_snapshot_of(cluster, answer, 1, "", 1000);
  EXPECT_EQ(snapshot.brokers.at(0).produce_p99_ms, 7);
  EXPECT_EQ(snapshot.brokers.at(0).zone, "z");
  EXPECT_TRUE(snapshot.lags.contains("clicks"));
  EXPECT_EQ(broker_policy_of({.produce_p99_milliseconds = 40}).produce_p99_ms, 40);
}

TEST(ScalingInput, ABrokerWithoutMetricsStopsDecisionsAboutBrokers) {
  api::StreamCluster cluster;
  cluster.spec.brokers = cluster.status.brokers = 2;
  cluster.status.broker_states = {{.id = 0, .pod = "c-0"}, {.id = 1, .pod = "c-1"}};
  LoadAnswer answer;
  answer.brokers["c-0"].used[0] = 0.1;
  auto snapshot = broker_snapshot_of(cluster, answer, 1, "", 1000);
  EXPECT_EQ(snapshot.problem, "c-1 has no metrics");
  autoscale::BrokerMemory memory;
  EXPECT_EQ(autoscale::decide_brokers({}, snapshot, memory).action, autoscale::BrokerAction::kNone);
}

}  // namespace
}  // namespace sluice_operator::reconcile
