// Membership transitions: learner -> old and new ensemble together -> new ensemble.
#include <algorithm>
#include <set>

#include "broker/coordination/shard_map.h"

namespace broker::coordination {
namespace {

Status refused(int32_t index, const std::string& why) {
  return Status(Code::kConflict, "shard " + std::to_string(index) + " " + why);
}

void erase_replica(Replicas& replicas, const Replica& gone) {
  for (int i = replicas.size() - 1; i >= 0; --i) {
    if (same_replica(replicas[i], gone)) replicas.DeleteSubrange(i, 1);
  }
}

bool wants(const Shard& shard, int32_t broker) {
  const auto& wanted = shard.wanted_brokers();
  return std::find(wanted.begin(), wanted.end(), broker) != wanted.end();
}

// The order in which clients see them: the first is the preferred leader.
void order_as_wanted(Shard& shard) {
  const auto& wanted = shard.wanted_brokers();
  auto rank = [&](const Replica& replica) {
    return std::find(wanted.begin(), wanted.end(), replica.broker()) - wanted.begin();
  };
  auto& replicas = *shard.mutable_replicas();
  std::stable_sort(replicas.begin(), replicas.end(),
                   [&](const Replica& a, const Replica& b) { return rank(a) < rank(b); });
}

}  // namespace

Status want_brokers(ShardMap& map, int32_t index, const std::vector<int32_t>& brokers) {
  Shard* shard = find_shard_by_index(map, index);
  if (!shard) return Status(Code::kNotFound, "no shard " + std::to_string(index));
  if (brokers.size() > kReplicationMax) {
    return Status(Code::kInvalidArgument,
                  "a shard has at most " + std::to_string(kReplicationMax) + " copies");
  }
  if (std::set<int32_t>(brokers.begin(), brokers.end()).size() != brokers.size()) {
    return Status(Code::kInvalidArgument, "a broker is named twice");
  }
  shard->clear_wanted_brokers();
  for (int32_t broker : brokers) shard->add_wanted_brokers(broker);
  order_as_wanted(*shard);
  return {};
}

int copies_of(const ShardMap& map, const Shard& shard) {
  return shard.wanted_brokers().empty() ? map.config().replication() : shard.wanted_brokers_size();
}

int agreed_copies(const ShardMap& map) {
  if (map.shards().empty()) return 0;
  const int copies = map.shards(0).wanted_brokers_size();
  const bool agreed =
      copies != map.config().replication() &&
      std::all_of(map.shards().begin(), map.shards().end(), [&](const Shard& shard) {
        return shard.wanted_brokers_size() == copies && !is_reassigning(shard);
      });
  return agreed ? copies : 0;
}

bool is_reassigning(const Shard& shard) {
  if (shard.wanted_brokers().empty()) return false;
  const auto& replicas = shard.replicas();
  return is_joint(shard) || replicas.size() != shard.wanted_brokers_size() ||
         std::any_of(replicas.begin(), replicas.end(),
                     [&](const Replica& r) { return !wants(shard, r.broker()); });
}

Status add_learner(ShardMap& map, int32_t index, const Replica& learner) {
  Shard* shard = find_shard_by_index(map, index);
  if (!shard) return Status(Code::kNotFound, "no shard " + std::to_string(index));
  if (is_joint(*shard) || !shard->learners().empty()) {
    return refused(index, "has a membership change in flight");
  }
  if (contains_replica(shard->replicas(), learner)) return refused(index, "has that member");
  // Another incarnation on the same broker replaces a lost directory; two live ones cannot be.
  *shard->add_learners() = learner;
  return {};
}

Status remove_learner(ShardMap& map, int32_t index, const Replica& learner) {
  Shard* shard = find_shard_by_index(map, index);
  if (!shard) return Status(Code::kNotFound, "no shard " + std::to_string(index));
  if (!contains_replica(shard->learners(), learner)) return refused(index, "has no such learner");
  erase_replica(*shard->mutable_learners(), learner);
  return {};
}

Status begin_joint(ShardMap& map, int32_t index, int32_t from_term,
                   const std::optional<Replica>& add, const std::optional<Replica>& remove) {
  Shard* shard = find_shard_by_index(map, index);
  if (!shard) return Status(Code::kNotFound, "no shard " + std::to_string(index));
  if (shard->term() != from_term) return refused(index, "is in another term");
  if (is_joint(*shard)) return refused(index, "has a membership change in flight");
  if (add && !contains_replica(shard->learners(), *add)) return refused(index, "lost its learner");
  if (remove && !contains_replica(shard->replicas(), *remove)) {
    return refused(index, "has no such member");
  }
  Replicas next = shard->replicas();
  if (remove) erase_replica(next, *remove);
  if (add) *next.Add() = *add;
  if (next.empty()) return refused(index, "would have no member left");
  *shard->mutable_next_replicas() = next;
  if (add) erase_replica(*shard->mutable_learners(), *add);
  shard->set_term(from_term + 1);
  shard->clear_leader();
  return {};
}

Status finish_joint(ShardMap& map, int32_t index, int32_t term) {
  Shard* shard = find_shard_by_index(map, index);
  if (!shard) return Status(Code::kNotFound, "no shard " + std::to_string(index));
  if (!is_joint(*shard)) return refused(index, "has no membership change in flight");
  if (shard->term() != term || !shard->has_leader()) return refused(index, "is in another term");
  if (!find_replica(shard->next_replicas(), shard->leader())) {
    return refused(index, "is led by a member that leaves");
  }
  *shard->mutable_replicas() = shard->next_replicas();
  shard->clear_next_replicas();
  order_as_wanted(*shard);
  return {};
}

}  // namespace broker::coordination
