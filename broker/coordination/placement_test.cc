// Placement and the plan of moves, as pure functions of maps and brokers.
#include "broker/coordination/placement.h"

#include <gtest/gtest.h>

namespace broker::coordination {
namespace {

BrokerInfo broker(int32_t id, const std::string& zone) {
  return {id, "d" + std::to_string(id), zone, true, false};
}

std::vector<BrokerInfo> three_zones(int count) {
  std::vector<BrokerInfo> out;
  for (int i = 0; i < count; ++i) out.push_back(broker(i, "z" + std::to_string(i % 3)));
  return out;
}

ShardMap stream(const std::vector<BrokerInfo>& brokers, int shards, int replication) {
  StreamConfig config;
  config.set_mode(sluice::v1::STREAM_MODE_PARTITIONED);
  config.set_partitions(shards);
  config.set_replication(replication);
  config.set_record_bytes_max(1);
  auto ensembles = place_shards({}, brokers, shards, replication);
  CHECK(ensembles.ok());
  auto map = make_map({"4a4b0c5e-2f0e-4d0a-8a55-8d1c9e0f7a11", "s", "c", config, 1}, *ensembles);
  CHECK(map.ok());
  for (auto& shard : *map->mutable_shards()) shard.set_leader(shard.replicas(0).broker());
  return *map;
}

// As if every move were finished.
void carry_out(ShardMap& map, const MovePlan& plan) {
  for (const auto& move : plan.moves) {
    Shard* shard = find_shard_by_index(map, move.shard);
    auto* replicas = shard->mutable_replicas();
    for (int i = replicas->size() - 1; move.remove && i >= 0; --i) {
      if (same_replica(replicas->Get(i), *move.remove)) replicas->DeleteSubrange(i, 1);
    }
    if (move.add) *replicas->Add() = *move.add;
    if (!find_replica(*replicas, shard->leader())) shard->set_leader(replicas->Get(0).broker());
  }
}

std::set<std::string> zones_of(const Shard& shard, const std::vector<BrokerInfo>& brokers) {
  std::set<std::string> zones;
  for (const auto& replica : shard.replicas()) zones.insert(brokers[replica.broker()].zone);
  return zones;
}

TEST(Placement, SpreadsOverZonesAndBrokers) {
  auto brokers = three_zones(6);
  ShardMap map = stream(brokers, 12, 3);
  for (const auto& shard : map.shards()) EXPECT_EQ(zones_of(shard, brokers).size(), 3u);
  for (const auto& [id, count] : count_replicas({&map})) EXPECT_EQ(count, 6) << id;
}

TEST(Placement, NeedsEnoughBrokers) {
  auto brokers = three_zones(3);
  brokers[0].draining = true;
  brokers[1].alive = false;
  auto placed = place_shards({}, brokers, 1, 2);
  EXPECT_EQ(placed.code(), Code::kUnavailable);
  EXPECT_NE(placed.status().message().find("1 are alive"), std::string::npos);
}

TEST(Plan, NothingToDoWhenEven) {
  auto brokers = three_zones(3);
  ShardMap map = stream(brokers, 8, 3);
  EXPECT_TRUE(plan_moves({&map}, brokers, 100).moves.empty());
}

TEST(Plan, FillsANewBrokerAndStops) {
  auto brokers = three_zones(3);
  ShardMap map = stream(brokers, 12, 3);
  brokers.push_back(broker(3, "z0"));
  auto plan = plan_moves({&map}, brokers, 100);
  EXPECT_EQ(plan.moves.size(), 6u);  // from broker 0, the only one of its zone
  carry_out(map, plan);
  EXPECT_EQ(count_replicas({&map})[3], 6);
  for (const auto& shard : map.shards()) EXPECT_EQ(zones_of(shard, brokers).size(), 3u);
  EXPECT_TRUE(plan_moves({&map}, brokers, 100).moves.empty());
  // Where zones do not bind, everybody gives.
  auto flat = three_zones(3);
  for (auto& b : flat) b.zone = "";
  ShardMap other = stream(flat, 12, 3);
  flat.push_back(broker(3, ""));
  carry_out(other, plan_moves({&other}, flat, 100));
  for (const auto& [id, count] : count_replicas({&other})) EXPECT_EQ(count, 9) << id;
}

// Found by broker_sim --seed 5174: moves under way were not counted, so that all replicas of a broker
// went to the new one of its zone, and all of them back again, for ever.
TEST(Plan, CountsWhatIsUnderWay) {
  auto brokers = three_zones(3);
  ShardMap map = stream(brokers, 12, 3);
  brokers.push_back(broker(3, "z0"));
  auto begun = plan_moves({&map}, brokers, 4).moves;
  ASSERT_EQ(begun.size(), 4u);
  auto rest = [&](const std::vector<Move>& under_way) {
    return plan_moves({&map}, brokers, 100, {}, false, under_way).moves;
  };
  // Before the map shows them, as learners, and after a restart that has forgotten who leaves.
  EXPECT_EQ(rest(begun).size(), 2u);
  for (const auto& move : begun) ASSERT_TRUE(add_learner(map, move.shard, *move.add).ok());
  EXPECT_EQ(rest(begun).size(), 2u);
  EXPECT_EQ(rest({}).size(), 2u);
  for (const auto& move : rest(begun)) {
    for (const auto& earlier : begun) EXPECT_NE(move.shard, earlier.shard);
  }
}

TEST(Plan, BoundsBalancingOnly) {
  auto brokers = three_zones(3);
  ShardMap map = stream(brokers, 12, 3);
  brokers.push_back(broker(3, "z0"));
  EXPECT_EQ(plan_moves({&map}, brokers, 2).moves.size(), 2u);
  brokers[0].draining = true;
  EXPECT_EQ(plan_moves({&map}, brokers, 0).moves.size(), 12u);
}

TEST(Plan, DrainsToOthersOrSaysWhyNot) {
  auto brokers = three_zones(4);
  ShardMap map = stream(brokers, 12, 3);
  brokers[1].draining = true;
  auto plan = plan_moves({&map}, brokers, 0);
  carry_out(map, plan);
  EXPECT_EQ(count_replicas({&map})[1], 0);
  for (const auto& move : plan.moves) EXPECT_EQ(move.reason, MoveReason::kDrain);
  EXPECT_TRUE(plan.blocked.empty());
  brokers[2].draining = true;
  plan = plan_moves({&map}, brokers, 0);
  EXPECT_TRUE(plan.moves.empty());
  EXPECT_NE(plan.blocked[2].find("keeps 3 copies"), std::string::npos);
}

TEST(Plan, ReplacesALostDirectoryInPlace) {
  auto brokers = three_zones(3);
  ShardMap map = stream(brokers, 2, 3);
  brokers[2].directory = "new";
  auto plan = plan_moves({&map}, brokers, 0);
  ASSERT_EQ(plan.moves.size(), 2u);
  EXPECT_EQ(plan.moves[0].reason, MoveReason::kLostDirectory);
  EXPECT_EQ(plan.moves[0].add->directory(), "new");
  EXPECT_EQ(plan.moves[0].remove->directory(), "d2");
}

TEST(Plan, FollowsTheStreamsReplication) {
  auto brokers = three_zones(3);
  ShardMap map = stream(brokers, 3, 2);
  map.mutable_config()->set_replication(3);
  auto plan = plan_moves({&map}, brokers, 0);
  ASSERT_EQ(plan.moves.size(), 3u);
  EXPECT_TRUE(plan.moves[0].add && !plan.moves[0].remove);
  carry_out(map, plan);
  map.mutable_config()->set_replication(1);
  carry_out(map, plan_moves({&map}, brokers, 0));
  plan = plan_moves({&map}, brokers, 0);
  for (const auto& move : plan.moves) {
    EXPECT_NE(move.remove->broker(), find_shard_by_index(map, move.shard)->leader());
  }
  carry_out(map, plan);
  for (const auto& shard : map.shards()) EXPECT_EQ(shard.replicas_size(), 1);
}

TEST(Plan, LeavesDeadBrokersAlone) {
  auto brokers = three_zones(4);
  ShardMap map = stream(brokers, 6, 3);
  brokers[0].alive = false;
  EXPECT_TRUE(plan_moves({&map}, brokers, 100).moves.empty());
}

TEST(Plan, WhoLeavesIsFoundFromTheMapAlone) {
  auto brokers = three_zones(4);
  ShardMap map = stream(three_zones(3), 1, 3);
  Shard& shard = *map.mutable_shards(0);
  Replica learner;
  learner.set_broker(3);
  learner.set_directory("d3");
  *shard.add_learners() = learner;
  // Broker 3 shares zone z0 with broker 0.
  EXPECT_EQ(pick_leaving(map, shard, learner, {&map}, brokers)->broker(), 0);
  brokers[1].draining = true;
  EXPECT_EQ(pick_leaving(map, shard, learner, {&map}, brokers)->broker(), 1);
  Replica again;
  again.set_broker(2);
  again.set_directory("new");
  EXPECT_EQ(pick_leaving(map, shard, again, {&map}, brokers)->directory(), "d2");
  map.mutable_config()->set_replication(4);
  brokers[1].draining = false;
  EXPECT_FALSE(pick_leaving(map, shard, learner, {&map}, brokers));
}

}  // namespace
}  // namespace broker::coordination
