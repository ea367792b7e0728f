// An administrator's ensembles: moves to them, another number of copies, what gives them up.
#include "tests/support/coordination_world.h"

namespace broker::coordination {
namespace {

sluice::v1::AdminResponse reassign(World& w, int32_t index, const std::vector<int32_t>& brokers) {
  sluice::v1::AdminRequest request;
  auto* wish = request.mutable_reassign_shard();
  wish->set_stream("s");
  wish->set_index(index);
  wish->mutable_brokers()->Assign(brokers.begin(), brokers.end());
  return w.ask(request);
}

std::vector<int32_t> replicas_of(const World& w, int32_t index) {
  std::vector<int32_t> out;
  for (const auto& replica : w.shard("s", index).replicas()) out.push_back(replica.broker());
  return out;
}

bool stands(const World& w, const std::vector<std::vector<int32_t>>& ensembles) {
  for (size_t i = 0; i < ensembles.size(); ++i) {
    if (replicas_of(w, static_cast<int32_t>(i)) != ensembles[i]) return false;
  }
  return w.settled();
}

TEST(Assignment, MovesAllReplicasOfAShardElsewhere) {
  World w(6);
  w.run(100);
  w.create("s", 1, 3);
  w.producing = true;
  std::vector<int32_t> others;
  for (int32_t id = 0; id < 6; ++id) {
    if (!find_replica(w.shard("s", 0).replicas(), id)) others.push_back(id);
  }
  EXPECT_EQ(reassign(w, 0, others).code(), "OK");
  ASSERT_TRUE(w.run_until([&] { return stands(w, {others}); }, 60'000));
  w.run(30'000);
  EXPECT_TRUE(stands(w, {others}));
}

// sarama's TestFuncAdminAlterPartitionReassignments: Kafka's way to another replication factor.
TEST(Assignment, AllShardsTogetherChangeTheNumberOfCopies) {
  World w(3);
  w.run(100);
  w.create("s", 2, 1);
  w.producing = true;
  EXPECT_EQ(reassign(w, 0, {1, 0}).code(), "OK");
  ASSERT_TRUE(w.run_until([&] { return w.settled() && replicas_of(w, 0) == std::vector{1, 0}; }));
  w.run(2000);
  EXPECT_EQ(w.map("s")->config().replication(), 1);  // the other shard still has one
  EXPECT_EQ(w.shard("s", 1).replicas_size(), 1);
  EXPECT_EQ(reassign(w, 1, {2, 1}).code(), "OK");
  ASSERT_TRUE(w.run_until([&] { return stands(w, {{1, 0}, {2, 1}}); }));
  ASSERT_TRUE(w.run_until([&] { return w.map("s")->config().replication() == 2; }));
  w.run(30'000);
  EXPECT_TRUE(stands(w, {{1, 0}, {2, 1}}));  // where they were put

  EXPECT_EQ(reassign(w, 0, {2}).code(), "OK");
  EXPECT_EQ(reassign(w, 1, {2}).code(), "OK");
  ASSERT_TRUE(w.run_until([&] { return stands(w, {{2}, {2}}); }));
  ASSERT_TRUE(w.run_until([&] { return w.map("s")->config().replication() == 1; }));
}

// The declaration has another owner, who hears of it, and whose word is the last.
TEST(Assignment, ADeclarationFollowsTheNumberOfCopiesAndCanTakeItBack) {
  World w(3);
  w.crash_coordinator();
  w.store.declares = true;
  StreamDeclaration wanted{"s", {}};
  wanted.config.set_partitions(2);
  wanted.config.set_replication(3);
  w.store.declarations = {wanted};
  w.start_coordinator();
  ASSERT_TRUE(w.run_until([&] { return w.map("s") && w.all_led(); }));
  EXPECT_EQ(reassign(w, 0, {0, 1}).code(), "OK");
  EXPECT_EQ(reassign(w, 1, {1, 0}).code(), "OK");
  ASSERT_TRUE(w.run_until([&] { return stands(w, {{0, 1}, {1, 0}}); }));
  ASSERT_TRUE(w.run_until([&] { return w.map("s")->config().replication() == 2; }));
  ASSERT_EQ(w.store.updates.size(), 1u);
  EXPECT_EQ(w.store.updates[0].config.replication(), 2);
  w.coordinator->stream_declared(wanted);
  ASSERT_TRUE(w.run_until([&] { return w.settled() && replicas_of(w, 0).size() == 3; }));
  EXPECT_EQ(w.map("s")->config().replication(), 3);
  w.run(5000);
  EXPECT_EQ(w.store.updates.size(), 1u);
  EXPECT_TRUE(w.shard("s", 0).wanted_brokers().empty());
}

TEST(Assignment, AStoreThatCannotBeReachedIsAskedAgain) {
  World w(3);
  w.run(100);
  w.create("s", 1, 2);
  int failures = 3;
  w.store.fail_update = [&] { return failures-- > 0; };
  EXPECT_EQ(reassign(w, 0, {0, 1, 2}).code(), "OK");
  ASSERT_TRUE(w.run_until([&] { return w.map("s")->config().replication() == 3; }));
  EXPECT_LT(failures, 0);
}

// Given up before it is done: as many copies as the stream has, as Kafka goes back to what was.
TEST(Assignment, GivenUpItGoesBackToTheStreamsNumber) {
  World w(3);
  w.run(100);
  w.create("s", 1, 2);
  std::vector<int32_t> before = replicas_of(w, 0);
  int32_t newcomer = 3 - before[0] - before[1];
  w.cut = {{std::min(newcomer, before[0]), std::max(newcomer, before[0])},
           {std::min(newcomer, before[1]), std::max(newcomer, before[1])}};
  EXPECT_EQ(reassign(w, 0, {before[0], before[1], newcomer}).code(), "OK");
  w.run(5000);
  EXPECT_EQ(w.map("s")->config().replication(), 2);
  EXPECT_EQ(reassign(w, 0, {}).code(), "OK");
  w.cut.clear();
  ASSERT_TRUE(w.run_until([&] { return w.settled() && replicas_of(w, 0).size() == 2; }, 90'000));
  w.run(5000);
  EXPECT_EQ(w.map("s")->config().replication(), 2);
}

TEST(Assignment, RefusesFewerCopiesThanMustBeInSync) {
  World w(3);
  w.run(100);
  w.create("s", 2, 3);
  sluice::v1::AdminRequest request;
  auto* update = request.mutable_update_stream();
  update->set_name("s");
  update->mutable_config()->set_min_insync(2);
  update->add_fields("min_insync");
  ASSERT_EQ(w.ask(request).code(), "OK");
  auto answer = reassign(w, 0, {0});
  EXPECT_EQ(answer.code(), "INVALID_ARGUMENT");
  EXPECT_NE(answer.message().find("min_insync"), std::string::npos) << answer.message();
  EXPECT_EQ(reassign(w, 0, {0, 0}).code(), "INVALID_ARGUMENT");
  EXPECT_EQ(reassign(w, 0, {0, 7}).code(), "INVALID_ARGUMENT");
  EXPECT_EQ(reassign(w, 7, {0, 1}).code(), "NOT_FOUND");
  EXPECT_EQ(reassign(w, 0, {0, 1}).code(), "OK");
}

TEST(Assignment, ABrokerWithAShardOfMoreCopiesCannotBeTakenAway) {
  World w(3);
  w.run(100);
  w.create("s", 2, 2);
  w.coordinator->set_expected_brokers({{0, ""}, {1, ""}, {2, ""}});
  EXPECT_EQ(w.coordinator->removal_risk({2}), "");
  EXPECT_EQ(reassign(w, 0, {0, 1, 2}).code(), "OK");
  EXPECT_NE(w.coordinator->removal_risk({2}).find("3 copies"), std::string::npos);
  ASSERT_TRUE(w.run_until([&] { return stands(w, {{0, 1, 2}}); }));
  // A drain waits for another place, it does not do with less.
  w.coordinator->set_draining(2, true);
  w.run(5000);
  EXPECT_NE(w.coordinator->drain_progress(2).blocked.find("3 copies"), std::string::npos);
}

}  // namespace
}  // namespace broker::coordination
