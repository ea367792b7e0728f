#pragma once
// PURE: whether an elastic stream's shards should split or merge, from their load. The same inputs
// give the same decision. Called by reconcile/'s autoscaler at every look and by simulate.h.
// Invariant: missing, stale or absurd figures decide nothing, and begin the waiting for a merge
// anew. README.md has the rules.
#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "operator/autoscale/budget.h"
#include "operator/autoscale/forecast.h"
#include "operator/autoscale/hold.h"
#include "operator/autoscale/lag.h"
#include "operator/autoscale/policy.h"
#include "operator/autoscale/tiling.h"

namespace sluice_operator::autoscale {

inline constexpr size_t kHeatParts = 16;  // of a shard's hash range, as brokers count

struct ShardLoad {
  int32_t shard = 0;
  broker::coordination::KeyRange range;
  // What was offered, refused records included. Absent: no figures, or they are too old.
  std::optional<double> bytes_per_s;
  std::optional<double> records_per_s;
  double throttled_per_s = 0;  // records refused because the shard was full
  std::vector<double> heat;    // bytes/s by equal parts of the range; all 0: not known
  std::optional<HotKey> hot_key;
};

struct Snapshot {
  int64_t now_ms = 0;   // never runs backwards
  int64_t wall_ms = 0;  // for schedules
  std::vector<ShardLoad> open_shards;
  size_t shards_known = 0;  // closed ones included
  bool resharding = false;  // shards are being replaced
  // For how long the figures of a shard that was just made are not whole: a Prometheus has rates of
  // a series only when it has seen it twice, and of a window only when it has seen it all.
  int64_t settle_ms = 0;
  std::string problem;      // why there are no figures: a sentence
  std::string problem_reason;
  std::optional<StreamLag> lag;  // of its groups; absent: there are none
};

enum class Action { kNone, kSplit, kMerge, kGrow };
std::string_view to_string(Action action);

struct Operation {
  // Neighbours that are replaced together, in key order: one is split, two and no key are merged.
  std::vector<int32_t> shards;
  std::vector<broker::coordination::HashKey> at;  // the first keys of the new ones but the first
  int32_t partitions = 0;                         // grow: how many there are to be
  // A split is one, whatever it makes; so is each boundary between old shards that goes.
  int actions() const { return std::max(1, static_cast<int>(shards.size()) - 1); }
};

struct Decision {
  Action action = Action::kNone;
  std::vector<Operation> operations;  // to be done at once; empty for kNone
  bool recommended_only = false;      // dry run: what would have been done
  double spends = 0;  // actions beyond the least that another number of shards takes
  std::vector<int32_t> shards() const;
  std::string reason;   // one word, stable
  std::string message;  // a sentence
  std::map<std::string, std::string> inputs;
  int64_t next_allowed_ms = 0;  // before this nothing else can follow, unless the load grows
};

// What is remembered between two looks. Losing it (an operator that starts) is safe: nothing
// merges until a whole window has been seen again.
struct Memory {
  struct Track {
    Forecast load;
    int looks = 0;
    double refused = 0;  // share of the records that its rate does not explain, over half a minute
    int64_t hot_since_ms = -1;
  };
  std::map<int32_t, Track> shards;
  std::map<int32_t, int64_t> seen_ms;  // when each open shard was first looked at
  Forecast total;  // of all shards, in shards
  Noise noise;
  Budget budget;
  HoldWindow hold;
  int64_t last_look_ms = -1;
  int64_t unbroken_since_ms = 0;
  double allowance = 4;  // actions that may be spent on saving shards
  int64_t last_split_ms = -1;     // for the load
  int64_t crowded_since_ms = -1;  // partitions: since when one is above the target
  int64_t last_growth_ms = -1;
};

Decision decide(const Policy& policy, const Snapshot& snapshot, Memory& memory);

}  // namespace sluice_operator::autoscale
