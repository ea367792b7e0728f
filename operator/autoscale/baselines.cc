// What the simulator's figures mean, and the schedules it compares with.
#include <algorithm>
#include <cmath>
#include <deque>

#include "operator/autoscale/simulate.h"

namespace sluice_operator::autoscale {

namespace {

constexpr double kOnDemandDelayS = 15 * 60, kOnDemandMemoryS = 30 * 86400.0;
constexpr int kOnDemandShards = 4;

void set(ShardSchedule& schedule, double time_s, int shards) {
  if (!schedule.empty() && schedule.back().second == shards) return;
  if (!schedule.empty() && schedule.back().first == time_s) schedule.back().second = shards;
  else schedule.emplace_back(time_s, shards);
}

}  // namespace

double demand_of(const TraceSample& sample, const Policy& policy) {
  return std::max(sample.bytes_per_s / policy.shard_bytes_per_s,
                  sample.records_per_s / policy.shard_records_per_s);
}

double shortage(double demand, double hot_key_share, int shards) {
  double hot = demand * hot_key_share, rest = demand - hot;
  double room = shards - std::min(hot, 1.0);
  return std::max(0.0, hot - 1) + std::max(0.0, rest - room);
}

int least_shards(double demand, double hot_key_share) {
  double hot = std::min(1.0, demand * hot_key_share);
  double rest = demand * (1 - hot_key_share);
  return std::max(1, static_cast<int>(std::ceil(rest + hot - 1e-9)));
}

double throttled_ratio(const Trace& trace, const Policy& policy, const ShardSchedule& schedule) {
  double short_of = 0, total = 0;
  size_t at = 0;
  for (size_t i = 0; i < trace.size(); i++) {
    double from = trace[i].time_s, end = i + 1 < trace.size() ? trace[i + 1].time_s : end_of(trace);
    double demand = demand_of(trace[i], policy);
    total += demand * (end - from);
    while (from < end) {
      while (at + 1 < schedule.size() && schedule[at + 1].first <= from) at++;
      double until = at + 1 < schedule.size() ? std::min(end, schedule[at + 1].first) : end;
      short_of += shortage(demand, trace[i].hot_key_share, schedule[at].second) * (until - from);
      from = until;
    }
  }
  return total > 0 ? short_of / total : 0;
}

double shard_hours(const ShardSchedule& schedule, double end_s) {
  double seconds = 0;
  for (size_t i = 0; i < schedule.size(); i++) {
    double until = i + 1 < schedule.size() ? schedule[i + 1].first : end_s;
    seconds += (until - schedule[i].first) * schedule[i].second;
  }
  return seconds / 3600;
}

ShardSchedule clairvoyant_schedule(const Trace& trace, const Policy& policy) {
  ShardSchedule schedule;
  for (const auto& sample : trace) {
    set(schedule, sample.time_s, least_shards(demand_of(sample, policy), sample.hot_key_share));
  }
  return schedule;
}

ShardSchedule on_demand_schedule(const Trace& trace, const Policy& policy) {
  // Its capacity follows the highest demand of a sliding window that ends 15 minutes ago.
  ShardSchedule schedule{{trace.front().time_s, kOnDemandShards}};
  std::vector<double> times;  // at which a sample enters or leaves the window
  for (const auto& sample : trace) {
    times.push_back(sample.time_s + kOnDemandDelayS);
    times.push_back(sample.time_s + kOnDemandDelayS + kOnDemandMemoryS);
  }
  std::sort(times.begin(), times.end());
  std::deque<std::pair<double, double>> peaks;  // until when it counts, demand; falling
  size_t next = 0;
  for (double now : times) {
    if (now >= end_of(trace)) break;
    for (; next < trace.size() && trace[next].time_s + kOnDemandDelayS <= now; next++) {
      double demand = demand_of(trace[next], policy);
      while (!peaks.empty() && peaks.back().second <= demand) peaks.pop_back();
      peaks.emplace_back(trace[next].time_s + kOnDemandDelayS + kOnDemandMemoryS, demand);
    }
    while (!peaks.empty() && peaks.front().first <= now) peaks.pop_front();
    double peak = peaks.empty() ? 0 : peaks.front().second;
    set(schedule, now, std::max(kOnDemandShards, static_cast<int>(std::ceil(2 * peak - 1e-9))));
  }
  return schedule;
}

}  // namespace sluice_operator::autoscale
