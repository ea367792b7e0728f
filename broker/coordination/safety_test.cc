// When brokers may be stopped or taken away. World (tests/support) has brokers that keep the
// protocol's promises.
#include "tests/support/coordination_world.h"

namespace broker::coordination {
namespace {

std::string risk(World& w, std::set<int32_t> brokers) { return w.coordinator->stop_risk(brokers); }

TEST(StopRisk, OneBrokerMayStopWhileAllAreInSync) {
  World w(3);
  w.run(100);
  w.create("s", 6);
  w.run(1000);
  for (int32_t id = 0; id < 3; ++id) EXPECT_EQ(risk(w, {id}), "");
  // Two of three copies are a majority lost.
  EXPECT_NE(risk(w, {0, 1}).find("would keep 1 of the 2 in-sync copies"), std::string::npos)
      << risk(w, {0, 1});
}

TEST(StopRisk, AWholeZoneMayStopAtOnce) {
  World w(6, 3);  // brokers 0 and 3 are one zone
  w.run(100);
  w.create("s", 12);
  w.run(1000);
  EXPECT_EQ(risk(w, {0, 3}), "");
  EXPECT_NE(risk(w, {0, 1}), "");
}

TEST(StopRisk, WaitsForAnAbsentBrokerToCatchUp) {
  World w(3);
  w.run(100);
  w.create("s", 3);
  w.run(500);
  w.kill(2);
  w.run(3000);
  EXPECT_NE(risk(w, {0}), "");
  EXPECT_EQ(risk(w, {2}), "");  // it is away: stopping it costs nothing
  w.revive(2);
  // Back, and heard by nobody: not in sync until its leaders say so.
  w.cut = {{0, 2}, {1, 2}};
  w.run(1000);
  EXPECT_NE(risk(w, {0}), "");
  w.cut.clear();
  w.run(2000);
  EXPECT_EQ(risk(w, {0}), "");
}

TEST(StopRisk, AStoppingBrokerCountsAsAway) {
  World w(3);
  w.run(100);
  w.create("s", 3);
  w.run(500);
  w.brokers[1].stopping = true;
  w.run(500);
  EXPECT_NE(risk(w, {0}), "");
}

TEST(StopRisk, AnElectionIsWaitedFor) {
  World w(3);
  w.run(100);
  w.create("s", 3);
  w.run(500);
  for (auto& [id, broker] : w.brokers) broker.votes = false;
  w.kill(w.shard("s", 0).leader());
  w.run(2000);
  for (auto& [id, broker] : w.brokers) {
    if (!broker.up) continue;
    EXPECT_NE(risk(w, {id}).find("electing"), std::string::npos) << risk(w, {id});
  }
}

// A roll on the local Kubernetes put a broker beside others that did not understand its replication
// messages. It led a shard and committed nothing; going back was refused, since the shard had not
// settled.
TEST(StopRisk, ALeaderThatCannotCommitMayStop) {
  World w(3);
  w.run(100);
  w.create("s", 1);
  w.run(500);
  const int32_t leader = w.shard("s", 0).leader();
  w.brokers[leader].commits = false;
  w.run(3000);
  EXPECT_NE(risk(w, {leader}), "");
  w.run(12'000);
  EXPECT_EQ(risk(w, {leader}), "");
  EXPECT_NE(risk(w, {leader, leader == 0 ? 1 : 0}), "");
}

TEST(StopRisk, WhatCannotBeKeptIsNotAskedFor) {
  World w(3);
  w.run(100);
  w.create("one", 3, 1);
  w.create("two", 3, 2);
  w.run(500);
  for (int32_t id = 0; id < 3; ++id) EXPECT_EQ(risk(w, {id}), "");
  w.kill(0);
  w.run(3000);
  // The last copy of some shard of "two" would go.
  EXPECT_NE(risk(w, {1, 2}), "");
}

TEST(RemovalRisk, ReplicationMustBeKept) {
  World w(4);
  w.coordinator->set_expected_brokers({{0, ""}, {1, ""}, {2, ""}, {3, ""}});
  w.run(100);
  w.create("s", 3, 3);
  EXPECT_EQ(w.coordinator->removal_risk({3}), "");
  EXPECT_EQ(w.coordinator->removal_risk({2, 3}),
            "stream 's' keeps 3 copies of each shard, and 2 brokers would stay");
}

TEST(RemovalRisk, WhatLeavesMustFit) {
  World w(3);
  w.coordinator->set_expected_brokers({{0, ""}, {1, ""}, {2, ""}});
  w.run(100);
  w.create("s", 3, 2);
  for (int32_t id = 0; id < 3; ++id) {
    auto& holdings = w.brokers[id].holdings.emplace();
    auto* shard = holdings.add_shards();
    shard->mutable_shard()->set_stream_id(w.map("s")->stream_id());
    shard->mutable_shard()->set_index(id);
    shard->set_bytes(30LL << 30);
    holdings.set_disk_bytes(30LL << 30);
    holdings.set_disk_free_bytes(10LL << 30);
  }
  w.run(500);
  EXPECT_EQ(w.coordinator->removal_risk({2}),
            "30.00 GiB would have to move, and the brokers that stay have room for 12.00 GiB");
  w.brokers[0].holdings->set_disk_free_bytes(100LL << 30);
  w.run(500);
  EXPECT_EQ(w.coordinator->removal_risk({2}), "");
}

TEST(PausedMoves, ADrainWaitsAndGoesOn) {
  World w(4);
  w.run(100);
  w.create("s", 12);
  w.run(1000);
  w.coordinator->set_moves_paused(true);
  w.coordinator->set_draining(3, true);
  const int before = w.replicas_on(3), leaders = w.leaders_on(3);
  ASSERT_GT(before, 0);
  w.run(5000);
  EXPECT_EQ(w.replicas_on(3), before);
  EXPECT_EQ(w.leaders_on(3), leaders);
  EXPECT_EQ(w.coordinator->drain_progress(3).blocked, "moves are paused");
  w.coordinator->set_moves_paused(false);
  ASSERT_TRUE(w.run_until([&] { return w.replicas_on(3) == 0; }));
  // Cancelled: it gets shards again.
  w.coordinator->set_draining(3, false);
  EXPECT_TRUE(w.run_until([&] { return w.replicas_on(3) > 0; }));
}

TEST(StreamProblems, TheWaitForBrokersIsNotAMistake) {
  World w(2);
  w.run(100);
  w.coordinator->set_expected_brokers({{0, ""}, {1, ""}});
  sluice::v1::StreamConfig config;
  config.set_replication(3);
  w.coordinator->stream_declared({"s", config});
  w.run(500);
  EXPECT_NE(w.coordinator->stream_problem("s"), "");
  EXPECT_TRUE(w.coordinator->stream_waits("s"));
  w.add_broker(2, "z2");
  w.run(2000);
  EXPECT_EQ(w.coordinator->stream_problem("s"), "");
  EXPECT_FALSE(w.coordinator->stream_waits("s"));
  config.set_replication(0);
  config.set_partitions(5000);
  w.coordinator->stream_declared({"big", config});
  w.run(500);
  EXPECT_NE(w.coordinator->stream_problem("big"), "");
  EXPECT_FALSE(w.coordinator->stream_waits("big"));
}

}  // namespace
}  // namespace broker::coordination
