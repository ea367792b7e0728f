#pragma once
// PURE: decide() run against a trace with the system's lags, and what other ways of providing
// shards would have cost on the same trace. README.md defines every figure. Called by
// `sluice autoscale simulate` and by the tests that hold the planner to its aims.
#include <utility>
#include <vector>

#include "operator/autoscale/brokers.h"
#include "operator/autoscale/decide.h"
#include "operator/autoscale/trace.h"

namespace sluice_operator::autoscale {

struct SimulateOptions {
  Policy policy;
  double interval_s = 1;       // between two looks; figures are the mean since the last one
  double metrics_age_s = 0.2;  // how old they are when they are looked at
  double reshard_s = 1;        // from a decision until its new shards take records
  // False: the stream has run before, and begins with the shards that the first sample asks for.
  bool cold_start = false;
  double shard_hour_price = 0.015;  // Kinesis' list price in us-east-1, for comparison
  double broker_hour_price = 0.1;
  BrokerPolicy brokers{.brokers_min = 3, .brokers_max = 100};
  double broker_bytes_per_s = 50 << 20;  // what one broker takes from clients and from leaders
  int32_t replication = 3;
};

// A number of shards over time: from each time on.
using ShardSchedule = std::vector<std::pair<double, int>>;

struct SimulatedDecision {
  double time_s;
  Decision decision;
};

struct SimulateResult {
  ShardSchedule schedule;
  double seconds = 0;
  double throttled_ratio = 0;            // against open shards, as if load spread evenly
  double throttled_ratio_by_shard = 0;   // against each shard's own load
  double shard_hours = 0, clairvoyant_shard_hours = 0, on_demand_shard_hours = 0,
         peak_shard_hours = 0;
  double on_demand_throttled_ratio = 0;
  double unavoidable_throttled_ratio = 0;  // by a key that is too hot for a shard of its own
  double broker_hours = 0;
  int actions = 0, max_shards = 0, max_brokers = 0;
  double actions_per_shard_hour = 0;
  double longest_shortage_s = 0;  // without a break, demand above the open shards
  std::vector<SimulatedDecision> decisions;
};

SimulateResult simulate(const Trace& trace, const SimulateOptions& options);

// ---- the definitions, for whoever recomputes them ----

// A sample's demand in shards: the greater of bytes and records over a shard's limit.
double demand_of(const TraceSample& sample, const Policy& policy);
// The demand that `shards` cannot take: a hot key is bound to one of them.
double shortage(double demand, double hot_key_share, int shards);
// The least number of shards without a shortage that more shards could prevent; at least 1.
int least_shards(double demand, double hot_key_share);
double throttled_ratio(const Trace& trace, const Policy& policy, const ShardSchedule& schedule);
double shard_hours(const ShardSchedule& schedule, double end_s);
ShardSchedule clairvoyant_schedule(const Trace& trace, const Policy& policy);
// Kinesis on-demand as published: 4 shards to begin with, room for twice the peak of the last 30
// days, new shards within 15 minutes.
ShardSchedule on_demand_schedule(const Trace& trace, const Policy& policy);

}  // namespace sluice_operator::autoscale
