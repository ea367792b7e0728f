#include "broker/coordination/placement.h"

#include <algorithm>
#include <tuple>

#include "broker/coordination/balance.h"

namespace broker::coordination {
namespace {

const BrokerInfo* find_broker(const std::vector<BrokerInfo>& brokers, int32_t id) {
  const auto guess = static_cast<size_t>(id);  // they mostly are all there and in order
  if (guess < brokers.size() && brokers[guess].id == id) return &brokers[guess];
  for (const auto& broker : brokers) {
    if (broker.id == id) return &broker;
  }
  return nullptr;
}

bool usable(const BrokerInfo& broker) {
  return broker.alive && !broker.draining && !broker.directory.empty();
}

bool away_for_a_moment(const BrokerInfo& broker) {
  return !broker.alive && broker.expected_back && !broker.draining && !broker.directory.empty();
}

Replica replica_on(const BrokerInfo& broker) {
  Replica replica;
  replica.set_broker(broker.id);
  replica.set_directory(broker.directory);
  return replica;
}

// The ensemble that a shard has or is on the way to.
std::vector<Replica> target_of(const Shard& shard) {
  const auto& replicas = shard.next_replicas().empty() ? shard.replicas() : shard.next_replicas();
  return {replicas.begin(), replicas.end()};
}

int zone_count(const std::vector<Replica>& replicas, const std::vector<BrokerInfo>& brokers,
               const std::string& zone) {
  int count = 0;
  for (const auto& replica : replicas) {
    const auto* broker = find_broker(brokers, replica.broker());
    if (broker && broker->zone == zone) ++count;
  }
  return count;
}

int distinct_zones(const std::vector<Replica>& replicas, const std::vector<BrokerInfo>& brokers) {
  std::set<std::string> zones;
  for (const auto& replica : replicas) {
    const auto* broker = find_broker(brokers, replica.broker());
    if (broker) zones.insert(broker->zone);
  }
  return static_cast<int>(zones.size());
}

std::vector<Replica> without(const std::vector<Replica>& replicas, const Replica& gone) {
  std::vector<Replica> out;
  for (const auto& replica : replicas) {
    if (!same_replica(replica, gone)) out.push_back(replica);
  }
  return out;
}

// The best broker to join `members`: least crowded zone, then fewest replicas, then leaders.
const BrokerInfo* best_joiner(const std::vector<Replica>& members,
                              const std::vector<BrokerInfo>& brokers,
                              std::map<int32_t, int>& replicas, std::map<int32_t, int>& leaders,
                              bool (*fits)(const BrokerInfo&) = usable) {
  const BrokerInfo* best = nullptr;
  std::tuple<int, int, int> best_cost;
  for (const auto& broker : brokers) {
    if (!fits(broker)) continue;
    bool has = std::any_of(members.begin(), members.end(),
                           [&](const Replica& r) { return r.broker() == broker.id; });
    if (has) continue;
    std::tuple cost{zone_count(members, brokers, broker.zone), replicas[broker.id],
                    leaders[broker.id]};
    if (!best || cost < best_cost) best = &broker, best_cost = cost;
  }
  return best;
}

}  // namespace

std::string_view to_string(MoveReason reason) {
  switch (reason) {
    case MoveReason::kLostDirectory:
      return "lost_directory";
    case MoveReason::kDrain:
      return "drain";
    case MoveReason::kReassign:
      return "reassign";
    case MoveReason::kReplication:
      return "replication";
    case MoveReason::kZones:
      return "zones";
    case MoveReason::kBalance:
      return "balance";
  }
  return "unknown";
}

std::map<int32_t, int> count_replicas(const std::vector<const ShardMap*>& maps) {
  std::map<int32_t, int> counts;
  for (const auto* map : maps) {
    if (map->deleting()) continue;
    for (const auto& shard : map->shards()) {
      for (const auto& replica : target_of(shard)) ++counts[replica.broker()];
      for (const auto& learner : shard.learners()) ++counts[learner.broker()];
    }
  }
  return counts;
}

std::map<int32_t, int> count_leaders(const std::vector<const ShardMap*>& maps) {
  std::map<int32_t, int> counts;
  for (const auto* map : maps) {
    if (map->deleting()) continue;
    for (const auto& shard : map->shards()) {
      if (shard.has_leader() && shard.state() != sluice::v1::SHARD_STATE_CLOSED) {
        ++counts[shard.leader()];
      }
    }
  }
  return counts;
}

Status can_be_placed_later(const std::vector<BrokerInfo>& brokers, int replication) {
  const auto take = std::count_if(brokers.begin(), brokers.end(), [](const BrokerInfo& b) {
    return !b.draining && (b.alive || b.expected_back);
  });
  if (replication <= take) return {};
  return Status(Code::kTooFewBrokers, "replication factor " + std::to_string(replication) +
                                          " needs as many brokers; the cluster has " +
                                          std::to_string(take) + " that take replicas");
}

Result<std::vector<std::vector<Replica>>> place_shards(const std::vector<const ShardMap*>& maps,
                                                       const std::vector<BrokerInfo>& brokers,
                                                       int shards, int replication) {
  auto replicas = count_replicas(maps);
  auto leaders = count_leaders(maps);
  std::vector<std::vector<Replica>> ensembles;
  for (int i = 0; i < shards; ++i) {
    std::vector<Replica> members;
    while (static_cast<int>(members.size()) < replication) {
      const auto* broker = best_joiner(members, brokers, replicas, leaders);
      if (!broker && static_cast<int>(members.size()) > replication / 2) {
        broker = best_joiner(members, brokers, replicas, leaders, away_for_a_moment);
      }
      if (!broker) {
        return Status(Code::kUnavailable,
                      "replication " + std::to_string(replication) + " needs as many brokers; " +
                          std::to_string(members.size()) + " are alive and not draining");
      }
      members.push_back(replica_on(*broker));
      ++replicas[broker->id];
    }
    ensembles.push_back(std::move(members));
  }
  return ensembles;
}

namespace {

// The plan under construction: counts follow the moves already planned, and those under way.
class Planner {
 public:
  Planner(const std::vector<const ShardMap*>& maps, const std::vector<BrokerInfo>& brokers,
          const std::vector<Move>& under_way)
      : brokers_(brokers), leaders_(count_leaders(maps)) {
    std::map<std::pair<std::string_view, int32_t>, const Move*> moves;
    for (const auto& move : under_way) moves[{move.stream_id, move.shard}] = &move;
    for (const auto* map : maps) {
      if (map->deleting()) continue;
      for (const auto& shard : map->shards()) {
        auto move = moves.find({map->stream_id(), shard.index()});
        if (move == moves.end() && !in_change(shard)) {
          free_.push_back({map, &shard, false});
        } else {
          auto members = members_to_come(maps, *map, shard,
                                         move == moves.end() ? nullptr : move->second);
          fixed_.push_back({map, &shard, std::move(members)});
        }
      }
    }
    for (const auto& item : free_) count(target_of(*item.shard));
    for (const auto& item : fixed_) count(item.members);
  }

  void replace_lost() {
    for (auto& item : free_) {
      for (const auto& replica : item.shard->replicas()) {
        const auto* broker = find_broker(brokers_, replica.broker());
        if (item.taken || !broker || !usable(*broker) || broker->directory == replica.directory()) {
          continue;
        }
        // The same broker with a new directory: counts stay.
        take(item, replica_on(*broker), replica, MoveReason::kLostDirectory, false);
      }
    }
  }

  void leave_draining() {
    for (auto& item : free_) {
      for (const auto& replica : item.shard->replicas()) {
        const auto* broker = find_broker(brokers_, replica.broker());
        if (item.taken || !broker || !broker->draining) continue;
        auto rest = without(target_of(*item.shard), replica);
        bool surplus = static_cast<int>(rest.size()) >= copies_of(*item.map, *item.shard);
        const auto* joiner = surplus ? nullptr : best_joiner(rest, brokers_, replicas_, leaders_);
        if (surplus) {
          take(item, std::nullopt, replica, MoveReason::kDrain);
        } else if (joiner) {
          take(item, replica_on(*joiner), replica, MoveReason::kDrain);
        } else {
          plan_.blocked[broker->id] =
              "shard " + std::to_string(item.shard->index()) + " of stream '" + item.map->stream() +
              "' keeps " + std::to_string(copies_of(*item.map, *item.shard)) +
              " copies, and no other broker is alive, not draining and without one";
        }
      }
    }
  }

  // A wish for a broker that drains is passed over.
  void follow_wishes() {
    for (auto& item : free_) {
      const auto& wanted = item.shard->wanted_brokers();
      if (item.taken || wanted.empty() ||
          std::any_of(wanted.begin(), wanted.end(), [&](int32_t id) {
            const auto* broker = find_broker(brokers_, id);
            return !broker || broker->draining;
          })) {
        continue;
      }
      const BrokerInfo* joiner = nullptr;
      for (auto id = wanted.rbegin(); id != wanted.rend(); ++id) {
        if (!find_replica(item.shard->replicas(), *id)) joiner = find_broker(brokers_, *id);
      }
      std::optional<Replica> leaving;
      for (const auto& replica : item.shard->replicas()) {
        bool stays = std::find(wanted.begin(), wanted.end(), replica.broker()) != wanted.end();
        if (!stays && !leaving) leaving = replica;
      }
      if (joiner && usable(*joiner)) {
        bool full = item.shard->replicas_size() >= wanted.size();
        take(item, replica_on(*joiner), full ? leaving : std::nullopt, MoveReason::kReassign);
      } else if (!joiner && leaving) {
        take(item, std::nullopt, leaving, MoveReason::kReassign);
      }
      item.taken = true;
    }
  }

  void fit_replication() {
    for (auto& item : free_) {
      if (item.taken) continue;
      auto members = target_of(*item.shard);
      const int wanted = copies_of(*item.map, *item.shard);
      if (static_cast<int>(members.size()) < wanted) {
        const auto* joiner = best_joiner(members, brokers_, replicas_, leaders_);
        if (joiner) take(item, replica_on(*joiner), std::nullopt, MoveReason::kReplication);
      } else if (static_cast<int>(members.size()) > wanted) {
        take(item, std::nullopt, most_dispensable(*item.shard, members), MoveReason::kReplication);
      }
    }
  }

  // Moves that put a shard into more zones.
  void spread_zones(int& moves_max) {
    for (auto& item : free_) {
      if (item.taken) continue;
      if (moves_max == 0) return;
      auto members = target_of(*item.shard);
      if (distinct_zones(members, brokers_) == static_cast<int>(members.size())) continue;
      const auto* joiner = best_joiner(members, brokers_, replicas_, leaders_);
      if (!joiner || zone_count(members, brokers_, joiner->zone) > 0) continue;
      take(item, replica_on(*joiner), most_dispensable(*item.shard, members), MoveReason::kZones);
      --moves_max;
    }
  }

  void even_out(int moves_max, const ShardSizes& sizes, bool evens_bytes) {
    if (moves_max <= 0) return;
    Balance balance(brokers_, sizes);
    for (const auto& item : free_) {
      balance.add(*item.map, *item.shard, !item.taken, replicas_after(item));
    }
    for (const auto& item : fixed_) balance.add(*item.map, *item.shard, false, item.members);
    balance.even_out(moves_max, evens_bytes);
    for (auto& move : balance.first_moves()) plan_.moves.push_back(std::move(move));
    plan_.evens_bytes = balance.evens_bytes();
  }

  MovePlan finish() { return std::move(plan_); }

 private:
  struct Item {
    const ShardMap* map;
    const Shard* shard;
    bool taken;
    std::optional<Replica> add = {}, remove = {};  // by the move that took it
  };

  // In change: with the ensemble that it will have.
  struct Fixed {
    const ShardMap* map;
    const Shard* shard;
    std::vector<Replica> members;
  };

  void count(const std::vector<Replica>& members) {
    for (const auto& replica : members) ++replicas_[replica.broker()];
  }
  std::vector<Replica> members_to_come(const std::vector<const ShardMap*>& maps,
                                       const ShardMap& map, const Shard& shard,
                                       const Move* move) const {
    auto members = target_of(shard);
    if (is_joint(shard)) return members;
    if (move) {
      if (move->remove) members = without(members, *move->remove);
      if (move->add) {
        members = without(members, *move->add);
        members.push_back(*move->add);
      }
    } else if (!shard.learners().empty()) {
      const Replica& learner = shard.learners(0);
      if (auto leaving = pick_leaving(map, shard, learner, maps, brokers_)) {
        members = without(members, *leaving);
      }
      members.push_back(learner);
    }
    return members;
  }

  static bool in_change(const Shard& shard) {
    return is_joint(shard) || !shard.learners().empty() ||
           shard.state() == sluice::v1::SHARD_STATE_SEALING;
  }
  static std::vector<Replica> replicas_after(const Item& item) {
    auto members = target_of(*item.shard);
    if (item.remove) members = without(members, *item.remove);
    if (item.add) members.push_back(*item.add);
    return members;
  }

  void take(Item& item, std::optional<Replica> add, std::optional<Replica> remove,
            MoveReason reason, bool count = true) {
    item.taken = true;
    if (count && add) ++replicas_[add->broker()];
    if (count && remove) --replicas_[remove->broker()];
    item.add = add;
    item.remove = remove;
    plan_.moves.push_back({item.map->stream_id(), item.shard->index(), add, remove, reason});
  }

  // Not the leader where that can be helped; from a crowded zone; from the fullest broker.
  Replica most_dispensable(const Shard& shard, const std::vector<Replica>& members) {
    return *std::max_element(
        members.begin(), members.end(), [&](const Replica& a, const Replica& b) {
          return dispensability(shard, members, a) < dispensability(shard, members, b);
        });
  }
  std::tuple<int, int, int> dispensability(const Shard& shard, const std::vector<Replica>& members,
                                           const Replica& replica) {
    const auto* broker = find_broker(brokers_, replica.broker());
    bool leads = shard.has_leader() && shard.leader() == replica.broker();
    return {broker ? zone_count(members, brokers_, broker->zone) : 99, leads ? 0 : 1,
            replicas_[replica.broker()]};
  }

  const std::vector<BrokerInfo>& brokers_;
  std::map<int32_t, int> replicas_;
  std::map<int32_t, int> leaders_;
  std::vector<Item> free_;
  std::vector<Fixed> fixed_;
  MovePlan plan_;
};

}  // namespace

MovePlan plan_moves(const std::vector<const ShardMap*>& maps,
                    const std::vector<BrokerInfo>& brokers, int balance_moves_max,
                    const ShardSizes& sizes, bool evens_bytes,
                    const std::vector<Move>& under_way) {
  Planner planner(maps, brokers, under_way);
  planner.replace_lost();
  planner.leave_draining();
  planner.follow_wishes();
  planner.fit_replication();
  planner.spread_zones(balance_moves_max);
  planner.even_out(balance_moves_max, sizes, evens_bytes);
  return planner.finish();
}

Applies still_applies(const ShardMap& map, const Shard& shard, int32_t from, int32_t to,
                      const std::vector<BrokerInfo>& brokers, Move& move) {
  const auto* target = find_broker(brokers, to);
  const Replica* leaving = find_replica(shard.replicas(), from);
  if (map.deleting() || !target || target->draining || !leaving || !shard.wanted_brokers().empty() ||
      find_replica(shard.replicas(), to)) {
    return Applies::kNever;
  }
  if (is_joint(shard) || !shard.learners().empty() ||
      shard.state() == sluice::v1::SHARD_STATE_SEALING) {
    return Applies::kLater;
  }
  if (!usable(*target)) return target->expected_back ? Applies::kLater : Applies::kNever;
  std::vector<Replica> members(shard.replicas().begin(), shard.replicas().end());
  auto after = without(members, *leaving);
  after.push_back(replica_on(*target));
  if (distinct_zones(after, brokers) < distinct_zones(members, brokers)) return Applies::kNever;
  move = {map.stream_id(), shard.index(), replica_on(*target), *leaving, MoveReason::kBalance};
  return Applies::kNow;
}

std::optional<Replica> pick_leaving(const ShardMap& map, const Shard& shard, const Replica& learner,
                                    const std::vector<const ShardMap*>& maps,
                                    const std::vector<BrokerInfo>& brokers) {
  if (const auto* lost = find_replica(shard.replicas(), learner.broker())) return *lost;
  for (const auto& replica : shard.replicas()) {
    const auto* broker = find_broker(brokers, replica.broker());
    if (broker && broker->draining) return replica;
  }
  if (shard.replicas_size() < copies_of(map, shard)) return std::nullopt;
  const auto& wanted = shard.wanted_brokers();
  if (std::find(wanted.begin(), wanted.end(), learner.broker()) != wanted.end()) {
    for (const auto& replica : shard.replicas()) {
      if (std::find(wanted.begin(), wanted.end(), replica.broker()) == wanted.end()) return replica;
    }
  }
  // Balance: the zone spread must not suffer, the fullest broker gives.
  auto counts = count_replicas(maps);
  std::vector<Replica> members(shard.replicas().begin(), shard.replicas().end());
  const Replica* best = nullptr;
  std::tuple<int, int> best_cost;
  for (const auto& replica : shard.replicas()) {
    auto after = without(members, replica);
    after.push_back(learner);
    std::tuple cost{-distinct_zones(after, brokers), -counts[replica.broker()]};
    if (!best || cost < best_cost) best = &replica, best_cost = cost;
  }
  return *best;
}

}  // namespace broker::coordination
