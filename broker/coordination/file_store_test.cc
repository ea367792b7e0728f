// The store in a folder: survives restarts, refuses damage, keeps compare-and-swap and producer
// ids.
#include "broker/coordination/file_store.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

#include "broker/base/uuid.h"
#include "broker/coordination/shard_map.h"
#include "broker/env/posix/posix.h"

namespace broker::coordination {
namespace {

// Runs work and answers at once, one after another.
class InlineQueue : public env::IoQueue {
 public:
  void submit(Work work, Done done) override { done(work()); }
};

class FileStoreTest : public testing::Test {
 protected:
  FileStoreTest() {
    char name[] = "/tmp/sluice-test-XXXXXX";
    dir = mkdtemp(name);
  }
  ~FileStoreTest() override { std::system(("rm -rf " + dir).c_str()); }

  std::unique_ptr<FileStore> open() {
    return std::make_unique<FileStore>(fs, io, random, dir + "/meta");
  }
  Result<StoreContents> load(FileStore& store) {
    std::optional<Result<StoreContents>> out;
    store.load([&](auto contents) { out = std::move(contents); });
    return *out;
  }
  Result<std::string> write(FileStore& store, const ShardMap& map, const std::string& expected) {
    std::optional<Result<std::string>> out;
    store.write_map(map, expected, [&](auto version) { out = std::move(version); });
    return *out;
  }
  Result<int64_t> ids(FileStore& store, int32_t count) {
    std::optional<Result<int64_t>> out;
    store.allocate_producer_ids(count, [&](auto first) { out = std::move(first); });
    return *out;
  }
  ShardMap map() {
    StreamConfig config;
    config.set_mode(sluice::v1::STREAM_MODE_PARTITIONED);
    config.set_partitions(1);
    config.set_replication(1);
    config.set_record_bytes_max(1);
    Replica replica;
    replica.set_directory("d");
    return *make_map({"4a4b0c5e-2f0e-4d0a-8a55-8d1c9e0f7a11", "s", "c", config, 1}, {{replica}});
  }

  std::string dir;
  env::PosixFileSystem fs;
  env::SystemRandom random;
  InlineQueue io;
};

TEST_F(FileStoreTest, KeepsMapsAndTheClusterIdOverRestarts) {
  std::string id;
  {
    auto store = open();
    id = load(*store)->cluster_id;
    EXPECT_TRUE(Uuid::parse(id));
    EXPECT_EQ(*write(*store, map(), ""), "1");
  }
  auto store = open();
  auto contents = load(*store);
  ASSERT_TRUE(contents.ok());
  EXPECT_EQ(contents->cluster_id, id);
  ASSERT_EQ(contents->maps.size(), 1u);
  EXPECT_EQ(contents->maps[0].map.SerializeAsString(), map().SerializeAsString());
  EXPECT_FALSE(contents->declarations);
}

TEST_F(FileStoreTest, ComparesAndSwaps) {
  auto store = open();
  ASSERT_TRUE(load(*store).ok());
  ASSERT_TRUE(write(*store, map(), "").ok());
  EXPECT_EQ(write(*store, map(), "").code(), Code::kConflict);
  ShardMap next = map();
  next.set_generation(2);
  EXPECT_EQ(write(*store, next, "7").code(), Code::kConflict);
  EXPECT_EQ(*write(*store, next, "1"), "2");
  Status removed;
  store->remove_map(next.stream_id(), "s", "1", [&](Status s) { removed = s; });
  EXPECT_EQ(removed.code(), Code::kConflict);
  store->remove_map(next.stream_id(), "s", "2", [&](Status s) { removed = s; });
  EXPECT_TRUE(removed.ok());
  store->remove_map(next.stream_id(), "s", "2", [&](Status s) { removed = s; });
  EXPECT_TRUE(removed.ok());
  EXPECT_TRUE(load(*store)->maps.empty());
}

TEST_F(FileStoreTest, RefusesDamageWithThePath) {
  auto store = open();
  ASSERT_TRUE(load(*store).ok());
  ASSERT_TRUE(write(*store, map(), "").ok());
  const std::string path = dir + "/meta/streams/" + map().stream_id() + ".json";
  std::ofstream(path) << "{\"streamId\": ";
  auto broken = load(*open());
  EXPECT_EQ(broken.code(), Code::kCorruption);
  EXPECT_NE(broken.status().message().find(path), std::string::npos);
  std::filesystem::remove(path);
  std::ofstream(dir + "/meta/cluster.json") << "[]";
  EXPECT_EQ(load(*open()).code(), Code::kCorruption);
}

TEST_F(FileStoreTest, KeepsClientQuotasOverRestarts) {
  sluice::v1::AlterClientQuotas change;
  auto* part = change.add_entity();
  part->set_type("user");  // without a name: the default
  change.add_ops()->set_key("producer_byte_rate");
  change.mutable_ops(0)->set_value(1048576);
  {
    auto store = open();
    EXPECT_EQ(load(*store)->client_quotas.quotas_size(), 0);
    Status altered(Code::kInternal, "no answer");
    store->alter_client_quotas(change, [&](const auto& all) { altered = all.status(); });
    EXPECT_TRUE(altered.ok()) << altered.message();
  }
  auto contents = load(*open());
  ASSERT_TRUE(contents.ok());
  ASSERT_EQ(contents->client_quotas.quotas_size(), 1);
  EXPECT_FALSE(contents->client_quotas.quotas(0).entity(0).has_name());
  EXPECT_EQ(contents->client_quotas.quotas(0).values().at("producer_byte_rate"), 1048576);
  const std::string path = dir + "/meta/client-quotas.json";
  std::ofstream(path) << "{";
  auto broken = load(*open());
  EXPECT_EQ(broken.code(), Code::kCorruption);
  EXPECT_NE(broken.status().message().find(path), std::string::npos);
}

TEST_F(FileStoreTest, LeavesTheUsersFileToItsOwner) {
  auto store = open();
  Status created, deleted, altered;
  store->create_acls({}, [&](const Status& status) { created = status; });
  store->delete_acls({}, [&](const auto& found) { deleted = found.status(); });
  store->alter_scram({}, [&](const Status& status) { altered = status; });
  for (const Status& status : {created, deleted, altered}) {
    EXPECT_EQ(status.code(), Code::kPolicyViolation);
    EXPECT_NE(status.message().find("--users"), std::string::npos) << status.message();
  }
}

TEST_F(FileStoreTest, NeverGivesAProducerIdTwice) {
  int64_t last = -1;
  for (int restart = 0; restart < 3; ++restart) {
    auto store = open();
    ASSERT_TRUE(load(*store).ok());
    for (int i = 0; i < 30; ++i) {
      auto first = ids(*store, 1000);
      ASSERT_TRUE(first.ok());
      EXPECT_GT(*first, last);
      last = *first + 999;
    }
  }
}

}  // namespace
}  // namespace broker::coordination
