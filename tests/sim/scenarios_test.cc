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
              int replication = 3, bool memory = false) {
    Status status = cluster().create_stream_now(name, mode, shards, replication, memory);
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

// A producer that pipelines to a broker which stops sees neither an error nor another order.
TEST_F(Scenario, AStopHandsAppendsOverInOrder) {
  start();
  create("s", STREAM_MODE_PARTITIONED);
  const ShardId shard = cluster().shard_id("s", 0);
  append(shard, make_batch("k"));
  rest();
  BrokerProcess& old = leader_of(shard);
  const uint64_t process = old.incarnation();
  int sent = 0, held = 0;
  std::vector<Offset> stored;
  std::vector<std::string> errors;
  // While it runs and its door is open: one a millisecond.
  std::function<void()> produce = [&] {
    if (!old.running() || old.incarnation() != process || sent == 400) return;
    auto done = [&](Result<partition::Appended> result) {
      if (result.ok()) stored.push_back(result->base_offset);
      else errors.push_back(result.status().to_string());
    };
    Buffer batch = Buffer::from_string(make_batch("k", 1, {77, sent++}));
    if (old.hand_over().takes(shard)) {
      held++;
      old.hand_over().append(shard, std::move(batch), partition::Acks::kAll, 1'000, done);
    } else {
      old.partitions().find(shard)->append(std::move(batch), partition::Acks::kAll, done);
    }
    old.executor().schedule_us(1'000, produce);
  };
  old.executor().schedule_us(0, produce);
  cluster().run_for_ms(50);
  auto* next = &cluster().broker((old.id() + 1) % 3);
  auto* other = &cluster().broker((old.id() + 2) % 3);
  old.hand_over().stopping();
  old.session().ask_to_stop();  // its door stays open: the test is about what comes through it
  ASSERT_TRUE(cluster().run_until([&] { return sent == 400 && stored.size() == 400; }, 5'000))
      << stored.size() << " of " << sent << (errors.empty() ? "" : ": " + errors.front());
  EXPECT_TRUE(errors.empty()) << errors.front();
  EXPECT_GT(held, 0);
  EXPECT_FALSE(old.partitions().find(shard)->is_leader());
  EXPECT_TRUE(next->partitions().find(shard)->is_leader() ||
              other->partitions().find(shard)->is_leader());
  for (size_t i = 0; i < stored.size(); i++) {
    EXPECT_EQ(stored[i], Offset{static_cast<int64_t>(i) + 1});
  }
}

// ---- streams that are acknowledged from memory ----

TEST_F(Scenario, InMemoryAMinoritysCrashLosesNothing) {
  start();
  create("m", STREAM_MODE_PARTITIONED, 1, 3, true);
  const ShardId shard = cluster().shard_id("m", 0);
  for (int round = 0; round < 6; round++) {
    for (int i = 0; i < 20; i++) append(shard, make_batch("k"));
    // At once: the disks have not all of it yet.
    cluster().kill(leader_of(shard).id(), true, 100);
    append(shard, make_batch("k"));
    rest();
    ASSERT_EQ(cluster().leader(shard)->log_end(), Offset{21 * (round + 1)}) << round;
  }
  cluster().check_everything();
  EXPECT_EQ(cluster().oracle.violation(), "");
}

TEST_F(Scenario, InMemoryAPowerLossOfAllLeavesAPrefix) {
  start();
  create("m", STREAM_MODE_PARTITIONED, 1, 3, true);
  create("s", STREAM_MODE_PARTITIONED, 1, 3);
  const ShardId memory = cluster().shard_id("m", 0), synced = cluster().shard_id("s", 0);
  append(memory, make_batch("first"));
  rest();
  cluster().run_for_ms(100);
  for (int i = 0; i < 20; i++) append(synced, make_batch("k"));
  int acknowledged = 0;
  for (int i = 0; i < 20; i++) {
    cluster().leader(memory)->append(
        Buffer::from_string(make_batch("k")), partition::Acks::kAll,
        [&](Result<partition::Appended> result) { acknowledged += result.ok(); });
  }
  while (acknowledged < 20) cluster().world.run_for_us(100);
  cluster().kill_all(100);  // at once: the disks have nothing of it
  cluster().run_for_ms(1'000);
  rest();
  EXPECT_EQ(cluster().leader(synced)->log_end(), Offset{20});
  EXPECT_GE(cluster().leader(memory)->log_end(), Offset{1});
  EXPECT_LT(cluster().leader(memory)->log_end(), Offset{21}) << "nothing was in memory only";
  append(memory, make_batch("again"));
  rest();
  cluster().check_everything();
  EXPECT_EQ(cluster().oracle.violation(), "");
}

// The map's word that a shard is closed outlasts the brokers' memory, so all before it must, too.
TEST_F(Scenario, InMemoryAClosedShardIsWholeAfterAPowerLossOfAll) {
  start();
  create("e", STREAM_MODE_ELASTIC, 1, 3, true);
  const ShardId shard = cluster().shard_id("e", 0);
  for (int i = 0; i < 20; i++) append(shard, make_batch("k"));
  cluster::v1::AdminRequest request;
  request.mutable_split_shard()->set_stream("e");
  cluster().admin(std::move(request), [](Status) {});
  ASSERT_TRUE(cluster().run_until([&] { return cluster().map("e")->shards_size() == 3; }, 20'000));
  cluster().kill_all(100);
  cluster().run_for_ms(1'000);
  rest();
  EXPECT_TRUE(cluster().leader(shard)->closed());
  EXPECT_EQ(cluster().leader(shard)->high_watermark().value,
            cluster().map("e")->shards(0).end_offset());
}

TEST_F(Scenario, InMemoryACleanStopOfAllLosesNothing) {
  start();
  create("m", STREAM_MODE_PARTITIONED, 1, 3, true);
  const ShardId shard = cluster().shard_id("m", 0);
  for (int i = 0; i < 20; i++) append(shard, make_batch("k"));
  for (int id = 0; id < 3; id++) cluster().broker(id).stop_cleanly();
  ASSERT_TRUE(cluster().run_until(
      [&] {
        for (int id = 0; id < 3; id++) {
          if (cluster().broker(id).running()) return false;
        }
        return true;
      },
      30'000));
  cluster().heal();
  rest();
  EXPECT_EQ(cluster().leader(shard)->log_end(), Offset{20});
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
