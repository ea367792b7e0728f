#pragma once
// Transitions of a ShardMap and the invariants that every written map keeps. The coordinator makes
// a copy with generation + 1 (the generation of the coming write), applies transitions to it,
// checks it against the version before and writes it by compare-and-swap.
// Every transition checks first and leaves the map untouched when it refuses. Pure; any thread.
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "broker/base/status.h"
#include "broker/coordination/hash_range.h"
#include "broker/proto/metadata.pb.h"

namespace broker::coordination {

using sluice::v1::Replica;
using sluice::v1::Shard;
using sluice::v1::ShardMap;
using sluice::v1::StreamConfig;

// Open shards of one stream: its map is one object of Kubernetes, which takes 1.5 MB at most.
inline constexpr int32_t kShardsMax = 2000;
inline constexpr int32_t kReplicationMax = 9;

// ---- looking ----
Shard* find_shard_by_index(ShardMap& map, int32_t index);
const Shard* find_shard_by_index(const ShardMap& map, int32_t index);
bool same_replica(const Replica& a, const Replica& b);
using Replicas = google::protobuf::RepeatedPtrField<Replica>;
bool contains_replica(const Replicas& replicas, const Replica& wanted);
// The member on this broker, null when there is none.
const Replica* find_replica(const Replicas& replicas, int32_t broker);
// Everyone who votes: replicas, then those of next_replicas that are not among them.
std::vector<Replica> voters_of(const Shard& shard);
inline int majority_of(int members) {
  return members / 2 + 1;
}
bool is_joint(const Shard& shard);
// True when the brokers for which `has` holds are a majority of replicas and, while a membership
// change is in flight, of next_replicas.
template <class Has>
bool has_majority(const Shard& shard, Has has) {
  auto of = [&](const Replicas& replicas) {
    int count = 0;
    for (const auto& replica : replicas) count += has(replica) ? 1 : 0;
    return count >= majority_of(replicas.size());
  };
  return of(shard.replicas()) && (shard.next_replicas().empty() || of(shard.next_replicas()));
}
int open_shard_count(const ShardMap& map);

// ---- streams ----
// A legal topic name: 1 to 249 of [a-zA-Z0-9._-], not "." or "..".
Status check_stream_name(std::string_view name);
// A config whose defaults are filled in.
Status check_config(const StreamConfig& config);

struct NewStream {
  std::string id;
  std::string name;
  std::string cluster;
  StreamConfig config;
  int64_t now_ms = 0;
};
// A new stream's first map (generation 1): `ensembles` holds one per shard. Shards begin open in
// term 0 without a leader.
Result<ShardMap> make_map(const NewStream& stream,
                          const std::vector<std::vector<Replica>>& ensembles);
// Partitioned streams grow by one shard per ensemble.
Status add_partitions(ShardMap& map, const std::vector<std::vector<Replica>>& ensembles,
                      int64_t now_ms);
// Takes over settings; mode cannot change and partitions cannot shrink. Another replication is the
// last word: it ends the wishes for ensembles of other sizes.
Status update_config(ShardMap& map, const StreamConfig& config);
// The settings that `fields` name are taken from `from`.
Status merge_config(StreamConfig& into, const StreamConfig& from,
                    const std::vector<std::string>& fields);

// What the front doors keep with a stream. One change is made whole or not at all.
struct AttributeChange {
  std::map<std::string, std::string> set;
  std::vector<std::string> remove;
  std::map<std::string, std::string> expected;  // must be so now; empty: must be absent
};
// kConflict when something is not as expected, kTooLarge beyond kAttributesBytesMax.
Status change_attributes(ShardMap& map, const AttributeChange& change);
inline constexpr size_t kAttributesBytesMax = 256 << 10;  // of one stream: the map is one object
inline constexpr size_t kAttributeNameMax = 512;

// ---- terms and leaders ----
// Reserves the next term: `from` is the term that the caller saw, `to` the new one (> from).
Status raise_term(ShardMap& map, int32_t index, int32_t from, int32_t to);
// Records who won `term`. The winner is a voter.
Status set_leader(ShardMap& map, int32_t index, int32_t term, int32_t leader);

// ---- membership: one replica at a time ----
Status add_learner(ShardMap& map, int32_t index, const Replica& learner);
Status remove_learner(ShardMap& map, int32_t index, const Replica& learner);
// Old and new ensemble hold together from here on, in a new term without a leader. `add` is a
// learner (absent: only remove); `remove` is a member (absent: only add).
Status begin_joint(ShardMap& map, int32_t index, int32_t from_term,
                   const std::optional<Replica>& add, const std::optional<Replica>& remove);
// The new ensemble alone, in the same term, whose leader has reported a commit.
Status finish_joint(ShardMap& map, int32_t index, int32_t term);

// ---- an administrator's ensemble ----
// Which brokers are to be the shard's ensemble, the preferred leader first. None: whatever the
// cluster decides. Members that are there already take that order.
Status want_brokers(ShardMap& map, int32_t index, const std::vector<int32_t>& brokers);
// Copies that the shard is to have: as many as its wanted ensemble names, else the stream's number.
int copies_of(const ShardMap& map, const Shard& shard);
// The number of copies that every shard has been given by its wanted ensemble and now has, where the
// stream's number is another; 0 when there is none.
int agreed_copies(const ShardMap& map);
// Replicas are still to be moved until the ensemble is the wanted one.
bool is_reassigning(const Shard& shard);

// ---- split, merge, retile ----
// Intent on open shards whose ranges follow one another, in any order: their leaders seal them, and
// shards of the ranges `into`, which cover the same keys, replace them. A new shard takes over keys of
// two at most, since the Kinesis API names no more (ParentShardId, AdjacentParentShardId), and of none
// alone and unchanged.
Status begin_retile(ShardMap& map, const std::vector<int32_t>& indexes,
                    const std::vector<KeyRange>& into);
// The ranges that cuts at the keys `at` make of those of the shards `indexes` together.
Result<std::vector<KeyRange>> ranges_of_retile(const ShardMap& map,
                                               const std::vector<int32_t>& indexes,
                                               const std::vector<std::string>& at);
// begin_retile() of one shard, and of two that become one.
Status begin_split(ShardMap& map, int32_t index, const std::vector<KeyRange>& into);
// Ranges asked for by a split of shard `index`: at the keys `at`, or in `parts` equal ones (0 = 2).
Result<std::vector<KeyRange>> ranges_of_split(const ShardMap& map, int32_t index,
                                              const std::vector<std::string>& at, int parts);
Status begin_merge(ShardMap& map, int32_t index, int32_t adjacent);
// Shards that carry the same reshard intent as `index`, itself included, in order of index.
std::vector<int32_t> reshard_family(const ShardMap& map, int32_t index);
struct SealedShard {
  int32_t index = 0;
  int64_t end_offset = 0;  // one past the seal
};
// Closes a whole sealed family and opens its children, in term 0, each on the ensemble of the parent
// that has most of its keys, the first of equals.
Status open_children(ShardMap& map, const std::vector<SealedShard>& parents, int64_t now_ms);

// ---- invariants ----
// kInternal with the broken rule. `before` is the version that the write replaces (null: none).
Status check_map(const ShardMap& map, const ShardMap* before);

}  // namespace broker::coordination
