// Split and merge: intent on the parents, then one write that closes them and opens the children.
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

Status check_room(const ShardMap& map, int more) {
  int after = open_shard_count(map) + more;
  if (after > map.config().shards_max()) {
    return Status(Code::kPolicyViolation, "stream '" + map.stream() + "' would have " +
                                              std::to_string(after) +
                                              " open shards; its shards_max is " +
                                              std::to_string(map.config().shards_max()));
  }
  return {};
}

void intend(Shard& shard, const std::vector<KeyRange>& into) {
  shard.set_state(SHARD_STATE_SEALING);
  for (KeyRange range : into) *shard.add_reshard_into() = format_range(range);
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
  std::vector<HashKey> keys;
  for (const auto& text : at) {
    auto key = parse_hash_key(text);
    if (!key) return bad("'" + text + "' is no hash key: a decimal number below 2^128");
    keys.push_back(*key);
  }
  return cut_range(range, keys);
}

Status begin_split(ShardMap& map, int32_t index, const std::vector<KeyRange>& into) {
  ASSIGN_OR_RETURN(const Shard* parent, reshardable(map, index));
  if (into.size() < 2) return bad("a shard is split into at least 2 shards");
  ASSIGN_OR_RETURN(KeyRange whole, parse_range(parent->hash_range()));
  if (into.front().first != whole.first || into.back().last != whole.last) {
    return bad("the parts do not cover " + name_of(index));
  }
  for (size_t i = 0; i + 1 < into.size(); ++i) {
    if (into[i].last < into[i].first || into[i].last + 1 != into[i + 1].first) {
      return bad("the parts do not follow one another");
    }
  }
  RETURN_IF_ERROR(check_room(map, static_cast<int>(into.size()) - 1));
  intend(*find_shard_by_index(map, index), into);
  return {};
}

Status begin_merge(ShardMap& map, int32_t index, int32_t adjacent) {
  if (index == adjacent) return bad("a shard cannot be merged with itself");
  ASSIGN_OR_RETURN(const Shard* a, reshardable(map, index));
  ASSIGN_OR_RETURN(const Shard* b, reshardable(map, adjacent));
  ASSIGN_OR_RETURN(KeyRange first, parse_range(a->hash_range()));
  ASSIGN_OR_RETURN(KeyRange second, parse_range(b->hash_range()));
  if (!are_adjacent(first, second)) {
    return bad("the hash key ranges of shards " + std::to_string(index) + " and " +
               std::to_string(adjacent) + " are not adjacent");
  }
  if (open_shard_count(map) - 1 < map.config().shards_min()) {
    return Status(Code::kPolicyViolation,
                  "stream '" + map.stream() +
                      "' would have fewer open shards than its shards_min, " +
                      std::to_string(map.config().shards_min()));
  }
  std::vector<KeyRange> into = {join_ranges(first, second)};
  intend(*find_shard_by_index(map, index), into);
  intend(*find_shard_by_index(map, adjacent), into);
  return {};
}

std::vector<int32_t> reshard_family(const ShardMap& map, int32_t index) {
  const Shard* shard = find_shard_by_index(map, index);
  if (!shard || shard->state() != SHARD_STATE_SEALING) return {};
  if (shard->reshard_into_size() > 1) return {index};
  std::vector<int32_t> family;
  for (const auto& other : map.shards()) {
    if (other.state() == SHARD_STATE_SEALING && other.reshard_into_size() == 1 &&
        other.reshard_into(0).start() == shard->reshard_into(0).start() &&
        other.reshard_into(0).end() == shard->reshard_into(0).end()) {
      family.push_back(other.index());
    }
  }
  return family;
}

static Result<std::vector<int32_t>> in_order_of_ranges(const ShardMap& map,
                                                       const std::vector<int32_t>& indexes) {
  std::vector<std::pair<HashKey, int32_t>> begins;
  for (int32_t index : indexes) {
    ASSIGN_OR_RETURN(KeyRange range, parse_range(find_shard_by_index(map, index)->hash_range()));
    begins.emplace_back(range.first, index);
  }
  std::sort(begins.begin(), begins.end());
  std::vector<int32_t> ordered;
  for (const auto& [first, index] : begins) ordered.push_back(index);
  return ordered;
}

Status open_children(ShardMap& map, const std::vector<SealedShard>& parents, int64_t now_ms) {
  CHECK(!parents.empty());
  std::vector<int32_t> indexes;
  for (const auto& parent : parents) indexes.push_back(parent.index);
  std::sort(indexes.begin(), indexes.end());
  if (reshard_family(map, indexes[0]) != indexes) {
    return Status(Code::kConflict, name_of(indexes[0]) + " is not being split or merged that way");
  }
  // The lower range first, as Kinesis names a merge's parents.
  ASSIGN_OR_RETURN(const std::vector<int32_t> by_range, in_order_of_ranges(map, indexes));
  // Copies: adding shards moves the parents.
  const Shard first = *find_shard_by_index(map, indexes[0]);
  std::vector<int32_t> children;
  for (const auto& range : first.reshard_into()) {
    Shard* child = map.add_shards();
    child->set_index(map.next_index());
    map.set_next_index(map.next_index() + 1);
    children.push_back(child->index());
    child->set_state(SHARD_STATE_OPEN);
    *child->mutable_hash_range() = range;
    for (int32_t parent : by_range) child->add_parents(parent);
    child->set_term(0);
    // A membership change of the parent in flight goes on for the parent alone.
    *child->mutable_replicas() = first.replicas();
    child->set_opened_generation(map.generation());
    child->set_opened_ms(now_ms);
  }
  for (const auto& sealed : parents) {
    Shard* parent = find_shard_by_index(map, sealed.index);
    parent->set_state(SHARD_STATE_CLOSED);
    parent->set_end_offset(sealed.end_offset);
    parent->set_closed_ms(now_ms);
    for (int32_t child : children) parent->add_children(child);
  }
  return {};
}

}  // namespace broker::coordination
