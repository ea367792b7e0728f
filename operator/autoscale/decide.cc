#include "operator/autoscale/decide.h"

#include <algorithm>
#include <cmath>

#include "operator/autoscale/round.h"

namespace sluice_operator::autoscale {

namespace {

constexpr double kAbsurdShare = 100'000;  // no shard takes that many times its limit
constexpr int64_t kGapMs = 30'000;
constexpr int64_t kForgiveMs = 2 * 3600'000;
constexpr int kFlapsMax = 4;

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

void remember(const Policy& policy, const Snapshot& snapshot, Memory& memory) {
  int64_t now = snapshot.now_ms;
  int64_t elapsed = memory.last_look_ms < 0 ? 0 : now - memory.last_look_ms;
  if (memory.last_look_ms < 0 || elapsed > kGapMs + policy.lead_ms * 4) {
    memory.unbroken_since_ms = now;
  }
  memory.last_look_ms = now;
  memory.residuals.fade(elapsed);
  auto open = static_cast<double>(snapshot.open_shards.size());
  double cap = std::max(8.0, open * policy.actions_per_shard_hour);  // an hour's
  memory.allowance =
      std::min(cap, memory.allowance + policy.actions_per_shard_hour * open *
                                           static_cast<double>(elapsed) / 3600e3);
  if (memory.flaps > 0 && now - memory.last_flap_ms > kForgiveMs) {
    memory.flaps--;
    memory.last_flap_ms = now;
  }
  std::map<int32_t, Memory::Track> tracks;
  double total = 0;
  for (const auto& load : snapshot.open_shards) {
    auto known = memory.shards.find(load.shard);
    Memory::Track track =
        known == memory.shards.end() ? Memory::Track{} : std::move(known->second);
    double used = utilisation(policy, load);
    total += used;
    if (!track.load.empty()) memory.residuals.add(track.level_before, used);
    track.load.add(now, used);
    double share = *load.records_per_s > 0 ? load.throttled_per_s / *load.records_per_s : 0;
    track.refused += (share - track.refused) * std::min(1.0, static_cast<double>(elapsed) / 30e3);
    track.level_before = track.load.level(memory.residuals.usual());
    tracks.emplace(load.shard, std::move(track));
  }
  memory.shards = std::move(tracks);
  memory.total.add(now, total);
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
}

void note_action(const Policy& policy, const Snapshot& snapshot, const Decision& decision, bool saves, Memory& memory) {
  memory.allowance = std::max(0.0, memory.allowance - decision.spends);
  if (decision.action == Action::kSplit && !saves && memory.last_merge_ms >= 0 &&
      snapshot.now_ms - memory.last_merge_ms < 2 * policy.scale_down_after_ms) {
    memory.flaps = std::min(kFlapsMax, memory.flaps + 1);
    memory.last_flap_ms = snapshot.now_ms;
    memory.last_merge_ms = -1;  // counted
  }
  if (saves) memory.last_merge_ms = snapshot.now_ms;
}

Decision choose(const Policy& policy, const Snapshot& snapshot, Memory& memory) {
  auto [reason, problem] = what_is_wrong(policy, snapshot, memory);
  if (!reason.empty()) {
    memory.unbroken_since_ms = std::max(snapshot.now_ms, memory.last_look_ms);
    return none(reason, problem + ": nothing is decided");
  }
  remember(policy, snapshot, memory);
  if (policy.mode == Mode::kFrozen) {
    return none("Frozen", "scaling is frozen: spec.autoscaling.mode says so");
  }
  if (snapshot.resharding) return none("Resharding", "a split or merge is under way");
  Round round(policy, snapshot, memory);
  for (auto step : {&Round::join_pieces, &Round::reach_floor, &Round::scale_up,
                    &Round::scale_down}) {
    if (auto decision = (round.*step)()) {
      bool acts = !decision->operations.empty();
      if (acts && policy.mode == Mode::kDryRun) {
        decision->recommended_only = true;
        decision->message = "dry run, nothing is done: " + decision->message;
        memory.joins.clear();
      } else if (acts) {
        bool saves = step == &Round::scale_down || step == &Round::join_pieces;
        note_action(policy, snapshot, *decision, saves, memory);
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
