// What is seen becomes what users read: counts, states, conditions with reasons.
#include "operator/reconcile/status.h"

#include <gtest/gtest.h>

namespace sluice_operator::reconcile {
namespace {

const std::string kNow = "2026-01-31T08:00:00Z";

ClusterSight three_brokers(int ready) {
  ClusterSight sight;
  sight.replicas = 3;
  sight.view.loaded = true;
  for (int i = 0; i < 3; i++) {
    PodView pod;
    pod.broker = i;
    pod.name = "q-" + std::to_string(i);
    pod.ready = i < ready;
    pod.updated = true;
    sight.pods.push_back(pod);
    broker::coordination::BrokerView broker;
    broker.broker.set_id(i);
    broker.broker.set_alive(i < ready);
    broker.replicas = 4;
    sight.view.brokers.push_back(broker);
  }
  return sight;
}

api::StreamCluster cluster() {
  api::StreamCluster c;
  c.metadata.ns = "default";
  c.metadata.name = "q";
  c.metadata.generation = 7;
  return c;
}

TEST(ClusterStatus, ReadyWhenAllAreAndSaysWhyNot) {
  auto status = cluster_status(cluster(), three_brokers(3), kNow);
  EXPECT_EQ(api::find_condition(status.conditions, "Ready")->status, "True");
  EXPECT_EQ(status.observed_generation, 7);
  EXPECT_EQ(status.ready_brokers, 3);
  auto sight = three_brokers(2);
  sight.pods[2].waiting = "ImagePullBackOff";
  status = cluster_status(cluster(), sight, kNow);
  const auto* ready = api::find_condition(status.conditions, "Ready");
  EXPECT_EQ(ready->status, "False");
  EXPECT_NE(ready->message.find("ImagePullBackOff"), std::string::npos);
  EXPECT_EQ(api::find_condition(status.conditions, "Degraded")->status, "True");
  EXPECT_EQ(status.broker_states[2].state, "Down");
}

TEST(ClusterStatus, DrainingBrokersAreShownAndCounted) {
  auto sight = three_brokers(3);
  sight.draining = {2};
  sight.view.draining[2] = {4, 1, ""};
  auto status = cluster_status(cluster(), sight, kNow);
  EXPECT_EQ(status.broker_states[2].state, "Draining");
  EXPECT_EQ(status.rebalance.state, "Running");
  EXPECT_EQ(status.rebalance.moves_total, 4);
  EXPECT_FALSE(drained(sight.view, sight.draining));
  sight.view.draining[2] = {0, 0, ""};
  EXPECT_TRUE(drained(sight.view, sight.draining));
}

TEST(StreamStatus, CountsShardsAndNamesProblems) {
  api::Stream stream;
  StreamView view;
  view.known = true;
  auto* open = view.map.add_shards();
  open->set_state(sluice::v1::SHARD_STATE_OPEN);
  view.map.add_shards()->set_state(sluice::v1::SHARD_STATE_CLOSED);
  auto status = stream_status(stream, view, kNow);
  EXPECT_EQ(status.open_shards, 1);
  EXPECT_EQ(status.closed_shards, 1);
  EXPECT_EQ(api::find_condition(status.conditions, "Ready")->reason, "ShardsWithoutLeader");
  open->set_leader(0);
  EXPECT_EQ(api::find_condition(stream_status(stream, view, kNow).conditions, "Ready")->status,
            "True");
  view.problem = "replication 5 needs 5 brokers";
  EXPECT_EQ(api::find_condition(stream_status(stream, view, kNow).conditions, "Ready")->reason,
            "Invalid");
}

}  // namespace
}  // namespace sluice_operator::reconcile
