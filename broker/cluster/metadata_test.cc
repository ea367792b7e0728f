// A stream's map only moves forward, deletions are explicit, and the file keeps it all.
#include "broker/cluster/metadata.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include "broker/env/posix/posix.h"

namespace broker::cluster {
namespace {

v1::MetadataUpdate one_stream(int64_t generation, int shards, bool deleting = false) {
  v1::MetadataUpdate update;
  auto* map = update.add_streams();
  map->set_stream_id(Uuid::from_random(7, 7).to_string());
  map->set_stream("flights");
  map->set_generation(generation);
  map->set_deleting(deleting);
  for (int i = 0; i < shards; i++) map->add_shards()->set_index(i);
  return update;
}

TEST(Metadata, IgnoresADeposedCoordinatorsOlderMap) {
  Metadata metadata;
  int calls = 0;
  metadata.add_listener([&](const Metadata::Change& change) {
    calls += static_cast<int>(change.changed.size());
  });
  metadata.apply(one_stream(5, 3));
  metadata.apply(one_stream(4, 1));
  metadata.apply(one_stream(5, 1));
  EXPECT_EQ(metadata.find("flights")->map.shards_size(), 3);
  EXPECT_EQ(calls, 1);
  metadata.apply(one_stream(6, 4));
  EXPECT_NE(metadata.find_shard({Uuid::from_random(7, 7), 3}), nullptr);
}

TEST(Metadata, FullUpdatesForgetBrokersButNotStreams) {
  Metadata metadata;
  auto update = one_stream(1, 1);
  update.add_brokers()->set_id(1);
  metadata.apply(update);
  v1::MetadataUpdate full;
  full.set_full(true);
  full.add_brokers()->set_id(2);
  metadata.apply(full);
  EXPECT_NE(metadata.find("flights"), nullptr);
  EXPECT_EQ(metadata.find_broker(BrokerId{1}), nullptr);
  metadata.apply(one_stream(2, 1, true));
  EXPECT_EQ(metadata.find("flights"), nullptr);
}

TEST(Metadata, SurvivesInAFile) {
  char name[] = "/tmp/sluice-test-XXXXXX";
  std::string dir = mkdtemp(name);
  env::PosixFileSystem fs;
  Metadata metadata;
  auto update = one_stream(9, 2);
  auto* quota = update.mutable_client_quotas()->add_quotas();
  quota->add_entity()->set_type("user");
  (*quota->mutable_values())["producer_byte_rate"] = 1000;
  metadata.apply(update);
  ASSERT_TRUE(save_metadata(fs, dir + "/metadata.pb", metadata).ok());
  Metadata again;
  auto loaded = load_metadata(fs, dir + "/metadata.pb");
  ASSERT_TRUE(loaded.ok());
  again.apply(*loaded);
  EXPECT_EQ(again.find("flights")->map.generation(), 9);
  EXPECT_EQ(again.client_quotas().quotas(0).values().at("producer_byte_rate"), 1000);
  ASSERT_TRUE(env::write_file_atomically(fs, dir + "/metadata.pb", "\xff\xff").ok());
  EXPECT_EQ(load_metadata(fs, dir + "/metadata.pb").code(), Code::kCorruption);
  std::system(("rm -rf " + dir).c_str());
}

}  // namespace
}  // namespace broker::cluster
