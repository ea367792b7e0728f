// What holds for every map that is written, and between a map and the one before it.
#include <algorithm>
#include <map>

#include "broker/base/uuid.h"
#include "broker/coordination/shard_map.h"
#include "broker/metering/meter.h"

namespace broker::coordination {
namespace {

using sluice::v1::SHARD_STATE_CLOSED;
using sluice::v1::SHARD_STATE_OPEN;
using sluice::v1::SHARD_STATE_SEALING;
using sluice::v1::STREAM_MODE_ELASTIC;

Status broken(const std::string& what) {
  return Status(Code::kInternal, what);
}
Status broken(const Shard& shard, const std::string& what) {
  return broken("shard " + std::to_string(shard.index()) + ": " + what);
}

bool one_per_broker(const Replicas& replicas) {
  std::set<int32_t> brokers;
  for (const auto& r : replicas) brokers.insert(r.broker());
  return static_cast<int>(brokers.size()) == replicas.size();
}

Status check_members(const Shard& shard) {
  if (shard.replicas().empty()) return broken(shard, "no replicas");
  if (!one_per_broker(shard.replicas()) || !one_per_broker(shard.next_replicas())) {
    return broken(shard, "two replicas on one broker");
  }
  for (const auto& learner : shard.learners()) {
    if (contains_replica(shard.replicas(), learner) ||
        contains_replica(shard.next_replicas(), learner)) {
      return broken(shard, "a learner is a member");
    }
  }
  if (shard.term() < -1) return broken(shard, "term below -1");
  if (!shard.has_leader()) return {};
  if (shard.term() < 0) return broken(shard, "a leader without a term");
  if (!find_replica(shard.replicas(), shard.leader()) &&
      !find_replica(shard.next_replicas(), shard.leader())) {
    return broken(shard, "the leader is no member");
  }
  return {};
}

Status check_shard(const ShardMap& map, const Shard& shard) {
  RETURN_IF_ERROR(check_members(shard));
  auto range = parse_range(shard.hash_range());
  if (!range.ok()) return broken(shard, range.status().message());
  if (map.config().mode() != STREAM_MODE_ELASTIC) {
    if (*range != KeyRange{}) return broken(shard, "a partition has the whole key range");
    if (shard.state() != SHARD_STATE_OPEN) return broken(shard, "a partition is open");
  }
  if (shard.state() != SHARD_STATE_OPEN && shard.state() != SHARD_STATE_SEALING &&
      shard.state() != SHARD_STATE_CLOSED) {
    return broken(shard, "no state");
  }
  if (shard.state() == SHARD_STATE_SEALING && shard.reshard_into().empty()) {
    return broken(shard, "sealing without an aim");
  }
  bool closed = shard.state() == SHARD_STATE_CLOSED;
  if (closed != !shard.children().empty() || closed != (shard.end_offset() > 0)) {
    return broken(shard, "closed, children and end offset go together");
  }
  if (shard.opened_generation() < 1 || shard.opened_generation() > map.generation()) {
    return broken(shard, "opened in a generation that has not been");
  }
  if (shard.parents_size() > 2) return broken(shard, "more than two parents");
  for (int32_t index : shard.parents()) {
    if (index >= shard.index()) return broken(shard, "a parent is younger");
    const Shard* parent = find_shard_by_index(map, index);
    if (!parent) continue;  // trimmed by retention
    if (parent->opened_generation() >= shard.opened_generation()) {
      return broken(shard, "not opened after its parent");
    }
    const auto& children = parent->children();
    if (std::find(children.begin(), children.end(), shard.index()) == children.end()) {
      return broken(shard, "its parent does not name it");
    }
  }
  return {};
}

Status check_cover(const ShardMap& map) {
  if (map.config().mode() != STREAM_MODE_ELASTIC) return {};
  std::vector<KeyRange> ranges;
  for (const auto& shard : map.shards()) {
    if (shard.state() == SHARD_STATE_CLOSED) continue;
    ASSIGN_OR_RETURN(KeyRange range, parse_range(shard.hash_range()));
    ranges.push_back(range);
  }
  std::sort(ranges.begin(), ranges.end(), [](KeyRange a, KeyRange b) { return a.first < b.first; });
  if (ranges.empty() || ranges.front().first != 0 || ranges.back().last != kHashKeyMax) {
    return broken("the open shards do not cover the key space");
  }
  for (size_t i = 0; i + 1 < ranges.size(); ++i) {
    if (ranges[i].last + 1 != ranges[i + 1].first) {
      return broken("the open shards' ranges overlap or leave a gap");
    }
  }
  return {};
}

// Members that are in `a` and not in `b`.
int count_missing(const Replicas& a, const Replicas& b) {
  return static_cast<int>(
      std::count_if(a.begin(), a.end(), [&](const Replica& r) { return !contains_replica(b, r); }));
}

bool equal_sets(const Replicas& a, const Replicas& b) {
  return count_missing(a, b) == 0 && count_missing(b, a) == 0;
}

Status check_ensemble_step(const Shard& now, const Shard& before) {
  if (!is_joint(before)) {
    if (!equal_sets(now.replicas(), before.replicas())) {
      return broken(now, "the ensemble changed without a joint step");
    }
    if (!is_joint(now)) return {};
    if (count_missing(now.next_replicas(), now.replicas()) > 1 ||
        count_missing(now.replicas(), now.next_replicas()) > 1) {
      return broken(now, "more than one replica changes at once");
    }
    if (now.term() <= before.term()) return broken(now, "a joint ensemble needs a new term");
    return {};
  }
  if (is_joint(now)) {
    if (!equal_sets(now.replicas(), before.replicas()) ||
        !equal_sets(now.next_replicas(), before.next_replicas())) {
      return broken(now, "the ensembles changed during a membership change");
    }
    return {};
  }
  if (!equal_sets(now.replicas(), before.next_replicas())) {
    return broken(now, "a membership change ended in another ensemble");
  }
  if (now.term() != before.term() || !now.has_leader()) {
    return broken(now, "a membership change ends in its leader's term");
  }
  return {};
}

Status check_step(const Shard& now, const Shard& before) {
  if (now.term() < before.term()) return broken(now, "the term went back");
  if (now.term() == before.term() && before.has_leader() &&
      (!now.has_leader() || now.leader() != before.leader())) {
    return broken(now, "the leader changed within a term");
  }
  if (now.opened_generation() != before.opened_generation() ||
      now.hash_range().start() != before.hash_range().start() ||
      now.hash_range().end() != before.hash_range().end()) {
    return broken(now, "its identity changed");
  }
  if (now.state() < before.state()) return broken(now, "its state went back");
  return check_ensemble_step(now, before);
}

Status check_change(const ShardMap& map, const ShardMap& before) {
  if (map.stream_id() != before.stream_id() || map.stream() != before.stream()) {
    return broken("the stream's identity changed");
  }
  if (map.generation() != before.generation() + 1) return broken("generations grow by one");
  if (map.next_index() < before.next_index()) return broken("next_index went back");
  if (before.deleting() && !map.deleting()) return broken("a deletion was taken back");
  RETURN_IF_ERROR(metering::check_meter(map, before));
  std::map<int32_t, const Shard*> now;
  for (const auto& shard : map.shards()) now[shard.index()] = &shard;
  for (const auto& old : before.shards()) {
    auto it = now.find(old.index());
    if (it == now.end()) {
      if (old.state() != SHARD_STATE_CLOSED) return broken(old, "vanished while open");
      continue;
    }
    RETURN_IF_ERROR(check_step(*it->second, old));
    now.erase(it);
  }
  for (const auto& [index, shard] : now) {
    if (index < before.next_index()) return broken(*shard, "an index was used twice");
    if (shard->opened_generation() != map.generation()) {
      return broken(*shard, "a new shard carries another generation");
    }
  }
  return {};
}

}  // namespace

Status check_map(const ShardMap& map, const ShardMap* before) {
  if (!Uuid::parse(map.stream_id())) return broken("stream_id is no UUID");
  RETURN_IF_ERROR(check_stream_name(map.stream()));
  if (map.generation() < 1) return broken("generation below 1");
  std::set<int32_t> indexes;
  for (const auto& shard : map.shards()) {
    if (shard.index() < 0 || shard.index() >= map.next_index()) {
      return broken(shard, "index not below next_index");
    }
    if (!indexes.insert(shard.index()).second) return broken(shard, "appears twice");
    RETURN_IF_ERROR(check_shard(map, shard));
  }
  RETURN_IF_ERROR(check_cover(map));
  return before ? check_change(map, *before) : Status();
}

}  // namespace broker::coordination
