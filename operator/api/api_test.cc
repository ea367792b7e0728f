// Resources as JSON and back, the defaults of absent fields, and the rules that CEL cannot check.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "operator/api/json.h"

namespace sluice_operator::api {
namespace {

using Json = nlohmann::json;

Json stream_json(Json spec) {
  return {{"metadata", {{"namespace", "ns"}, {"name", "orders"}, {"generation", 3}}},
          {"spec", std::move(spec)}};
}

TEST(StreamCluster, AnEmptySpecHasTheDefaults) {
  auto cluster = read_stream_cluster({{"metadata", {{"name", "c"}}}, {"spec", Json::object()}});
  ASSERT_TRUE(cluster.ok());
  EXPECT_EQ(cluster->spec.brokers, 3);
  EXPECT_EQ(cluster->spec.storage.size, "10Gi");
  EXPECT_EQ(cluster->spec.requests.at("memory"), "128Mi");
  EXPECT_EQ(cluster->spec.zone_key, "topology.kubernetes.io/zone");
  EXPECT_EQ(default_replication(cluster->spec), 3);
  EXPECT_TRUE(validate(*cluster).empty());
  cluster->spec.brokers = 1;
  EXPECT_EQ(default_replication(cluster->spec), 1);
}

TEST(StreamCluster, SpecAndStatusRoundTrip) {
  StreamClusterSpec spec;
  spec.brokers = 5;
  spec.image = "registry/sluice:1";
  spec.limits_of_pod = {{"memory", "1Gi"}};
  spec.kinesis = {"kinesis-keys", true};
  spec.kafka = {false, 6};
  spec.storage = {"20Gi", "fast", DeletionPolicy::kDelete, 60};
  spec.drain = {1, 3};
  spec.rebalancing.paused = true;
  spec.rebalancing.mode = RebalancingMode::kPropose;
  spec.replication = {3, 2};
  spec.autoscaling.prometheus_url = "http://prometheus:9090";
  spec.autoscaling.interval_seconds = 2;
  spec.autoscaling.brokers = StreamClusterSpec::BrokerScaling{
      .min = 3, .max = 9, .budget_per_hour = 5, .produce_p99_milliseconds = 40};
  spec.autoscaling.queries = {{"bytes", "x"}};
  spec.tls = {"shop-tls", "shop-ca"};
  auto& listener = spec.listeners.emplace_back();
  listener.name = "route";
  listener.port = 9094;
  listener.tls = true;
  listener.authentication = ListenerAuthentication::kTls;
  listener.type = ListenerType::kTlsRoute;
  listener.host_template = "b{id}.example.com";
  listener.bootstrap_host = "b.example.com";
  listener.advertised_port = 8443;
  listener.gateway = {"gateways", "public", "kafka"};
  listener.annotations = {{"a", "b"}};
  StreamClusterStatus status;
  status.observed_generation = 7;
  status.conditions = {{"Ready", "True", "AllReady", "5 of 5", "2026-01-01T00:00:00Z", 7}};
  status.image = "registry/sluice:1";
  status.broker_states = {{0, "c-0", "node", "z1", true, 4, 2, "Running", "dir", 5, true}};
  status.rebalance = {"Running", "BrokerAdded", "moving", 4, 1, 10, 3, 60, "2026-01-01T00:00:00Z",
                      ""};
  status.listeners = {{"route", "b.example.com:8443"}};
  status.last_decision = Decision{"2026-01-01T00:00:00Z", "Split", {1}, "Hot", "m", {{"x", "1"}}};
  status.decisions = {*status.last_decision,
                      {"2026-01-01T00:00:00Z", "AddBroker", {}, "r", "m", {}}};
  Json object = {{"metadata", {{"name", "c"}, {"annotations", {{"sluice.dev/paused", "true"}}}}},
                 {"spec", spec_to_json(spec)},
                 {"status", status_to_json(status)}};
  auto read = read_stream_cluster(object);
  ASSERT_TRUE(read.ok()) << read.status().to_string();
  EXPECT_EQ(spec_to_json(read->spec), spec_to_json(spec));
  EXPECT_EQ(read->spec.listeners, spec.listeners);
  EXPECT_EQ(read->status, status);
  EXPECT_TRUE(read->metadata.paused());
}

TEST(StreamCluster, ListenersThatCannotBe) {
  auto problem = [](auto change) {
    StreamCluster cluster;
    cluster.metadata.name = "c";
    auto& listener = cluster.spec.listeners.emplace_back();
    listener.name = "out";
    listener.port = 9094;
    change(cluster, listener);
    return to_string(validate(cluster));
  };
  EXPECT_EQ(problem([](auto&, auto&) {}), "");
  EXPECT_NE(problem([](auto&, auto& l) { l.authentication = ListenerAuthentication::kTls; })
                .find("spec.listeners[out].authentication: Tls needs tls: true"),
            std::string::npos);
  EXPECT_NE(problem([](auto&, auto& l) { l.type = ListenerType::kIngress; }).find("{id}"),
            std::string::npos);
  EXPECT_NE(problem([](auto&, auto& l) { l.type = ListenerType::kTlsRoute; }).find("gateway"),
            std::string::npos);
  EXPECT_NE(problem([](auto& cluster, auto& l) {
              l.type = ListenerType::kNodePort;
              cluster.metadata.name = std::string(52, 'c');
              l.name = "ten-letters";
            }).find("58 characters"),
            std::string::npos);
}

TEST(Stream, DefaultsAndRetention) {
  auto stream = read_stream(stream_json({{"cluster", "c"}, {"mode", "Elastic"},
                                         {"retention", {{"hours", 2}}},
                                         {"durability", "memory"},
                                         {"kafkaConfigs", {{{"name", "segment.ms"}, {"value", "9"}}}},
                                         {"autoscaling", {{"maxShards", 4}}}}));
  ASSERT_TRUE(stream.ok()) << stream.status().to_string();
  EXPECT_EQ(stream->spec.name, "orders");
  EXPECT_EQ(stream->spec.durability, Durability::kMemory);
  EXPECT_EQ(read_stream(stream_json({{"mode", "Elastic"}}))->spec.durability, Durability::kSynced);
  EXPECT_FALSE(read_stream(stream_json({{"durability", "Memory"}})).ok());
  EXPECT_EQ(stream->spec.retention.ms, 7'200'000);
  EXPECT_EQ(stream->spec.retention.bytes, 0);
  EXPECT_EQ(stream->spec.kafka_configs.at("segment.ms"), "9");
  EXPECT_EQ(stream->spec.autoscaling->min_shards, 1);
  EXPECT_EQ(stream->spec.autoscaling->max_shards, 4);
  StreamClusterSpec cluster;
  EXPECT_EQ(effective_replication(stream->spec, cluster), 3);
  EXPECT_EQ(effective_min_insync(stream->spec, cluster), 2);
  EXPECT_EQ(effective_max_record_bytes(stream->spec, cluster), 1048576);
  EXPECT_TRUE(validate(*stream, &cluster).empty());
  auto again = read_stream(stream_json(spec_to_json(stream->spec, "orders")));
  EXPECT_EQ(spec_to_json(again->spec, "orders"), spec_to_json(stream->spec, "orders"));
}

TEST(Stream, PartitionsGrowOnlyWhereItIsSaidThatKeysMayMove) {
  Json spec{{"cluster", "c"}, {"mode", "Partitioned"}, {"partitions", 3}};
  spec["partitionScaling"] = {{"maxPartitions", 12}, {"acceptKeyMovement", true}, {"mode", "DryRun"}};
  auto stream = read_stream(stream_json(spec));
  ASSERT_TRUE(stream.ok()) << stream.status().to_string();
  EXPECT_EQ(stream->spec.partition_scaling->max_partitions, 12);
  EXPECT_EQ(stream->spec.partition_scaling->target_utilization_percent, 70);
  EXPECT_EQ(stream->spec.partition_scaling->cooldown_seconds, 3600);
  EXPECT_EQ(stream->spec.partition_scaling->mode, ScalingMode::kDryRun);
  EXPECT_TRUE(validate(*stream, nullptr).empty());
  auto again = read_stream(stream_json(spec_to_json(stream->spec, "orders")));
  EXPECT_EQ(spec_to_json(again->spec, "orders"), spec_to_json(stream->spec, "orders"));
  stream->spec.partition_scaling->accept_key_movement = false;
  auto errors = validate(*stream, nullptr);
  ASSERT_EQ(errors.size(), 1u);
  EXPECT_EQ(errors[0].field, "spec.partitionScaling.acceptKeyMovement");
}

TEST(Stream, WhatCelCannotSee) {
  auto stream = read_stream(stream_json({{"cluster", "c"}, {"mode", "Partitioned"},
                                         {"partitions", 3}, {"replication", 3}, {"minInsync", 3}}));
  StreamClusterSpec cluster;
  cluster.brokers = 2;
  auto errors = validate(*stream, &cluster);
  ASSERT_EQ(errors.size(), 1u);
  EXPECT_EQ(to_string(errors), "spec.replication: 3 copies need 3 brokers, the cluster has 2");
  stream->spec.name = "a/b";
  stream->spec.partitions = 0;
  EXPECT_EQ(validate(*stream, nullptr).size(), 2u);
}

TEST(Read, AValueOfAnotherKindIsNamed) {
  auto wrong = read_stream(stream_json({{"cluster", "c"}, {"mode", "Elastic"},
                                        {"autoscaling", {{"minShards", "two"}}}}));
  EXPECT_EQ(wrong.status().message(), "object.spec.autoscaling.minShards: expected an integer");
  EXPECT_FALSE(read_stream(stream_json({{"mode", "Round"}})).ok());
  EXPECT_FALSE(read_stream(stream_json({{"partitions", 1LL << 40}})).ok());
  EXPECT_FALSE(read_stream(Json::array()).ok());
  EXPECT_FALSE(read_stream_cluster({{"metadata", 3}}).ok());
}

TEST(Conditions, KeepTheTimeOfTheLastTransition) {
  std::vector<Condition> conditions;
  set_condition(conditions, {"Ready", "False", "Starting", "", "", 1}, "t1");
  set_condition(conditions, {"Ready", "False", "Waiting", "", "", 2}, "t2");
  EXPECT_EQ(find_condition(conditions, "Ready")->last_transition_time, "t1");
  EXPECT_EQ(find_condition(conditions, "Ready")->reason, "Waiting");
  set_condition(conditions, {"Ready", "True", "AllReady", "", "", 2}, "t3");
  EXPECT_EQ(find_condition(conditions, "Ready")->last_transition_time, "t3");
  EXPECT_EQ(conditions.size(), 1u);
  EXPECT_EQ(rfc3339(1'700'000'000'999), "2023-11-14T22:13:20Z");
}

TEST(Decisions, AreBoundedAndNewestFirst) {
  StreamStatus status;
  for (int i = 0; i < 70; ++i) add_decision(status, {std::to_string(i), "None", {}, "", "", {}});
  EXPECT_EQ(status.decisions.size(), StreamStatus::kDecisionsMax);
  EXPECT_EQ(status.decisions[0].time, "69");
}

}  // namespace
}  // namespace sluice_operator::api
