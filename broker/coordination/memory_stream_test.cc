// Elections of streams that are acknowledged from memory (rule 6): a replica that was not stopped
// cleanly is no vote while a majority can do without it; when none can, and everybody has answered,
// the best of what has survived goes on.
#include "tests/support/coordination_world.h"

namespace broker::coordination {
namespace {

struct MemoryStream : testing::Test {
  MemoryStream() : w(3) {
    w.run(100);
    EXPECT_EQ(w.create("m", 1, 3, false, true).code(), "OK");
    w.producing = true;
    w.run(500);
  }
  WorldReplica& replica(int32_t broker) {
    return w.brokers[broker].replicas[{w.map("m")->stream_id(), 0}];
  }
  void lose(int32_t broker, int64_t records) {
    w.kill(broker);
    w.lose_tails(broker, records);
  }
  // What the oracle of the world demands of a leader; less after a majority has forgotten.
  void expect_at_least(int64_t end) { w.committed[{w.map("m")->stream_id(), 0}] = end; }
  World w;
};

TEST_F(MemoryStream, OneThatForgotDoesNotVote) {
  w.producing = false;
  const int32_t leader = w.shard("m", 0).leader();
  const int32_t forgot = (leader + 1) % 3, away = (leader + 2) % 3;
  const int64_t end = replica(leader).end;
  ASSERT_GT(end, 0);
  lose(forgot, 10);
  w.cut = {{std::min(forgot, leader), std::max(forgot, leader)}};  // it is not filled again
  w.revive(forgot);
  w.kill(away);
  w.kill(leader);
  w.run(5000);
  EXPECT_FALSE(w.all_led()) << "one that forgot elected itself";
  // With an intact one beside it there is still no majority that surely knows all.
  w.cut.clear();
  w.revive(away);
  w.run(5000);
  EXPECT_FALSE(w.all_led()) << "the third might know more";
  w.revive(leader);
  ASSERT_TRUE(w.run_until([&] { return w.all_led(); }));
  EXPECT_EQ(replica(w.shard("m", 0).leader()).end, end);
}

TEST_F(MemoryStream, TheBestSurvivorLeadsWhenAllHaveForgotten) {
  w.producing = false;
  const int64_t end = replica(0).end;
  ASSERT_GT(end, 40);
  lose(0, 30);
  lose(1, 10);
  lose(2, 20);
  expect_at_least(end - 10);
  for (int id : {0, 2}) w.revive(id);
  w.run(5000);
  EXPECT_FALSE(w.all_led()) << "the third has not spoken";
  w.revive(1);
  ASSERT_TRUE(w.run_until([&] { return w.all_led(); }));
  EXPECT_EQ(w.shard("m", 0).leader(), 1);
  w.producing = true;
  w.run(1000);
  for (int id : {0, 1, 2}) EXPECT_FALSE(replica(id).tail_lost);
}

// A directory that is gone has nothing to say: it is not waited for.
TEST_F(MemoryStream, ALostDirectoryDoesNotHoldUpTheSurvivors) {
  w.producing = false;
  const int64_t end = replica(0).end;
  for (int id : {0, 1}) lose(id, 5);
  w.kill(2);
  w.wipe(2);
  expect_at_least(end - 5);
  for (int id : {0, 1, 2}) w.revive(id);
  ASSERT_TRUE(w.run_until([&] { return w.all_led(); }));
  EXPECT_NE(w.shard("m", 0).leader(), 2);
}

// Two of three are gone for good: the third cannot know what was committed, and what would go on might
// not even be a part of it.
TEST_F(MemoryStream, AMinoritysSurvivorsAreNotEnough) {
  w.producing = false;
  lose(0, 5);
  for (int id : {1, 2}) w.kill(id), w.wipe(id);
  for (int id : {0, 1, 2}) w.revive(id);
  w.run(20'000);
  EXPECT_FALSE(w.all_led());
}

TEST_F(MemoryStream, ASoleMemberThatForgotGetsANewTerm) {
  EXPECT_EQ(w.create("one", 1, 1, false, true).code(), "OK");
  w.run(500);
  w.producing = false;
  const Shard before = w.shard("one", 0);
  w.kill(before.leader());
  w.lose_tails(before.leader(), 3);
  w.committed.clear();
  w.revive(before.leader());
  ASSERT_TRUE(w.run_until([&] { return w.all_led(); }));
  EXPECT_GT(w.shard("one", 0).term(), before.term());
}

TEST_F(MemoryStream, ItsDurabilityIsFixed) {
  sluice::v1::AdminRequest request;
  auto* update = request.mutable_update_stream();
  update->set_name("m");
  update->add_fields("durability");
  auto answer = w.ask(request);
  EXPECT_EQ(answer.code(), "INVALID_ARGUMENT");
  EXPECT_NE(answer.message().find("durability"), std::string::npos);
  update->clear_fields();
  update->add_fields("retention_ms");
  update->mutable_config()->set_retention_ms(1000);
  EXPECT_EQ(w.ask(request).code(), "OK");
  EXPECT_EQ(w.map("m")->config().durability(), sluice::v1::DURABILITY_MEMORY);
}

}  // namespace
}  // namespace broker::coordination
