#include "operator/reconcile/scaling_input.h"

#include <algorithm>
#include <cstdlib>

namespace sluice_operator::reconcile {

namespace v1 = ::sluice::v1;

namespace {

constexpr int64_t kReshardMs = 1000;  // from a decision until new shards take records

autoscale::Mode mode_of(api::ScalingMode mode) {
  switch (mode) {
    case api::ScalingMode::kAuto: return autoscale::Mode::kAuto;
    case api::ScalingMode::kDryRun: return autoscale::Mode::kDryRun;
    case api::ScalingMode::kFrozen: return autoscale::Mode::kFrozen;
  }
  return autoscale::Mode::kFrozen;
}

// The definition has checked the words; one that is none leaves the schedule out.
void add_schedule(const api::StreamSpec::Schedule& from, autoscale::Policy& policy) {
  autoscale::Schedule schedule;
  auto begin = autoscale::parse_minute(from.from), end = autoscale::parse_minute(from.to);
  if (!begin.ok() || !end.ok()) return;
  schedule.from_minute = *begin;
  schedule.to_minute = *end;
  schedule.shards_min = from.min_shards;
  if (!from.days.empty()) schedule.days = 0;
  for (const auto& day : from.days) {
    if (auto bit = autoscale::parse_day(day); bit.ok()) schedule.days |= *bit;
  }
  policy.schedules.push_back(schedule);
}

void add_load(const autoscale::Rates& rates, autoscale::ShardLoad& load) {
  load.bytes_per_s = rates.bytes_per_s + rates.throttled_bytes_per_s;
  load.records_per_s = rates.records_per_s + rates.throttled_per_s;
  load.throttled_per_s = rates.throttled_per_s;
  load.heat.assign(rates.heat.begin(), rates.heat.end());
  if (rates.hot_key && load.range.contains(rates.hot_key->at)) load.hot_key = rates.hot_key;
}

autoscale::Policy partition_policy_of(const api::StreamClusterSpec& cluster,
                                      const api::StreamSpec::PartitionScaling& scaling) {
  autoscale::Policy policy;
  policy.partitioned = true;
  policy.shards_max = scaling.max_partitions;
  policy.target = scaling.target_utilization_percent / 100.0;
  policy.scale_up_after_ms = scaling.scale_up_stabilization_seconds * 1000LL;
  policy.cooldown_ms = scaling.cooldown_seconds * 1000LL;
  policy.shard_bytes_per_s = static_cast<double>(cluster.limits.shard_write_bytes_per_second);
  policy.shard_records_per_s = static_cast<double>(cluster.limits.shard_write_records_per_second);
  policy.mode = mode_of(scaling.mode);
  policy.lead_ms = cluster.autoscaling.interval_seconds * 1000LL + kReshardMs;
  return policy;
}

}  // namespace

int64_t last_growth_of(const api::Stream& stream, int64_t now_ms, int64_t wall_ms) {
  for (const auto& decision : stream.status.decisions) {
    if (decision.action != autoscale::to_string(autoscale::Action::kGrow)) continue;
    int64_t at = api::rfc3339_ms(decision.time);
    if (at >= 0 && at <= wall_ms) return std::max<int64_t>(0, now_ms - (wall_ms - at));
  }
  return -1;
}

autoscale::BrokerMemory broker_memory_of(const api::StreamClusterStatus& status, int64_t now_ms,
                                         int64_t wall_ms) {
  autoscale::BrokerMemory memory;
  for (const auto& decision : status.decisions) {
    int64_t at = api::rfc3339_ms(decision.time);
    if (decision.action == autoscale::to_string(autoscale::BrokerAction::kNone)) continue;
    if (memory.last_step_ms < 0 && at >= 0 && at <= wall_ms) {
      memory.last_step_ms = std::max<int64_t>(0, now_ms - (wall_ms - at));
    }
    if (memory.trial || decision.reason != autoscale::kProduceSlow) continue;
    auto number = [&](const char* input) {
      auto it = decision.inputs.find(input);
      return it == decision.inputs.end() ? 0 : std::strtod(it->second.c_str(), nullptr);
    };
    memory.trial = {.first_load = number(autoscale::kTrialLoadInput) / 100,
                    .p99_ms = number(autoscale::kP99Input)};
  }
  return memory;
}

void add_broker_decision(std::vector<api::Decision>& decisions, api::Decision decision) {
  decisions.insert(decisions.begin(), std::move(decision));
  constexpr size_t kMax = api::StreamClusterStatus::kDecisionsMax;
  while (decisions.size() > kMax) {
    auto nothing = [](const api::Decision& d) {
      return d.action == autoscale::to_string(autoscale::BrokerAction::kNone);
    };
    auto idle = std::count_if(decisions.begin(), decisions.end(), nothing);
    auto oldest = std::find_if(decisions.rbegin(), decisions.rend(), nothing);
    bool steps_stay = static_cast<size_t>(idle) > kMax / 2;
    decisions.erase(steps_stay ? std::next(oldest).base() : std::prev(decisions.end()));
  }
}

autoscale::Policy policy_of(const api::StreamClusterSpec& cluster, const api::StreamSpec& stream) {
  if (stream.partition_scaling) return partition_policy_of(cluster, *stream.partition_scaling);
  auto scaling = stream.autoscaling.value_or(api::StreamSpec::Autoscaling{});
  autoscale::Policy policy;
  policy.shards_min = scaling.min_shards;
  policy.shards_max = scaling.max_shards;
  policy.target = scaling.target_utilization_percent / 100.0;
  policy.scale_up_after_ms = scaling.scale_up_stabilization_seconds * 1000LL;
  policy.scale_down_after_ms = scaling.scale_down_stabilization_seconds * 1000LL;
  policy.shard_bytes_per_s = static_cast<double>(cluster.limits.shard_write_bytes_per_second);
  policy.shard_records_per_s = static_cast<double>(cluster.limits.shard_write_records_per_second);
  policy.throttle_budget = scaling.throttled_per_million / 1e6;
  policy.actions_per_shard_hour = scaling.actions_per_shard_per_hour;
  policy.warm_bytes_per_s = static_cast<double>(scaling.warm_bytes_per_second);
  policy.warm_records_per_s = static_cast<double>(scaling.warm_records_per_second);
  policy.mode = mode_of(scaling.mode);
  policy.lead_ms = cluster.autoscaling.interval_seconds * 1000LL + kReshardMs;
  for (const auto& schedule : scaling.schedules) add_schedule(schedule, policy);
  return policy;
}

autoscale::BrokerPolicy broker_policy_of(const api::StreamClusterSpec::BrokerScaling& scaling) {
  autoscale::BrokerPolicy policy;
  policy.brokers_min = scaling.min;
  policy.brokers_max = scaling.max;
  policy.target = scaling.target_utilization_percent / 100.0;
  policy.space_target = scaling.space_target_percent / 100.0;
  policy.scale_up_after_ms = scaling.scale_up_stabilization_seconds * 1000LL;
  policy.scale_down_after_ms = scaling.scale_down_stabilization_seconds * 1000LL;
  policy.cooldown_ms = scaling.cooldown_seconds * 1000LL;
  policy.price_per_hour = scaling.price_per_hour;
  policy.budget_per_hour = static_cast<double>(scaling.budget_per_hour);
  policy.produce_p99_ms = scaling.produce_p99_milliseconds;
  policy.mode = mode_of(scaling.mode);
  return policy;
}

autoscale::Snapshot snapshot_of(const v1::ShardMap& map, const std::string& stream,
                                const LoadAnswer& answer, int64_t now_ms, int64_t wall_ms) {
  autoscale::Snapshot snapshot;
  snapshot.now_ms = now_ms;
  snapshot.wall_ms = wall_ms;
  snapshot.problem = answer.problem;
  snapshot.problem_reason = answer.reason;
  snapshot.shards_known = static_cast<size_t>(map.shards_size());
  if (auto lag = answer.lags.find(stream); lag != answer.lags.end()) snapshot.lag = lag->second;
  auto rates = answer.rates.find(stream);
  for (const auto& shard : map.shards()) {
    if (shard.state() == v1::SHARD_STATE_SEALING) snapshot.resharding = true;
    if (shard.state() != v1::SHARD_STATE_OPEN) continue;
    if (!shard.has_leader()) snapshot.resharding = true;
    autoscale::ShardLoad load;
    load.shard = shard.index();
    auto range = broker::coordination::parse_range(shard.hash_range());
    if (range.ok()) load.range = *range;
    // The source answered for the whole cluster: a shard without a series has taken nothing yet.
    load.bytes_per_s = load.records_per_s = 0;
    if (rates != answer.rates.end()) {
      if (auto it = rates->second.find(shard.index()); it != rates->second.end()) {
        add_load(it->second, load);
      }
    }
    snapshot.open_shards.push_back(std::move(load));
  }
  return snapshot;
}

autoscale::BrokerSnapshot broker_snapshot_of(const api::StreamCluster& cluster,
                                             const LoadAnswer& answer, int32_t replication_max,
                                             const std::string& scaler, int64_t now_ms) {
  autoscale::BrokerSnapshot snapshot;
  const auto& status = cluster.status;
  snapshot.now_ms = now_ms;
  snapshot.wanted = cluster.spec.brokers;
  snapshot.replication_max = replication_max;
  snapshot.scaler = scaler;
  snapshot.problem = answer.problem;
  snapshot.problem_reason = answer.reason;
  snapshot.lags = answer.lags;
  for (const auto& state : status.broker_states) {
    auto load = answer.brokers.find(state.pod);
    if (load == answer.brokers.end()) {
      if (snapshot.problem.empty()) snapshot.problem = state.pod + " has no metrics";
      continue;
    }
    snapshot.brokers.push_back(load->second);
    snapshot.brokers.back().id = state.id;
    snapshot.brokers.back().zone = state.zone;
  }
  const auto* ready = api::find_condition(status.conditions, "Ready");
  if (status.brokers != cluster.spec.brokers) {
    snapshot.busy = "there are " + std::to_string(status.brokers) + " brokers, " +
                    std::to_string(cluster.spec.brokers) + " are wanted: " +
                    (status.rebalance.message.empty() ? "that is being done"
                                                      : status.rebalance.message);
  } else if (!ready || ready->status != "True") {
    snapshot.busy = ready ? ready->message : "the brokers are not ready";
  } else if (status.rebalance.state == "Running" || status.rebalance.state == "Blocked") {
    snapshot.busy = status.rebalance.message;
  }
  return snapshot;
}

}  // namespace sluice_operator::reconcile
