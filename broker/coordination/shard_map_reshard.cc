// Split, merge and retile: intent on the parents, then one write that closes them and opens the children.
#include <algorithm>

#include "broker/coordination/shard_map.h"

namespace broker::coordination {
namespace {

using sluice::v1::SHARD_STATE_CLOSED;
using sluice::v1::SHARD_STATE_OPEN;
using sluice::v1::SHARD_STATE_SEALING;
using sluice::v1::STREAM_MODE_ELASTIC;

Status bad(std::string message) {
  return Status(Code::kInvalidArgument, std::move(message));
}
std::string name_of(int32_t index) {
  return "shard " + std::to_string(index);
}

// The shard, open, in an elastic stream; with no membership change in flight.
Result<const Shard*> reshardable(const ShardMap& map, int32_t index) {
  if (map.deleting())
    return Status(Code::kNotFound, "stream '" + map.stream() + "' is being deleted");
  if (map.config().mode() != STREAM_MODE_ELASTIC) {
    return Status(Code::kPolicyViolation, "stream '" + map.stream() +
                                              "' is partitioned: only shards of an elastic stream "
                                              "split and merge");
  }
  const Shard* shard = find_shard_by_index(map, index);
  if (!shard)
    return Status(Code::kNotFound, "stream '" + map.stream() + "' has no " + name_of(index));
  if (shard->state() == SHARD_STATE_SEALING) {
    return Status(Code::kConflict, name_of(index) + " is already being split or merged");
  }
  if (shard->state() != SHARD_STATE_OPEN) {
    return Status(Code::kConflict, name_of(index) + " is closed");
  }
  return shard;
}

Status check_count(const ShardMap& map, int more) {
  const int after = open_shard_count(map) + more;
  const auto& config = map.config();
  const std::string would = "stream '" + map.stream() + "' would have ";
  if (more > 0 && after > config.shards_max()) {
    return Status(Code::kPolicyViolation, would + std::to_string(after) +
                                              " open shards; its shards_max is " +
                                              std::to_string(config.shards_max()));
  }
  if (more < 0 && after < config.shards_min()) {
    return Status(Code::kPolicyViolation, would + "fewer open shards than its shards_min, " +
                                              std::to_string(config.shards_min()));
  }
  return {};
}

struct Parent {
  int32_t index;
  KeyRange range;
};

// In order of their keys, without a gap.
Result<std::vector<Parent>> neighbours(const ShardMap& map, const std::vector<int32_t>& indexes) {
  std::vector<Parent> parents;
  for (int32_t index : indexes) {
    ASSIGN_OR_RETURN(const Shard* shard, reshardable(map, index));
    ASSIGN_OR_RETURN(KeyRange range, parse_range(shard->hash_range()));
    parents.push_back({index, range});
  }
  std::sort(parents.begin(), parents.end(),
            [](const Parent& a, const Parent& b) { return a.range.first < b.range.first; });
  for (size_t i = 0; i + 1 < parents.size(); ++i) {
    const Parent &a = parents[i], &b = parents[i + 1];
    if (a.index == b.index) return bad(name_of(a.index) + " is named twice");
    if (!are_adjacent(a.range, b.range)) {
      return bad("the hash key ranges of shards " + std::to_string(std::min(a.index, b.index)) +
                 " and " + std::to_string(std::max(a.index, b.index)) + " are not adjacent");
    }
  }
  return parents;
}

bool overlap(KeyRange a, KeyRange b) {
  return a.first <= b.last && b.first <= a.last;
}

// How many keys both have, less one; they overlap.
HashKey common(KeyRange a, KeyRange b) {
  return std::min(a.last, b.last) - std::max(a.first, b.first);
}

// The parents of a child, the lower keys first.
std::vector<const Parent*> parents_of(const std::vector<Parent>& parents, KeyRange child) {
  std::vector<const Parent*> out;
  for (const auto& parent : parents) {
    if (overlap(parent.range, child)) out.push_back(&parent);
  }
  return out;
}

Result<std::vector<HashKey>> parse_keys(const std::vector<std::string>& at) {
  std::vector<HashKey> keys;
  for (const auto& text : at) {
    auto key = parse_hash_key(text);
    if (!key) return bad("'" + text + "' is no hash key: a decimal number below 2^128");
    keys.push_back(*key);
  }
  return keys;
}

bool same_aim(const Shard& a, const Shard& b) {
  return std::equal(a.reshard_into().begin(), a.reshard_into().end(), b.reshard_into().begin(),
                    b.reshard_into().end(), [](const auto& x, const auto& y) {
                      return x.start() == y.start() && x.end() == y.end();
                    });
}

}  // namespace

Result<std::vector<KeyRange>> ranges_of_split(const ShardMap& map, int32_t index,
                                              const std::vector<std::string>& at, int parts) {
  ASSIGN_OR_RETURN(const Shard* shard, reshardable(map, index));
  ASSIGN_OR_RETURN(KeyRange range, parse_range(shard->hash_range()));
  if (at.empty()) {
    if (parts == 0) parts = 2;
    if (parts < 2) return bad("a shard is split into at least 2 shards");
    return split_equally(range, parts);
  }
  if (parts != 0 && parts != static_cast<int>(at.size()) + 1) {
    return bad("give hash keys or a number of parts, not both");
  }
  ASSIGN_OR_RETURN(auto keys, parse_keys(at));
  return cut_range(range, keys);
}

Result<std::vector<KeyRange>> ranges_of_retile(const ShardMap& map,
                                               const std::vector<int32_t>& indexes,
                                               const std::vector<std::string>& at) {
  if (indexes.empty()) return bad("no shard is named");
  ASSIGN_OR_RETURN(const auto parents, neighbours(map, indexes));
  ASSIGN_OR_RETURN(const auto keys, parse_keys(at));
  const KeyRange whole{parents.front().range.first, parents.back().range.last};
  if (keys.empty()) return std::vector<KeyRange>{whole};
  return cut_range(whole, keys);
}

Status begin_retile(ShardMap& map, const std::vector<int32_t>& indexes,
                    const std::vector<KeyRange>& into) {
  if (indexes.empty() || into.empty()) return bad("no shard is named, or none is to be made");
  ASSIGN_OR_RETURN(const auto parents, neighbours(map, indexes));
  if (into.front().first != parents.front().range.first ||
      into.back().last != parents.back().range.last) {
    return bad("the parts do not cover " + name_of(indexes[0]) +
               (indexes.size() > 1 ? " and its neighbours" : ""));
  }
  for (size_t i = 0; i < into.size(); ++i) {
    if (into[i].last < into[i].first ||
        (i + 1 < into.size() && into[i].last + 1 != into[i + 1].first)) {
      return bad("the parts do not follow one another");
    }
    const auto from = parents_of(parents, into[i]);
    if (from.size() > 2) {
      return bad("a shard would take over keys of " + std::to_string(from.size()) +
                 " shards; two at most, which the Kinesis API can name as its parents");
    }
    if (from.size() == 1 && from[0]->range == into[i]) {
      return bad(name_of(from[0]->index) + " would be replaced by one with the same keys");
    }
  }
  RETURN_IF_ERROR(check_count(map, static_cast<int>(into.size()) - static_cast<int>(indexes.size())));
  for (const auto& parent : parents) {
    Shard* shard = find_shard_by_index(map, parent.index);
    shard->set_state(SHARD_STATE_SEALING);
    for (KeyRange range : into) *shard->add_reshard_into() = format_range(range);
  }
  return {};
}

Status begin_split(ShardMap& map, int32_t index, const std::vector<KeyRange>& into) {
  RETURN_IF_ERROR(reshardable(map, index).status());
  if (into.size() < 2) return bad("a shard is split into at least 2 shards");
  return begin_retile(map, {index}, into);
}

Status begin_merge(ShardMap& map, int32_t index, int32_t adjacent) {
  if (index == adjacent) return bad("a shard cannot be merged with itself");
  ASSIGN_OR_RETURN(const auto into, ranges_of_retile(map, {index, adjacent}, {}));
  return begin_retile(map, {index, adjacent}, into);
}

std::vector<int32_t> reshard_family(const ShardMap& map, int32_t index) {
  const Shard* shard = find_shard_by_index(map, index);
  if (!shard || shard->state() != SHARD_STATE_SEALING) return {};
  std::vector<int32_t> family;
  for (const auto& other : map.shards()) {
    if (other.state() == SHARD_STATE_SEALING && same_aim(other, *shard)) {
      family.push_back(other.index());
    }
  }
  return family;
}

Status open_children(ShardMap& map, const std::vector<SealedShard>& parents, int64_t now_ms) {
  CHECK(!parents.empty());
  std::vector<int32_t> indexes;
  for (const auto& parent : parents) indexes.push_back(parent.index);
  std::sort(indexes.begin(), indexes.end());
  if (reshard_family(map, indexes[0]) != indexes) {
    return Status(Code::kConflict, name_of(indexes[0]) + " is not being replaced that way");
  }
  std::vector<Parent> family;
  for (int32_t index : indexes) {
    ASSIGN_OR_RETURN(KeyRange range, parse_range(find_shard_by_index(map, index)->hash_range()));
    family.push_back({index, range});
  }
  // The lower range first, as Kinesis names a merge's parents.
  std::sort(family.begin(), family.end(),
            [](const Parent& a, const Parent& b) { return a.range.first < b.range.first; });
  // A copy: adding shards moves them.
  const auto into = find_shard_by_index(map, indexes[0])->reshard_into();
  for (const auto& text : into) {
    ASSIGN_OR_RETURN(KeyRange range, parse_range(text));
    const int32_t index = map.next_index();
    map.set_next_index(index + 1);
    Shard* child = map.add_shards();
    child->set_index(index);
    child->set_state(SHARD_STATE_OPEN);
    *child->mutable_hash_range() = text;
    const Parent* nearest = nullptr;
    for (const Parent* parent : parents_of(family, range)) {
      child->add_parents(parent->index);
      find_shard_by_index(map, parent->index)->add_children(index);
      if (!nearest || common(parent->range, range) > common(nearest->range, range)) nearest = parent;
    }
    CHECK(nearest != nullptr);
    child->set_term(0);
    // A membership change of the parent in flight goes on for the parent alone.
    *child->mutable_replicas() = find_shard_by_index(map, nearest->index)->replicas();
    child->set_opened_generation(map.generation());
    child->set_opened_ms(now_ms);
  }
  for (const auto& sealed : parents) {
    Shard* parent = find_shard_by_index(map, sealed.index);
    parent->set_state(SHARD_STATE_CLOSED);
    parent->set_end_offset(sealed.end_offset);
    parent->set_closed_ms(now_ms);
  }
  return {};
}

}  // namespace broker::coordination
