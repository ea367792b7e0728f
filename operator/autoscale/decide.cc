#include "operator/autoscale/decide.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <numeric>

namespace sluice_operator::autoscale {

using broker::coordination::HashKey;

namespace {

// Merging aims below the target, so that a merged shard is not split again at once.
constexpr double kMergeShare = 0.5;

std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.0f", value);
  return text;
}

std::string percent(double share) { return number(share * 100) + "%"; }

double utilisation(const Policy& policy, double bytes_per_s, double records_per_s) {
  return std::max(bytes_per_s / policy.shard_bytes_per_s,
                  records_per_s / policy.shard_records_per_s);
}

double utilisation(const Policy& policy, const ShardLoad& load) {
  return utilisation(policy, *load.bytes_per_s, *load.records_per_s);
}

Decision none(std::string reason, std::string message) {
  Decision decision;
  decision.reason = std::move(reason);
  decision.message = std::move(message);
  return decision;
}

void add_inputs(Decision& decision, const Policy& policy, const Snapshot& snapshot) {
  double bytes = 0, records = 0;
  for (const auto& load : snapshot.open_shards) {
    bytes += load.bytes_per_s.value_or(0);
    records += load.records_per_s.value_or(0);
  }
  decision.inputs["openShards"] = std::to_string(snapshot.open_shards.size());
  decision.inputs["bytesPerSecond"] = number(bytes);
  decision.inputs["recordsPerSecond"] = number(records);
  decision.inputs["target"] = percent(policy.target);
  decision.inputs["shardBytesPerSecond"] = number(policy.shard_bytes_per_s);
  decision.inputs["shardRecordsPerSecond"] = number(policy.shard_records_per_s);
}

const ShardLoad* hottest(const Policy& policy, const Snapshot& snapshot) {
  return &*std::max_element(snapshot.open_shards.begin(), snapshot.open_shards.end(),
                            [&](const auto& a, const auto& b) {
                              return utilisation(policy, a) < utilisation(policy, b);
                            });
}

// Remembers since when each shard has been above the target.
void note_hot(const Policy& policy, const Snapshot& snapshot, Memory& memory) {
  std::map<int32_t, int64_t> hot;
  for (const auto& load : snapshot.open_shards) {
    if (utilisation(policy, load) <= policy.target) continue;
    auto known = memory.hot_since_ms.find(load.shard);
    hot[load.shard] = known == memory.hot_since_ms.end() ? snapshot.now_ms : known->second;
  }
  memory.hot_since_ms = std::move(hot);
}

// Remembers since when each pair of neighbours would fit into one shard with room to spare.
void note_cold(const Policy& policy, const Snapshot& snapshot, Memory& memory) {
  std::map<std::pair<int32_t, int32_t>, int64_t> cold;
  std::vector<const ShardLoad*> ordered;
  for (const auto& load : snapshot.open_shards) ordered.push_back(&load);
  std::sort(ordered.begin(), ordered.end(),
            [](auto* a, auto* b) { return a->range.first < b->range.first; });
  for (size_t i = 0; i + 1 < ordered.size(); i++) {
    double both = utilisation(policy, *ordered[i]->bytes_per_s + *ordered[i + 1]->bytes_per_s,
                              *ordered[i]->records_per_s + *ordered[i + 1]->records_per_s);
    if (both >= policy.target * kMergeShare) continue;
    std::pair pair(ordered[i]->shard, ordered[i + 1]->shard);
    auto known = memory.cold_since_ms.find(pair);
    cold[pair] = known == memory.cold_since_ms.end() ? snapshot.now_ms : known->second;
  }
  memory.cold_since_ms = std::move(cold);
}

Decision split(const Policy& policy, const Snapshot& snapshot, const ShardLoad& load) {
  double used = utilisation(policy, load);
  auto open = static_cast<int32_t>(snapshot.open_shards.size());
  int room = policy.shards_max - open + 1;
  int parts = std::clamp(static_cast<int>(std::ceil(used / policy.target)), 2, room);
  Decision decision;
  decision.action = Action::kSplit;
  decision.shards = {load.shard};
  decision.at = cuts(load, parts);
  decision.reason = "ShardHot";
  decision.message = "shard " + std::to_string(load.shard) + " is at " + percent(used) +
                     " of its capacity (" + number(*load.bytes_per_s) + " bytes/s, " +
                     number(*load.records_per_s) + " records/s), above the target of " +
                     percent(policy.target) + ": split into " + std::to_string(parts);
  decision.inputs["utilisation"] = percent(used);
  return decision;
}

Decision merge(const Snapshot& snapshot, std::pair<int32_t, int32_t> pair) {
  double bytes = 0, records = 0;
  for (const auto& load : snapshot.open_shards) {
    if (load.shard != pair.first && load.shard != pair.second) continue;
    bytes += *load.bytes_per_s;
    records += *load.records_per_s;
  }
  Decision decision;
  decision.action = Action::kMerge;
  decision.shards = {pair.first, pair.second};
  decision.reason = "ShardsCold";
  decision.message = "shards " + std::to_string(pair.first) + " and " +
                     std::to_string(pair.second) + " take " + number(bytes) + " bytes/s and " +
                     number(records) + " records/s together: one can hold them";
  return decision;
}

Decision choose(const Policy& policy, const Snapshot& snapshot, Memory& memory) {
  const auto& loads = snapshot.open_shards;
  bool complete = snapshot.problem.empty() && !loads.empty() &&
                  std::all_of(loads.begin(), loads.end(), [](const auto& load) {
                    return load.bytes_per_s && load.records_per_s;
                  });
  if (!complete) {
    memory = {};
    return none("MetricsMissing", snapshot.problem.empty()
                                      ? "some shards have no recent metrics: nothing is decided"
                                      : snapshot.problem + ": nothing is decided");
  }
  if (snapshot.resharding) return none("Resharding", "a split or merge is under way");
  note_hot(policy, snapshot, memory);
  note_cold(policy, snapshot, memory);
  auto open = static_cast<int32_t>(loads.size());
  const ShardLoad* hot = hottest(policy, snapshot);
  if (auto since = memory.hot_since_ms.find(hot->shard); since != memory.hot_since_ms.end()) {
    if (open >= policy.shards_max) {
      return none("AtMaximum", "shard " + std::to_string(hot->shard) + " is at " +
                                   percent(utilisation(policy, *hot)) +
                                   ", and maxShards is reached");
    }
    if (snapshot.now_ms - since->second < policy.scale_up_after_ms) {
      return none("Stabilising", "shard " + std::to_string(hot->shard) +
                                     " is above the target, not long enough yet");
    }
    return split(policy, snapshot, *hot);
  }
  if (open <= policy.shards_min) return none("WithinTarget", "every shard is below the target");
  for (const auto& [pair, since] : memory.cold_since_ms) {
    if (snapshot.now_ms - since >= policy.scale_down_after_ms) return merge(snapshot, pair);
  }
  return none("WithinTarget", memory.cold_since_ms.empty()
                                  ? "every shard is below the target"
                                  : "some shards are cold, not long enough yet");
}

}  // namespace

std::string_view to_string(Action action) {
  switch (action) {
    case Action::kNone: return "None";
    case Action::kSplit: return "Split";
    case Action::kMerge: return "Merge";
  }
  return "None";
}

std::vector<HashKey> cuts(const ShardLoad& load, int parts) {
  HashKey width = (load.range.last - load.range.first) / kHeatParts + 1;
  double total = std::accumulate(load.heat.begin(), load.heat.end(), 0.0);
  std::vector<HashKey> at;
  for (int k = 1; k < parts; k++) {
    // The place where a k-th of the heat lies below, taken as even within a sixteenth.
    double place = static_cast<double>(kHeatParts) * k / parts;
    if (total > 0) {
      double wanted = total * k / parts, below = 0;
      size_t part = 0;
      while (part + 1 < kHeatParts && below + load.heat[part] < wanted) below += load.heat[part++];
      double inside = load.heat[part] > 0 ? (wanted - below) / load.heat[part] : 0.5;
      place = static_cast<double>(part) + inside;
    }
    auto whole = static_cast<HashKey>(place);
    double rest = place - std::floor(place);
    // Thousandths keep the arithmetic in integers where doubles have no digits left.
    HashKey key = load.range.first + whole * width +
                  width / 1000 * static_cast<HashKey>(std::lround(rest * 1000));
    HashKey floor = at.empty() ? load.range.first + 1 : at.back() + 1;
    if (at.size() + 1 > load.range.last - load.range.first || floor > load.range.last) break;
    key = std::clamp(key, floor, load.range.last);
    at.push_back(key);
  }
  return at;
}

Decision decide(const Policy& policy, const Snapshot& snapshot, Memory& memory) {
  Decision decision = choose(policy, snapshot, memory);
  add_inputs(decision, policy, snapshot);
  return decision;
}

}  // namespace sluice_operator::autoscale
