#pragma once
// PURE: how neighbouring shards become another number of shards of about equal load, in one step.
// Called by decide(). Loads are in shares of a shard's limit.
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

// Neighbours that are replaced together: a split (one), a merge (two as one) or a retiling.
struct Group {
  size_t first = 0, count = 1;                    // among the tiles
  std::vector<broker::coordination::HashKey> at;  // first keys of the new shards but the first
};

struct Retiling {
  std::vector<Group> groups;
  double fullest = 0;  // load of the fullest shard afterwards, a key's own weight included
  // A split is one, whatever it makes; so is each old boundary that goes.
  size_t actions() const;
  bool only_merges() const;
  int added() const;  // shards more than before
};

// The tiles [first, first + count), which follow one another, as `parts` shards. An old boundary
// near a new one is kept where the shards beside it stay below their limit. None where a new shard
// would take over keys of more than two (coordination/shard_map.h: begin_retile).
std::optional<Retiling> retile(const std::vector<Tile>& tiles, size_t first, size_t count, int parts);

}  // namespace sluice_operator::autoscale
