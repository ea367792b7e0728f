#pragma once
// PURE: whether an elastic stream's shards should split or merge, from their load. The same inputs
// give the same decision. Called by reconcile/'s autoscaler every interval. Invariant: missing or
// stale figures decide nothing.
#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "broker/coordination/hash_range.h"

namespace sluice_operator::autoscale {

inline constexpr size_t kHeatParts = 16;  // sixteenths of a shard's hash range, as brokers count

struct ShardLoad {
  int32_t shard = 0;
  broker::coordination::KeyRange range;
  // Absent: no figures for this shard, or they are too old.
  std::optional<double> bytes_per_s;
  std::optional<double> records_per_s;
  std::array<double, kHeatParts> heat{};  // bytes/s; all 0: not known
};

struct Policy {
  int32_t shards_min = 1;
  int32_t shards_max = 16;
  double target = 0.7;  // share of a shard's capacity
  int64_t scale_up_after_ms = 30'000;
  int64_t scale_down_after_ms = 600'000;
  double shard_bytes_per_s = 1 << 20;
  double shard_records_per_s = 1000;
};

struct Snapshot {
  int64_t now_ms = 0;
  std::vector<ShardLoad> open_shards;
  bool resharding = false;  // a split or merge is under way
  std::string problem;      // why there are no figures at all
};

enum class Action { kNone, kSplit, kMerge };
std::string_view to_string(Action action);

struct Decision {
  Action action = Action::kNone;
  std::vector<int32_t> shards;  // split: the shard; merge: the two neighbours
  std::vector<broker::coordination::HashKey> at;  // split: the first keys of the new children
  std::string reason;   // one word, stable
  std::string message;  // a sentence
  std::map<std::string, std::string> inputs;
};

// What is remembered between two looks: for how long a shard has been hot, a pair cold.
struct Memory {
  std::map<int32_t, int64_t> hot_since_ms;
  std::map<std::pair<int32_t, int32_t>, int64_t> cold_since_ms;
};

Decision decide(const Policy& policy, const Snapshot& snapshot, Memory& memory);

// The keys that cut `load`'s range into `parts` of about equal heat (equal width where heat is not
// known).
std::vector<broker::coordination::HashKey> cuts(const ShardLoad& load, int parts);

}  // namespace sluice_operator::autoscale
