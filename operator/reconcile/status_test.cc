// What is seen becomes what users read: counts, states, conditions with reasons.
#include "operator/reconcile/status.h"

#include <gtest/gtest.h>

#include "operator/reconcile/stream.h"

namespace sluice_operator::reconcile {
namespace {

const std::string kNow = "2026-01-31T08:00:00Z";

ClusterSight three_brokers(int ready) {
  ClusterSight sight;
  sight.replicas = 3;
  sight.wanted_hash = "wanted";
  sight.view.loaded = true;
  for (int i = 0; i < 3; i++) {
    PodView pod;
    pod.broker = i;
    pod.name = "q-" + std::to_string(i);
    pod.ready = i < ready;
    pod.hash = "wanted";
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
  sight.pods[2].broken = "ImagePullBackOff";
  status = cluster_status(cluster(), sight, kNow);
  const auto* ready = api::find_condition(status.conditions, "Ready");
  EXPECT_EQ(ready->status, "False");
  EXPECT_NE(ready->message.find("ImagePullBackOff"), std::string::npos);
  EXPECT_EQ(api::find_condition(status.conditions, "Degraded")->status, "True");
  EXPECT_EQ(status.broker_states[2].state, "Down");
}

// Seen on a real cluster: "nothing is broken" while a broker's node was gone, and while a pod waited for a
// Secret that somebody had deleted.
TEST(ClusterStatus, SaysWhatABrokerThatIsAwayWaitsFor) {
  auto told = [](const api::StreamCluster& of, const ClusterSight& sight, const char* now) {
    const auto conditions = cluster_status(of, sight, now).conditions;
    const auto* degraded = api::find_condition(conditions, "Degraded");
    return degraded->status == "True" ? degraded->message : "";
  };
  auto sight = three_brokers(2);
  EXPECT_EQ(told(cluster(), sight, kNow.c_str()), "");
  sight.pods[2].lost = "its node 'n2' is not ready";
  EXPECT_EQ(told(cluster(), sight, kNow.c_str()), "q-2: its node 'n2' is not ready");
  sight.pods[2].lost.clear();
  sight.pods[2].creating = true;
  auto later = cluster();
  later.status = cluster_status(later, sight, kNow);
  EXPECT_EQ(told(later, sight, "2026-01-31T08:00:20Z"), "") << "pods take their time";
  EXPECT_EQ(told(later, sight, "2026-01-31T08:00:31Z"),
            "q-2: its container cannot be created: see `kubectl describe pod q-2`");
  sight.pods.pop_back();
  EXPECT_EQ(told(later, sight, "2026-01-31T08:00:20Z"), "");
  EXPECT_EQ(told(later, sight, "2026-01-31T08:00:31Z"),
            "q-2: there is no such pod: see `kubectl describe statefulset q`");
}

// Seen on a real cluster: a volume claim that somebody had deleted was shown nowhere, until its broker
// restarted and was empty.
TEST(ClusterStatus, AVolumeThatGoesWithItsPodIsTold) {
  auto sight = three_brokers(3);
  sight.claims_deleting[1] = "data-q-1";
  const auto conditions = cluster_status(cluster(), sight, kNow).conditions;
  EXPECT_EQ(api::find_condition(conditions, "Ready")->status, "True");
  const auto* degraded = api::find_condition(conditions, "Degraded");
  EXPECT_EQ(degraded->status, "True");
  EXPECT_NE(degraded->message.find("data-q-1"), std::string::npos) << degraded->message;
}

// A fleet whose brokers are all awaited would be looked at every other second for nothing.
TEST(ClusterStatus, NothingMovesWhileNoBrokerIsThere) {
  EXPECT_TRUE(moving(cluster_status(cluster(), three_brokers(2), kNow)));
  EXPECT_FALSE(moving(cluster_status(cluster(), three_brokers(0), kNow)));
  EXPECT_FALSE(moving(cluster_status(cluster(), three_brokers(3), kNow)));
}

TEST(ClusterStatus, DrainingBrokersAreShownAndCounted) {
  auto sight = three_brokers(3);
  sight.surplus = sight.draining = {2};
  sight.view.draining[2] = {4, 1, 6LL << 30, ""};
  auto status = cluster_status(cluster(), sight, kNow);
  EXPECT_EQ(status.broker_states[2].state, "Draining");
  EXPECT_EQ(status.rebalance.state, "Running");
  EXPECT_EQ(status.rebalance.moves_total, 4);
  EXPECT_FALSE(drained(sight.view, sight.draining));
  EXPECT_EQ(status.rebalance.message, "0 of 4 replicas moved, 0.00 of 6.00 GiB");
  EXPECT_FALSE(settled(status, sight));
  // A minute later: a third of the bytes, so that two minutes are left.
  auto later = cluster();
  later.status = status;
  sight.view.draining[2] = {3, 0, 4LL << 30, ""};
  status = cluster_status(later, sight, "2026-01-31T08:01:00Z");
  EXPECT_EQ(status.rebalance.message,
            "1 of 4 replicas moved, 2.00 of 6.00 GiB, about 2m0s left");
  EXPECT_EQ(status.rebalance.seconds_left, 120);
  EXPECT_EQ(api::find_condition(status.conditions, "Progressing")->reason, "Draining");
  EXPECT_EQ(api::find_condition(status.conditions, "Progressing")->message,
            status.rebalance.message);
  sight.view.draining[2] = {0, 0, 0, ""};
  EXPECT_TRUE(drained(sight.view, sight.draining));
  later.status = status;
  status = cluster_status(later, sight, "2026-01-31T08:02:00Z");
  EXPECT_EQ(status.rebalance.state, "Idle");
  EXPECT_EQ(status.rebalance.bytes_done, 6LL << 30);
  EXPECT_EQ(status.rebalance.seconds_left, -1);
}

TEST(ClusterStatus, ARefusedDrainIsSaid) {
  auto sight = three_brokers(3);
  sight.surplus = sight.draining = {2};
  sight.view.drain_refused = "stream 's' keeps 3 copies of each shard, and 2 brokers would stay";
  auto status = cluster_status(cluster(), sight, kNow);
  const auto* degraded = api::find_condition(status.conditions, "Degraded");
  EXPECT_EQ(degraded->reason, "DrainRefused");
  EXPECT_EQ(degraded->message, sight.view.drain_refused);
  EXPECT_EQ(status.broker_states[2].state, "Running");
}

TEST(ClusterStatus, AStuckRollIsSaidWithThePodsReason) {
  auto sight = three_brokers(2);
  sight.pods[1].hash = "old";
  sight.roll.state = plan::RollStep::State::kStuck;
  sight.roll.message = "broker 2 does not become ready with them: ImagePullBackOff";
  auto status = cluster_status(cluster(), sight, kNow);
  EXPECT_EQ(api::find_condition(status.conditions, "Degraded")->reason, "RollStuck");
  EXPECT_EQ(api::find_condition(status.conditions, "Progressing")->message, sight.roll.message);
  EXPECT_EQ(status.updated_brokers, 2);
  EXPECT_FALSE(status.broker_states[1].updated);
}

TEST(ClusterStatus, BytesAreToldWhenTheyHaveChangedByMuch) {
  auto sight = three_brokers(3);
  sight.view.brokers[0].bytes = 10LL << 30;
  auto first = cluster_status(cluster(), sight, kNow);
  EXPECT_EQ(first.broker_states[0].bytes, 10LL << 30);
  auto next = cluster();
  next.status = first;
  sight.view.brokers[0].bytes += 100 << 20;
  EXPECT_EQ(cluster_status(next, sight, kNow), first);
  sight.view.brokers[0].bytes = 12LL << 30;
  EXPECT_EQ(cluster_status(next, sight, kNow).broker_states[0].bytes, 12LL << 30);
}

TEST(StreamStatus, EveryStreamThatScalesSaysWhetherItsLoadIsKnown) {
  api::Stream topic;
  StreamView view;
  view.metrics_reason = "PrometheusUnreachable";
  view.metrics_problem = "Prometheus cannot be asked (refused)";
  auto known = [&] {
    auto status = stream_status(topic, view, kNow);
    const auto* condition = api::find_condition(status.conditions, "MetricsAvailable");
    return condition ? condition->status + " " + condition->reason : "";
  };
  EXPECT_EQ(known(), "");  // its number of partitions is fixed
  topic.spec.partition_scaling.emplace();
  EXPECT_EQ(known(), "False PrometheusUnreachable");
  topic.spec.partition_scaling.reset();
  topic.spec.mode = api::StreamMode::kElastic;
  topic.spec.autoscaling.emplace();
  EXPECT_EQ(known(), "False PrometheusUnreachable");
  view.metrics_problem.clear();
  EXPECT_EQ(known(), "True Fresh");
  topic.status = stream_status(topic, view, kNow);
  topic.spec.autoscaling.reset();  // taken back: nothing is said of it any more
  EXPECT_EQ(known(), "");
}

TEST(ClusterStatus, SaysWhoDecidesHowManyBrokersThereAre) {
  ClusterSight sight;
  auto of = cluster();
  auto said = [&] {
    of.status = cluster_status(of, sight, kNow);
    const auto* condition = api::find_condition(of.status.conditions, "BrokersScaled");
    return condition ? condition->status + " " + condition->reason + ": " + condition->message : "";
  };
  EXPECT_EQ(said(), "");  // whoever edits spec.brokers
  sight.scaler = "HorizontalPodAutoscaler orders-brokers";
  EXPECT_EQ(
      said(),
      "True ScaleSubresource: HorizontalPodAutoscaler orders-brokers decides how many brokers "
      "there are");
  of.spec.autoscaling.brokers.emplace();
  EXPECT_EQ(said(), "False Contended: " + autoscale::contended_with(sight.scaler));
  of.spec.autoscaling.brokers->mode = api::ScalingMode::kDryRun;  // writes nothing
  EXPECT_EQ(said().substr(0, 21), "True ScaleSubresource");
  of.spec.autoscaling.brokers->mode = api::ScalingMode::kAuto;
  sight.scaler.clear();
  EXPECT_EQ(said().substr(0, 15), "True Autoscaler");
  sight.view.broker_decisions = {
      {.time = kNow, .action = "None", .reason = "Contended", .message = "somebody writes it too"}};
  EXPECT_EQ(said(), "False Contended: somebody writes it too");
  of.spec.autoscaling.brokers.reset();
  EXPECT_EQ(said(), "");
}

TEST(ClusterStatus, SaysWhetherTheLoadThatItsBrokersScaleByIsKnownAndWhatWasDecided) {
  ClusterSight sight;
  sight.view.metrics_reason = "BrokerMetricsMissing";
  sight.view.metrics_problem = "a broker's metrics are missing";
  auto of = cluster();
  EXPECT_FALSE(api::find_condition(cluster_status(of, sight, kNow).conditions, "MetricsAvailable"));
  of.spec.autoscaling.brokers.emplace();
  auto status = cluster_status(of, sight, kNow);
  const auto* condition = api::find_condition(status.conditions, "MetricsAvailable");
  ASSERT_TRUE(condition);
  EXPECT_EQ(condition->status + " " + condition->reason, "False BrokerMetricsMissing");
  auto no_more = of;
  no_more.status = status;
  no_more.spec.autoscaling.brokers.reset();
  EXPECT_FALSE(
      api::find_condition(cluster_status(no_more, sight, kNow).conditions, "MetricsAvailable"));
  EXPECT_TRUE(status.decisions.empty());
  sight.view.broker_decisions = {{.time = kNow, .action = "AddBroker"},
                                 {.time = kNow, .action = "None"}};
  status = cluster_status(of, sight, kNow);
  EXPECT_EQ(status.decisions, sight.view.broker_decisions);
  EXPECT_EQ(status.last_decision->action, "AddBroker");
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
  EXPECT_EQ(status.durability, "synced");
  view.map.mutable_config()->set_durability(sluice::v1::DURABILITY_MEMORY);
  EXPECT_EQ(stream_status(stream, view, kNow).durability, "memory");
  EXPECT_EQ(api::find_condition(status.conditions, "Ready")->reason, "ShardsWithoutLeader");
  open->set_leader(0);
  EXPECT_EQ(api::find_condition(stream_status(stream, view, kNow).conditions, "Ready")->status,
            "True");
  view.waits = true;
  view.problem = "replication 3 needs as many brokers";
  EXPECT_EQ(api::find_condition(stream_status(stream, view, kNow).conditions, "Ready")->reason,
            "Waiting");
  view.waits = false;
  view.problem = "replication 5 needs 5 brokers";
  EXPECT_EQ(api::find_condition(stream_status(stream, view, kNow).conditions, "Ready")->reason,
            "Invalid");
}

// The coordinator tells when brokers come; 10,000 streams that wait were looked at once a minute.
TEST(StreamStatus, OneThatWaitsForBrokersIsLookedAtSeldom) {
  StreamView view;
  view.problem = "no broker is there";
  EXPECT_EQ(next_look(false, view).after_ms, 1000);
  EXPECT_EQ(next_look(false, view).at_most_ms, 60'000);
  view.waits = true;
  EXPECT_EQ(next_look(false, view).after_ms, 30'000);
  EXPECT_EQ(next_look(false, view).at_most_ms, 600'000);
}

TEST(StreamStatus, OneThatIsReadyIsLookedAtForItsBillOnly) {
  StreamView view;
  EXPECT_EQ(next_look(true, view).kind, runtime::Outcome::Kind::kDone);
  view.next_bill_ms = 5000;
  EXPECT_EQ(next_look(true, view).kind, runtime::Outcome::Kind::kRequeue);
  EXPECT_EQ(next_look(true, view).after_ms, 5000);
}

// Of a stream that nobody changes the coordinator keeps what it needs, for ever and ten thousand times.
TEST(StreamStatus, WhatOnlyStatusShowsIsNotKept) {
  api::Stream stream;
  stream.metadata.uid = "u";
  stream.spec.name = "s";
  stream.status.conditions.resize(2);
  stream.status.metering.emplace();
  stream.status.decisions.resize(1);
  const auto kept = for_keeping(stream);
  EXPECT_EQ(kept->status.conditions.capacity(), 0u);
  EXPECT_FALSE(kept->status.metering);
  EXPECT_EQ(kept->metadata.uid, "u");
  EXPECT_EQ(kept->spec.name, "s");
  EXPECT_EQ(kept->status.decisions.size(), 1u);
}

}  // namespace
}  // namespace sluice_operator::reconcile
