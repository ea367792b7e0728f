// Membership transitions: learner -> old and new ensemble together -> new ensemble.
#include <algorithm>

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

}  // namespace

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
  return {};
}

}  // namespace broker::coordination
