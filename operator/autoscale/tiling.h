#pragma once
// PURE: how neighbouring shards become another number of shards of about equal load, by splits and
// then merges. Called by decide(). Loads are in shares of a shard's limit.
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "broker/coordination/hash_range.h"

namespace sluice_operator::autoscale {

// The one key that weighs most in a shard, as its broker has counted.
struct HotKey {
  std::string name;  // printable
  broker::coordination::HashKey at = 0;
  double share = 0;  // of the shard's load
};

struct Tile {
  int32_t shard = 0;
  broker::coordination::KeyRange range;
  double load = 0;
  std::vector<double> heat;  // by equal parts of the range; empty or all 0: taken as even
  std::optional<HotKey> hot_key;
};

struct Cut {
  size_t tile = 0;  // index among the tiles
  std::vector<broker::coordination::HashKey> at;  // first keys of the new children but the first
};

struct Retiling {
  std::vector<Cut> cuts;
  // First keys at which two pieces become one when the cuts are done.
  std::vector<broker::coordination::HashKey> joins;
  double fullest = 0;  // load of the fullest shard afterwards, a key's own weight included
  size_t actions() const { return cuts.size() + joins.size(); }
  size_t extra() const;  // shards more while it is under way
};

// The tiles [first, first + count), which follow one another, as `parts` shards. An old boundary
// near a new one is kept where the shards beside it stay below their limit.
Retiling retile(const std::vector<Tile>& tiles, size_t first, size_t count, int parts);

}  // namespace sluice_operator::autoscale
