#pragma once
// Arithmetic on the key space of elastic streams, [0, 2^128): decimal text, equal splits, cuts,
// adjacency, the hash key of a partition key and the shard that takes it. Called by the
// coordinator (split, merge) and by the brokers (routing). Pure; any thread.
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "broker/base/status.h"
#include "broker/proto/metadata.pb.h"

namespace broker::coordination {

using HashKey = unsigned __int128;
inline constexpr HashKey kHashKeyMax = ~HashKey{0};

// Both bounds belong to the range; first <= last.
struct KeyRange {
  HashKey first = 0;
  HashKey last = kHashKeyMax;
  bool operator==(const KeyRange&) const = default;
  bool contains(HashKey key) const { return first <= key && key <= last; }
};

std::string format_hash_key(HashKey key);
// Decimal without sign, spaces or leading zeros; nothing when it is not that or is above 2^128-1.
std::optional<HashKey> parse_hash_key(std::string_view text);
Result<KeyRange> parse_range(const sluice::v1::HashRange& range);
sluice::v1::HashRange format_range(KeyRange range);

// `parts` equal ranges, in order; the last takes the keys that are left over, as at AWS.
// kInvalidArgument: parts < 1 or more parts than keys.
Result<std::vector<KeyRange>> split_equally(KeyRange range, int parts);
// Cuts a range so that each key of `at` begins a part. kInvalidArgument unless the keys grow
// strictly and lie inside the range, above its first key.
Result<std::vector<KeyRange>> cut_range(KeyRange range, const std::vector<HashKey>& at);
// True when one range begins right behind the other.
bool are_adjacent(KeyRange a, KeyRange b);
// The range of both; they must be adjacent.
KeyRange join_ranges(KeyRange a, KeyRange b);

// MD5 of the partition key as a big-endian number, as Kinesis does it.
HashKey hash_key_of(std::string_view partition_key);
// The shard of an elastic stream that takes appends for `key` (open or being sealed); null when
// the map has a gap there, which check_map() excludes.
const sluice::v1::Shard* find_shard(const sluice::v1::ShardMap& map, HashKey key);

}  // namespace broker::coordination
