// Streams and shard maps keep their meaning as Kubernetes objects; any legal topic name gets a legal
// resource name.
#include "operator/metadata/stream_objects.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "operator/api/json.h"

namespace sluice_operator::metadata {
namespace {

namespace v1 = ::sluice::v1;

TEST(StreamObjects, ResourceNamesAreLegalAndTellStreamsApart) {
  EXPECT_EQ(resource_name_for("c", "flights", false), "flights");
  EXPECT_NE(resource_name_for("c", "flights", true), "flights");
  EXPECT_EQ(resource_name_for("c", "Flights_2024", false).find("flights-2024-"), 0u);
  EXPECT_NE(resource_name_for("c", "a_b", false), resource_name_for("c", "a-B", false));
  EXPECT_EQ(resource_name_for("c", "___", false).find("stream-"), 0u);
  EXPECT_LE(resource_name_for("c", std::string(249, 'X'), false).size(), 253u);
}

TEST(StreamObjects, AShardMapSurvivesAsAResource) {
  v1::ShardMap map;
  map.set_stream_id("3e595624-9ec5-42ec-aa93-dd760efbc8ef");
  map.set_stream("flights");
  map.set_generation(7);
  auto* shard = map.add_shards();
  shard->set_leader(0);
  shard->set_term(4);
  shard->set_end_offset(5'000'000'000);
  auto object = shard_map_object(map, "default", "quickstart", {"flights", "uid-1"}, "42");
  ASSERT_TRUE(object.ok()) << object.status().to_string();
  EXPECT_EQ((*object)["metadata"]["resourceVersion"], "42");
  EXPECT_EQ((*object)["metadata"]["ownerReferences"][0]["uid"], "uid-1");
  auto stored = stored_map_of(*object);
  ASSERT_TRUE(stored.ok()) << stored.status().to_string();
  EXPECT_EQ(stored->map.SerializeAsString(), map.SerializeAsString());
  EXPECT_EQ(stored->version, "42");
}

TEST(StreamObjects, AClientsStreamBecomesAResource) {
  broker::coordination::StreamDeclaration declaration;
  declaration.name = "My.Topic";
  declaration.config.set_mode(v1::STREAM_MODE_PARTITIONED);
  declaration.config.set_partitions(4);
  declaration.config.set_retention_ms(1000);
  auto object = stream_object(declaration, "ns", "c", "my-topic-1");
  EXPECT_EQ(object["spec"]["name"], "My.Topic");
  EXPECT_EQ(object["spec"]["partitions"], 4);
  EXPECT_EQ(object["spec"]["retention"], (kube::Json{{"ms", 1000}}));
  EXPECT_FALSE(object["spec"].contains("minInsync"));
  EXPECT_FALSE(object["spec"].contains("durability"));
  EXPECT_FALSE(object["spec"].contains("kafkaConfigs"));
}

TEST(StreamObjects, DurabilityGoesBothWays) {
  broker::coordination::StreamDeclaration declaration;
  declaration.name = "fast";
  declaration.config.set_mode(v1::STREAM_MODE_PARTITIONED);
  declaration.config.set_durability(v1::DURABILITY_MEMORY);
  auto object = stream_object(declaration, "ns", "c", "fast");
  EXPECT_EQ(object["spec"]["durability"], "memory");
  auto stream = api::read_stream(object);
  ASSERT_TRUE(stream.ok()) << stream.status().to_string();
  EXPECT_EQ(declaration_of(*stream).config.durability(), v1::DURABILITY_MEMORY);
  // It cannot be changed: a patch does not speak of it.
  EXPECT_FALSE(spec_patch(declaration).contains("durability"));
}

// Kinesis' on-demand streams are elastic within wide bounds: the autoscaler's.
TEST(StreamObjects, AnOnDemandStreamIsHandedToTheAutoscaler) {
  broker::coordination::StreamDeclaration declaration;
  declaration.name = "clicks";
  declaration.config.set_mode(v1::STREAM_MODE_ELASTIC);
  declaration.config.set_partitions(4);
  declaration.config.set_shards_min(4);
  declaration.config.set_shards_max(200);
  auto object = stream_object(declaration, "ns", "c", "clicks");
  EXPECT_EQ(object["spec"]["mode"], "Elastic");
  EXPECT_EQ(object["spec"]["autoscaling"], (kube::Json{{"minShards", 4}, {"maxShards", 200}}));
  EXPECT_FALSE(object["spec"].contains("partitions"));
}

// What follows the cluster's defaults is taken out of the resource, not frozen in it.
TEST(StreamObjects, ASettingThatIsTakenBackLeavesTheResource) {
  broker::coordination::StreamDeclaration declaration;
  declaration.config.set_mode(v1::STREAM_MODE_PARTITIONED);
  declaration.config.set_retention_ms(1000);
  declaration.config.set_record_bytes_max(2048);
  declaration.config.add_defaulted("retention_ms");
  auto patch = spec_patch(declaration);
  EXPECT_TRUE(patch["retention"]["ms"].is_null());
  EXPECT_EQ(patch["maxRecordBytes"], 2048);
  EXPECT_TRUE(patch["kafkaConfigs"].is_null());
  (*declaration.config.mutable_kafka())["segment.bytes"] = "1048576";
  EXPECT_EQ(spec_patch(declaration)["kafkaConfigs"],
            (kube::Json{{{"name", "segment.bytes"}, {"value", "1048576"}}}));
}

}  // namespace
}  // namespace sluice_operator::metadata
