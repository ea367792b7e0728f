// Stories on a whole simulated cluster: each test is named after a bug that the simulation found, or
// after the promise that it shows.
#include <gtest/gtest.h>

#include "broker/base/log.h"
#include "broker/model/records.h"
#include "tests/sim/cluster.h"

namespace broker::sim {
namespace {

using cluster::v1::STREAM_MODE_ELASTIC;
using cluster::v1::STREAM_MODE_PARTITIONED;

struct Producer {
  int64_t id = -1;
  int32_t sequence = 0;
};

std::string make_batch(const std::string& key, int records = 1, Producer producer = {}) {
  RecordBatchBuilder::Options options;
  options.producer_id = producer.id;
  if (producer.id >= 0) {
    options.producer_epoch = 0;
    options.base_sequence = producer.sequence;
  }
  RecordBatchBuilder builder(options);
  for (int i = 0; i < records; i++) builder.add(1000 + i, key, "value");
  return *builder.build();
}

class Scenario : public testing::Test {
 protected:
  void SetUp() override { configure_log("off", "text"); }

  void start(int brokers = 3) { cluster_ = std::make_unique<Cluster>(42, brokers); }
  Cluster& cluster() { return *cluster_; }
  void create(const std::string& name, cluster::v1::StreamMode mode, int shards = 1,
              int replication = 3) {
    Status status = cluster().create_stream_now(name, mode, shards, replication);
    ASSERT_TRUE(status.ok()) << status.to_string();
  }
  Offset append(const ShardId& shard, const std::string& batch) {
    auto result = cluster().append_now(shard, batch);
    EXPECT_TRUE(result.ok()) << result.status().to_string();
    return result.ok() ? result->base_offset : Offset{-1};
  }
  void rest(int64_t ms = 60'000) {
    std::string why;
    ASSERT_TRUE(cluster().run_until([&] { return cluster().at_rest(&why); }, ms)) << why;
  }
  Result<Offset> delete_records(const ShardId& shard, Offset before, int64_t ms = 5'000) {
    auto outcome = std::make_shared<std::optional<Result<Offset>>>();
    cluster().oracle.deletion_asked(shard, before);
    cluster().leader(shard)->delete_records(before, [outcome](Result<Offset> r) { *outcome = r; });
    if (!cluster().run_until([&] { return outcome->has_value(); }, ms)) {
      return Status(Code::kTimeout, "not certain yet");
    }
    return **outcome;
  }
  BrokerProcess& leader_of(const ShardId& shard) {
    return cluster().broker(cluster().leader(shard)->leader()->value);
  }

  std::unique_ptr<Cluster> cluster_;
};

TEST_F(Scenario, DeletedRecordsStayDeletedOverFailoverAndRestart) {
  start();
  create("s", STREAM_MODE_PARTITIONED);
  const ShardId shard = cluster().shard_id("s", 0);
  for (int i = 0; i < 20; i++) append(shard, make_batch("k"));
  auto deleted = delete_records(shard, Offset{12});
  ASSERT_TRUE(deleted.ok()) << deleted.status().to_string();
  EXPECT_EQ(*deleted, Offset{12});
  EXPECT_EQ(cluster().leader(shard)->read(Offset{11}, 1000).code(), Code::kOutOfRange);
  const int old = leader_of(shard).id();
  cluster().kill(old, true, 5'000);
  cluster().run_for_ms(100);
  append(shard, make_batch("k"));
  EXPECT_EQ(cluster().leader(shard)->log_start(), Offset{12});
  rest();
  cluster().kill_all(100);
  cluster().run_for_ms(1'000);
  rest();
  EXPECT_EQ(cluster().leader(shard)->log_start(), Offset{12});
  cluster().check_everything();
  EXPECT_EQ(cluster().oracle.violation(), "");
}

// One follower has not heard of the deletion; it becomes the leader and learns it from the other.
TEST_F(Scenario, ALeaderThatMissedADeletionLearnsItFromAFollower) {
  start();
  create("s", STREAM_MODE_PARTITIONED);
  const ShardId shard = cluster().shard_id("s", 0);
  for (int i = 0; i < 10; i++) append(shard, make_batch("k"));
  rest();
  const int old = leader_of(shard).id();
  const int late = (old + 1) % 3, other = (old + 2) % 3;
  cluster().network.block(old, late, true);
  ASSERT_TRUE(delete_records(shard, Offset{7}).ok());
  EXPECT_EQ(cluster().broker(late).partitions().find(shard)->log_start(), Offset{0});
  cluster().kill(old, true, 30'000);
  cluster().network.unblock_all();
  ASSERT_TRUE(cluster().run_until(
      [&] {
        auto* leader = cluster().leader(shard);
        return leader && leader->may_read_latest().ok();
      },
      20'000));
  for (int id : {late, other}) {
    EXPECT_EQ(cluster().broker(id).partitions().find(shard)->log_start(), Offset{7}) << id;
  }
}

TEST_F(Scenario, ADeletionWithoutAMajorityIsNotConfirmed) {
  start();
  create("s", STREAM_MODE_PARTITIONED);
  const ShardId shard = cluster().shard_id("s", 0);
  for (int i = 0; i < 10; i++) append(shard, make_batch("k"));
  rest();
  cluster().isolate(leader_of(shard).id(), false, true);
  EXPECT_EQ(delete_records(shard, Offset{5}, 900).code(), Code::kTimeout);
}

TEST_F(Scenario, DeletingKeepsWhatIsKnownOfProducers) {
  start();
  create("s", STREAM_MODE_PARTITIONED);
  const ShardId shard = cluster().shard_id("s", 0);
  const std::string batch = make_batch("k", 2, {77, 0});
  append(shard, batch);
  ASSERT_TRUE(delete_records(shard, Offset{2}).ok());
  rest();
  cluster().kill_all(100);
  cluster().run_for_ms(1'000);
  rest();
  EXPECT_EQ(append(shard, batch), Offset{0}) << "a repeat is answered with its first offset";
  EXPECT_EQ(cluster().leader(shard)->log_end(), Offset{2});
}

// Found by seed 3: the log was sent from its start, where no batch begins.
TEST_F(Scenario, ANewReplicaIsFilledThoughTheLogStartsInsideABatch) {
  start(4);
  create("s", STREAM_MODE_PARTITIONED);
  const ShardId shard = cluster().shard_id("s", 0);
  append(shard, make_batch("k", 10));
  append(shard, make_batch("k", 10));
  ASSERT_TRUE(delete_records(shard, Offset{13}).ok());
  rest();
  const int follower = (leader_of(shard).id() + 1) % 3;
  cluster().wipe(follower, 100);
  cluster().run_for_ms(500);
  rest();
  cluster().check_everything();
  EXPECT_EQ(cluster().oracle.violation(), "");
}

// A subscription by time was told to begin at the batch's first record, which was deleted.
TEST_F(Scenario, AReaderByTimeBeginsAtTheLogStartInsideABatch) {
  start();
  create("s", STREAM_MODE_PARTITIONED);
  const ShardId shard = cluster().shard_id("s", 0);
  append(shard, make_batch("k", 10));
  ASSERT_TRUE(delete_records(shard, Offset{4}).ok());
  rest();
  for (int id = 0; id < 3; id++) {
    std::optional<Result<Offset>> found;
    cluster().broker(id).router().offset_at(shard, 1000, [&](Result<Offset> r) { found = r; });
    ASSERT_TRUE(cluster().run_until([&] { return found.has_value(); }, 5'000));
    ASSERT_TRUE(found->ok()) << found->status().to_string();
    EXPECT_EQ(**found, Offset{4}) << "asked of broker " << id;
  }
}

// Found by seed 38: a leader held back by a transfer did not append the seal, and nothing reminded
// it when the transfer was given up.
TEST_F(Scenario, AShardIsSealedThoughATransferWasInTheWay) {
  start();
  create("e", STREAM_MODE_ELASTIC);
  const ShardId shard = cluster().shard_id("e", 0);
  append(shard, make_batch("k"));
  rest();
  auto* leader = cluster().leader(shard);
  const int target = (leader_of(shard).id() + 1) % 3;
  cluster().network.block(leader_of(shard).id(), target, true);
  append(shard, make_batch("k"));  // the target does not get it: the transfer cannot end
  leader->prepare_transfer(leader->term(), BrokerId{target});
  ASSERT_FALSE(leader->replica().may_append(1).ok());
  cluster::v1::AdminRequest request;
  request.mutable_split_shard()->set_stream("e");
  cluster().admin(std::move(request), [](Status) {});
  ASSERT_TRUE(cluster().run_until(
      [&] { return cluster().map("e")->shards(0).state() != cluster::v1::SHARD_STATE_OPEN; },
      2'000));
  cluster().run_for_ms(200);
  cluster().network.unblock_all();
  EXPECT_TRUE(cluster().run_until([&] { return cluster().map("e")->shards_size() == 3; }, 20'000));
}

// P3 and P7: what a closed shard has stored it still says; what it lacks goes to the children.
TEST_F(Scenario, ARetryThatCrossesASplitIsStoredOnce) {
  start();
  create("e", STREAM_MODE_ELASTIC);
  const ShardId shard = cluster().shard_id("e", 0);
  const std::string stored = make_batch("k", 2, {88, 0}), lost = make_batch("k", 1, {88, 2});
  append(shard, stored);
  cluster::v1::AdminRequest request;
  request.mutable_split_shard()->set_stream("e");
  cluster().admin(std::move(request), [](Status) {});
  ASSERT_TRUE(cluster().run_until([&] { return cluster().map("e")->shards_size() == 3; }, 20'000));
  rest();
  EXPECT_EQ(append(shard, stored), Offset{0});
  EXPECT_EQ(cluster().append_now(shard, lost).code(), Code::kPolicyViolation);
  // After another leader has read it from its log, too.
  cluster().kill(leader_of(shard).id(), true, 100);
  cluster().run_for_ms(1'000);
  rest();
  EXPECT_EQ(append(shard, stored), Offset{0});
}

}  // namespace
}  // namespace broker::sim
