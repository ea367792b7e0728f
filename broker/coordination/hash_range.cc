#include "broker/coordination/hash_range.h"

#include <openssl/evp.h>

#include <algorithm>

#include "broker/base/bytes.h"

namespace broker::coordination {

std::string format_hash_key(HashKey key) {
  std::string digits;
  do {
    digits.push_back(static_cast<char>('0' + static_cast<int>(key % 10)));
    key /= 10;
  } while (key != 0);
  std::reverse(digits.begin(), digits.end());
  return digits;
}

std::optional<HashKey> parse_hash_key(std::string_view text) {
  if (text.empty() || text.size() > 39) return std::nullopt;
  if (text.size() > 1 && text[0] == '0') return std::nullopt;
  HashKey key = 0;
  for (char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    auto digit = static_cast<HashKey>(c - '0');
    if (key > (kHashKeyMax - digit) / 10) return std::nullopt;
    key = key * 10 + digit;
  }
  return key;
}

Result<KeyRange> parse_range(const sluice::v1::HashRange& range) {
  auto first = parse_hash_key(range.start());
  auto last = parse_hash_key(range.end());
  if (!first || !last || *first > *last) {
    return Status(Code::kInvalidArgument,
                  "'" + range.start() + "'..'" + range.end() +
                      "' is not a hash key range: two decimal numbers below 2^128, in order");
  }
  return KeyRange{*first, *last};
}

sluice::v1::HashRange format_range(KeyRange range) {
  sluice::v1::HashRange out;
  out.set_start(format_hash_key(range.first));
  out.set_end(format_hash_key(range.last));
  return out;
}

Result<std::vector<KeyRange>> split_equally(KeyRange range, int parts) {
  if (parts < 1) return Status(Code::kInvalidArgument, "a range is split into at least 1 part");
  const auto count = static_cast<HashKey>(parts);
  // The number of keys is span + 1, which may be 2^128 and then does not fit.
  const HashKey span = range.last - range.first;
  if (span < count - 1) {
    return Status(Code::kInvalidArgument,
                  "the range has fewer than " + std::to_string(parts) + " hash keys");
  }
  HashKey size = span / count + (span % count == count - 1 ? 1 : 0);
  std::vector<KeyRange> out;
  HashKey first = range.first;
  for (int i = 0; i < parts; ++i) {
    // A whole 2^128 in one part has size 0 after wrapping; its last key is still right.
    out.push_back({first, i + 1 == parts ? range.last : first + size - 1});
    first += size;
  }
  return out;
}

Result<std::vector<KeyRange>> cut_range(KeyRange range, const std::vector<HashKey>& at) {
  std::vector<KeyRange> out;
  HashKey first = range.first;
  for (HashKey key : at) {
    if (key <= first || key > range.last) {
      return Status(Code::kInvalidArgument,
                    "hash key " + format_hash_key(key) + " does not cut " +
                        format_hash_key(range.first) + ".." + format_hash_key(range.last) +
                        ": keys must grow and lie above the range's first key");
    }
    out.push_back({first, key - 1});
    first = key;
  }
  out.push_back({first, range.last});
  return out;
}

bool are_adjacent(KeyRange a, KeyRange b) {
  return (a.last != kHashKeyMax && a.last + 1 == b.first) ||
         (b.last != kHashKeyMax && b.last + 1 == a.first);
}

KeyRange join_ranges(KeyRange a, KeyRange b) {
  CHECK(are_adjacent(a, b));
  return {std::min(a.first, b.first), std::max(a.last, b.last)};
}

HashKey hash_key_of(std::string_view partition_key) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  int ok =
      EVP_Digest(partition_key.data(), partition_key.size(), digest, &size, EVP_md5(), nullptr);
  CHECK(ok == 1 && size == 16);
  const char* bytes = reinterpret_cast<const char*>(digest);
  return (static_cast<HashKey>(load_be<uint64_t>(bytes)) << 64) | load_be<uint64_t>(bytes + 8);
}

const sluice::v1::Shard* find_shard(const sluice::v1::ShardMap& map, HashKey key) {
  for (const auto& shard : map.shards()) {
    if (shard.state() == sluice::v1::SHARD_STATE_CLOSED) continue;
    auto range = parse_range(shard.hash_range());
    if (range.ok() && range->contains(key)) return &shard;
  }
  return nullptr;
}

}  // namespace broker::coordination
