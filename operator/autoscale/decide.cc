#include "operator/autoscale/decide.h"

#include <algorithm>
#include <cmath>

#include "operator/autoscale/round.h"

namespace sluice_operator::autoscale {

namespace {

constexpr double kAbsurdShare = 100'000;  // no shard takes that many times its limit
constexpr int64_t kGapMs = 30'000;
constexpr int64_t kSettledMs = 60'000;  // of a level, before its noise tells something

Decision none(std::string reason, std::string message) {
  Decision decision;
  decision.reason = std::move(reason);
  decision.message = std::move(message);
  return decision;
}

bool absurd(const Policy& policy, double value, double limit) {
  return !std::isfinite(value) || value < 0 || value > limit * kAbsurdShare;
}

// Why these figures cannot be decided on; the reason is empty when they can.
std::pair<std::string, std::string> what_is_wrong(const Policy& policy, const Snapshot& snapshot,
                                                  const Memory& memory) {
  if (!snapshot.problem.empty()) {
    return {snapshot.problem_reason.empty() ? "MetricsMissing" : snapshot.problem_reason,
            snapshot.problem};
  }
  if (snapshot.open_shards.empty()) return {"MetricsMissing", "the stream has no open shard"};
  if (memory.last_look_ms >= 0 && snapshot.now_ms <= memory.last_look_ms) {
    return {"ClockWentBack", "the clock did not move on since the last look"};
  }
  for (const auto& load : snapshot.open_shards) {
    std::string name = "shard " + std::to_string(load.shard);
    if (!load.bytes_per_s || !load.records_per_s) {
      return {"MetricsMissing", name + " has no recent metrics"};
    }
    if (absurd(policy, *load.bytes_per_s, policy.shard_bytes_per_s) ||
        absurd(policy, *load.records_per_s, policy.shard_records_per_s) ||
        !std::isfinite(load.throttled_per_s) || load.throttled_per_s < 0) {
      return {"MetricsAbsurd", name + " has metrics that cannot be"};
    }
  }
  return {};
}

double utilisation(const Policy& policy, const ShardLoad& load) {
  return std::max(*load.bytes_per_s / policy.shard_bytes_per_s,
                  *load.records_per_s / policy.shard_records_per_s);
}

// The share of a shard's records that was refused although, by its rate, the shard had room for them:
// the rate hides bursts. What was refused because the rate itself is above the limit the level tells,
// and the budget is there to allow it.
double refused_beyond_rate(const ShardLoad& load, double used) {
  if (*load.records_per_s <= 0) return 0;
  double by_rate = used > 1 ? 1 - 1 / used : 0;
  return std::max(0.0, load.throttled_per_s / *load.records_per_s - by_rate);
}

// Adds a look to what is known of a load, and what its forecast was wrong by to what is known of the
// noise.
void observe(Forecast& load, int64_t now_ms, double used, Noise& noise) {
  if (load.steady_ms() >= kSettledMs) {
    noise.add(load.mean(Noise::kShortMs), load.mean(Noise::kLongMs), used);
  }
  load.add(now_ms, used, noise);
  if (load.steady_ms() >= 3 * kSettledMs) {
    noise.add_minute(load.mean(Noise::kLongMs), load.mean(kSettledMs));
  }
}

void remember(const Policy& policy, const Snapshot& snapshot, Memory& memory) {
  int64_t now = snapshot.now_ms;
  int64_t elapsed = memory.last_look_ms < 0 ? 0 : now - memory.last_look_ms;
  if (memory.last_look_ms < 0 || elapsed > kGapMs + policy.lead_ms * 4) {
    memory.unbroken_since_ms = now;
  }
  memory.last_look_ms = now;
  memory.noise.fade(elapsed);
  auto open = static_cast<double>(snapshot.open_shards.size());
  double earned = policy.actions_per_shard_hour * open * static_cast<double>(elapsed) / 3600e3;
  memory.allowance = std::min(hourly_actions(policy, snapshot.open_shards.size()),
                              memory.allowance + earned);
  double total = 0, over = 0;
  for (const auto& load : snapshot.open_shards) {
    double used = utilisation(policy, load);
    total += used;
    over += std::max(0.0, used - 1);
  }
  memory.budget.add(elapsed, total, over);
  observe(memory.total, now, total, memory.noise);
  std::map<int32_t, Memory::Track> tracks;
  for (const auto& load : snapshot.open_shards) {
    auto known = memory.shards.find(load.shard);
    Memory::Track track =
        known == memory.shards.end() ? Memory::Track{} : std::move(known->second);
    double used = utilisation(policy, load);
    // A shard that was just made had such a share of the stream's load as it has at its second look:
    // the first may have seen only a part of its life. On a level, the first alone is no level either;
    // after a rise it tells more than the mean of what came since.
    bool inherits = ++track.looks == 2 || (track.looks == 1 && !memory.total.just_risen());
    if (inherits && memory.total.looks() > 2 && total > 0) {
      track.load = memory.total.scaled(used / total);
    } else {
      observe(track.load, now, used, memory.noise);
    }
    track.refused += (refused_beyond_rate(load, used) - track.refused) *
                     std::min(1.0, static_cast<double>(elapsed) / 30e3);
    tracks.emplace(load.shard, std::move(track));
  }
  memory.shards = std::move(tracks);
  const double budget = memory.budget.planned(policy.throttle_budget);
  memory.noise.settle(budget);
  memory.hold.add(policy, now, elapsed, memory.total,
                  planned_headroom(policy, memory.noise, budget));
}

void add_inputs(Decision& decision, const Policy& policy, const Snapshot& snapshot) {
  double bytes = 0, records = 0, refused = 0;
  for (const auto& load : snapshot.open_shards) {
    bytes += load.bytes_per_s.value_or(0);
    records += load.records_per_s.value_or(0);
    refused += load.throttled_per_s;
  }
  auto& inputs = decision.inputs;
  inputs["openShards"] = std::to_string(snapshot.open_shards.size());
  inputs["minShards"] = std::to_string(floor_at(policy, snapshot.wall_ms));
  inputs["maxShards"] = std::to_string(policy.shards_max);
  inputs["bytesPerSecond"] = text_of(bytes);
  inputs["recordsPerSecond"] = text_of(records);
  if (refused > 0) inputs["refusedPerSecond"] = text_of(refused);
  inputs["target"] = percent(policy.target);
  inputs["shardBytesPerSecond"] = text_of(policy.shard_bytes_per_s);
  inputs["shardRecordsPerSecond"] = text_of(policy.shard_records_per_s);
  if (snapshot.lag) add_lag(inputs, *snapshot.lag);
}

// A shard whose figures do not cover a window yet; those of the first look of all are old.
std::optional<int32_t> unsettled(const Snapshot& snapshot, Memory& memory) {
  std::map<int32_t, int64_t> seen_ms;
  std::optional<int32_t> young;
  const int64_t first_ms =
      memory.seen_ms.empty() ? snapshot.now_ms - snapshot.settle_ms : snapshot.now_ms;
  for (const auto& load : snapshot.open_shards) {
    auto known = memory.seen_ms.find(load.shard);
    int64_t at_ms = known == memory.seen_ms.end() ? first_ms : known->second;
    if (snapshot.now_ms - at_ms < snapshot.settle_ms) young = load.shard;
    seen_ms[load.shard] = at_ms;
  }
  memory.seen_ms = std::move(seen_ms);
  return young;
}

Decision choose(const Policy& policy, const Snapshot& snapshot, Memory& memory) {
  auto [reason, problem] = what_is_wrong(policy, snapshot, memory);
  if (!reason.empty()) {
    memory.unbroken_since_ms = std::max(snapshot.now_ms, memory.last_look_ms);
    return none(reason, problem + ": nothing is decided");
  }
  if (auto young = unsettled(snapshot, memory)) {
    return none("Resharding", "shard " + std::to_string(*young) +
                                  " was just made, and its figures are not whole yet");
  }
  remember(policy, snapshot, memory);
  if (policy.mode == Mode::kFrozen) {
    return none("Frozen", "scaling is frozen: spec.autoscaling.mode says so");
  }
  if (snapshot.resharding) return none("Resharding", "a split or merge is under way");
  Round round(policy, snapshot, memory);
  using Rule = std::optional<Decision> (Round::*)();
  static const std::vector<Rule> kElastic = {&Round::reach_floor, &Round::scale_up,
                                             &Round::scale_down};
  static const std::vector<Rule> kPartitioned = {&Round::grow};
  for (Rule step : policy.partitioned ? kPartitioned : kElastic) {
    if (auto decision = (round.*step)()) {
      bool acts = !decision->operations.empty();
      if (acts && policy.mode == Mode::kDryRun) {
        decision->recommended_only = true;
        decision->message = "dry run, nothing is done: " + decision->message;
      } else if (acts) {
        memory.allowance -= decision->spends;
        if (decision->reason == "ShardHot") memory.last_split_ms = snapshot.now_ms;
      }
      return *decision;
    }
  }
  return round.rest();
}

}  // namespace

std::string_view to_string(Action action) {
  switch (action) {
    case Action::kNone: return "None";
    case Action::kSplit: return "Split";
    case Action::kMerge: return "Merge";
    case Action::kGrow: return "AddPartitions";
  }
  return "None";
}

std::vector<int32_t> Decision::shards() const {
  std::vector<int32_t> all;
  for (const auto& operation : operations) {
    all.insert(all.end(), operation.shards.begin(), operation.shards.end());
  }
  return all;
}

Decision decide(const Policy& policy, const Snapshot& snapshot, Memory& memory) {
  Decision decision = choose(policy, snapshot, memory);
  add_inputs(decision, policy, snapshot);
  return decision;
}

}  // namespace sluice_operator::autoscale
