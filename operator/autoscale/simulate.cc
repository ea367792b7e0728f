#include "operator/autoscale/simulate.h"

#include <algorithm>
#include <cmath>

namespace sluice_operator::autoscale {

using broker::coordination::HashKey;
using broker::coordination::kHashKeyMax;
using broker::coordination::KeyRange;

namespace {

// The trace's mean over a stretch of time, by integrals.
class Demand {
 public:
  Demand(const Trace& trace, const Policy& policy) : trace_(trace) {
    double bytes = 0, records = 0;
    for (size_t i = 0; i < trace.size(); i++) {
      double end = i + 1 < trace.size() ? trace[i + 1].time_s : end_of(trace);
      bytes_.push_back(bytes);
      records_.push_back(records);
      bytes += trace[i].bytes_per_s * (end - trace[i].time_s);
      records += trace[i].records_per_s * (end - trace[i].time_s);
    }
  }
  size_t index_at(double time_s) const {
    auto it = std::upper_bound(trace_.begin(), trace_.end(), time_s,
                               [](double t, const TraceSample& s) { return t < s.time_s; });
    return it == trace_.begin() ? 0 : static_cast<size_t>(it - trace_.begin()) - 1;
  }
  TraceSample mean(double from, double to) const {
    from = std::max(from, trace_.front().time_s);
    TraceSample out = trace_[index_at(to)];
    if (to - from < 1e-9) return out;
    out.bytes_per_s = (total(bytes_, &TraceSample::bytes_per_s, to) -
                       total(bytes_, &TraceSample::bytes_per_s, from)) / (to - from);
    out.records_per_s = (total(records_, &TraceSample::records_per_s, to) -
                         total(records_, &TraceSample::records_per_s, from)) / (to - from);
    return out;
  }

 private:
  double total(const std::vector<double>& sums, double TraceSample::* rate, double at) const {
    size_t i = index_at(at);
    return sums[i] + trace_[i].*rate * std::max(0.0, at - trace_[i].time_s);
  }
  const Trace& trace_;
  std::vector<double> bytes_, records_;  // before each sample
};

struct OpenShard {
  int32_t index;
  KeyRange range;
  double share;  // of the keys that are not hot
  bool hot;      // holds the hot key
};

double width_of(KeyRange range) {
  return (static_cast<double>(range.last - range.first) + 1) / static_cast<double>(kHashKeyMax);
}

class Simulation {
 public:
  Simulation(const Trace& trace, const SimulateOptions& options)
      : trace_(trace), options_(options), demand_(trace, options.policy) {}

  SimulateResult run() {
    begin();
    double end = end_of(trace_);
    double next_look = trace_.front().time_s + options_.interval_s;
    while (true) {
      double next = std::min(end, pending_.empty() ? next_look : std::min(next_look, ready_s_));
      integrate(next);
      now_s_ = next;
      if (now_s_ >= end) break;
      if (!pending_.empty() && now_s_ >= ready_s_) finish();
      if (now_s_ >= next_look) {
        look();
        look_at_brokers();
        next_look += stride();
      }
    }
    return summarise(end);
  }

 private:
  static constexpr double kBrokerLookS = 10, kStillS = 300, kStillStrideS = 10;
  static constexpr HashKey kHotKey = kHashKeyMax / 1000 * 618;

  OpenShard shard_of(KeyRange range) {
    return {next_index_++, range, width_of(range), range.contains(kHotKey)};
  }

  // While a trace has stood still for minutes nothing can follow but the end of a window: looks are
  // then further apart, which makes weeks of hourly samples quick.
  double stride() const {
    size_t i = demand_.index_at(now_s_);
    double end = i + 1 < trace_.size() ? trace_[i + 1].time_s : end_of(trace_);
    bool still = pending_.empty() && now_s_ - trace_[i].time_s > kStillS && end - now_s_ > 2 * kStillStrideS;
    double looks = std::floor(kStillStrideS / options_.interval_s);
    return still && looks > 1 ? looks * options_.interval_s : options_.interval_s;
  }

  void begin() {
    now_s_ = trace_.front().time_s;
    const auto& policy = options_.policy;
    int first = floor_at(policy, wall_ms());
    if (!options_.cold_start) {
      int wanted = static_cast<int>(std::ceil(demand_of(trace_[0], policy) / policy.target * 1.1));
      first = std::clamp(wanted, first, policy.shards_max);
    }
    auto ranges = broker::coordination::split_equally({}, first);
    for (const auto& range : *ranges) shards_.push_back(shard_of(range));
    note_count();
  }

  int64_t wall_ms() const { return static_cast<int64_t>(now_s_ * 1000); }
  void note_count() {
    int open = static_cast<int>(shards_.size());
    result_.max_shards = std::max(result_.max_shards, open);
    if (result_.schedule.empty() || result_.schedule.back().second != open) {
      result_.schedule.emplace_back(now_s_, open);
    }
  }

  // Adds up what each shard could not take from now_s_ until `until`.
  void integrate(double until) {
    double from = now_s_;
    for (size_t i = demand_.index_at(from); from < until; i++) {
      double end = i + 1 < trace_.size() ? std::min(until, trace_[i + 1].time_s) : until;
      double demand = demand_of(trace_[i], options_.policy);
      double even = demand * (1 - trace_[i].hot_key_share), missing = 0;
      for (const auto& shard : shards_) {
        double load = even * shard.share + (shard.hot ? demand * trace_[i].hot_key_share : 0);
        missing += std::max(0.0, load - 1);
      }
      missing_ += missing * (end - from);
      total_ += demand * (end - from);
      bool is_short = shortage(demand, trace_[i].hot_key_share,
                               static_cast<int>(shards_.size())) > demand * 1e-6;
      shortage_s_ = is_short ? shortage_s_ + end - from : 0;
      result_.longest_shortage_s = std::max(result_.longest_shortage_s, shortage_s_);
      from = end;
    }
  }

  Snapshot snapshot() const {
    double to = now_s_ - options_.metrics_age_s;
    auto load = demand_.mean(to - options_.interval_s, to);
    Snapshot snapshot;
    snapshot.now_ms = snapshot.wall_ms = wall_ms();
    snapshot.resharding = !pending_.empty();
    snapshot.shards_known = shards_.size();  // as if retention had removed the closed ones
    for (const auto& shard : shards_) {
      double even = (1 - load.hot_key_share) * shard.share;
      double share = even + (shard.hot ? load.hot_key_share : 0);
      ShardLoad figures;
      figures.shard = shard.index;
      figures.range = shard.range;
      figures.bytes_per_s = load.bytes_per_s * share;
      figures.records_per_s = load.records_per_s * share;
      double used = std::max(*figures.bytes_per_s / options_.policy.shard_bytes_per_s,
                             *figures.records_per_s / options_.policy.shard_records_per_s);
      if (used > 1) figures.throttled_per_s = *figures.records_per_s * (1 - 1 / used);
      if (shard.hot && load.hot_key_share > 0) {
        figures.hot_key = HotKey{"hot", kHotKey, load.hot_key_share / share};
      }
      snapshot.open_shards.push_back(std::move(figures));
    }
    return snapshot;
  }

  void look() {
    auto decision = decide(options_.policy, snapshot(), memory_);
    const auto* last = result_.decisions.empty() ? nullptr : &result_.decisions.back().decision;
    bool news = !last || !decision.operations.empty() || last->reason != decision.reason;
    if (!decision.recommended_only && !decision.operations.empty()) {
      pending_ = decision.operations;
      ready_s_ = now_s_ + options_.reshard_s;
      for (const auto& operation : pending_) result_.actions += operation.actions();
    }
    if (news) result_.decisions.push_back({now_s_, std::move(decision)});
  }

  // A broker's load is its share of all that is written, copies included; one more or one less
  // takes the lead time to get there.
  void look_at_brokers() {
    if (now_s_ < next_broker_look_s_) return;
    next_broker_look_s_ = now_s_ + kBrokerLookS;
    const auto& policy = options_.brokers;
    if (brokers_ == 0) brokers_ = std::max(policy.brokers_min, options_.replication);
    double to = now_s_ - options_.metrics_age_s;
    double load = demand_.mean(to - options_.interval_s, to).bytes_per_s * options_.replication /
                  options_.broker_bytes_per_s;
    BrokerSnapshot snapshot;
    snapshot.now_ms = wall_ms();
    snapshot.wanted = brokers_;
    snapshot.replication_max = options_.replication;
    if (now_s_ < brokers_busy_until_s_) snapshot.busy = "shards are moving";
    for (int id = 0; id < brokers_; id++) {
      snapshot.brokers.push_back({id, std::to_string(id % 3), {{load / brokers_}}});
    }
    auto decision = decide_brokers(policy, snapshot, broker_memory_);
    if (decision.action != BrokerAction::kNone && !decision.recommended_only) {
      brokers_ = decision.brokers;
      brokers_busy_until_s_ = now_s_ + static_cast<double>(policy.lead_ms) / 1000;
    }
    result_.broker_hours += brokers_ * kBrokerLookS / 3600;
    result_.max_brokers = std::max(result_.max_brokers, brokers_);
  }

  void finish() {
    for (const auto& operation : pending_) {
      auto at = std::find_if(shards_.begin(), shards_.end(), [&](const auto& shard) {
        return shard.index == operation.shards.front();
      });
      auto until = at + static_cast<long>(operation.shards.size());
      const KeyRange whole{at->range.first, (until - 1)->range.last};
      std::vector<KeyRange> ranges{whole};
      if (!operation.at.empty()) {
        auto cut = broker::coordination::cut_range(whole, operation.at);
        CHECK(cut.ok());
        ranges = *cut;
      }
      std::vector<OpenShard> children;
      for (const auto& range : ranges) children.push_back(shard_of(range));
      at = shards_.erase(at, until);
      shards_.insert(at, children.begin(), children.end());
    }
    pending_.clear();
    note_count();
  }

  SimulateResult summarise(double end) {
    const auto& policy = options_.policy;
    auto& r = result_;
    r.seconds = end - trace_.front().time_s;
    r.throttled_ratio = throttled_ratio(trace_, policy, r.schedule);
    r.throttled_ratio_by_shard = total_ > 0 ? missing_ / total_ : 0;
    r.shard_hours = shard_hours(r.schedule, end);
    r.clairvoyant_shard_hours = shard_hours(clairvoyant_schedule(trace_, policy), end);
    r.unavoidable_throttled_ratio =
        throttled_ratio(trace_, policy, clairvoyant_schedule(trace_, policy));
    auto on_demand = on_demand_schedule(trace_, policy);
    r.on_demand_shard_hours = shard_hours(on_demand, end);
    r.on_demand_throttled_ratio = throttled_ratio(trace_, policy, on_demand);
    int peak = 1;
    for (const auto& sample : trace_) {
      peak = std::max(peak, least_shards(demand_of(sample, policy), sample.hot_key_share));
    }
    r.peak_shard_hours = peak * r.seconds / 3600;
    r.actions_per_shard_hour = r.shard_hours > 0 ? r.actions / r.shard_hours : 0;
    return std::move(r);
  }

  const Trace& trace_;
  const SimulateOptions& options_;
  Demand demand_;
  Memory memory_;
  SimulateResult result_;
  std::vector<OpenShard> shards_;  // in key order
  std::vector<Operation> pending_;
  double now_s_ = 0, ready_s_ = 0, missing_ = 0, total_ = 0, shortage_s_ = 0;
  int32_t next_index_ = 0;
  BrokerMemory broker_memory_;
  int32_t brokers_ = 0;
  double next_broker_look_s_ = 0, brokers_busy_until_s_ = 0;
};

}  // namespace

SimulateResult simulate(const Trace& trace, const SimulateOptions& options) {
  return Simulation(trace, options).run();
}

}  // namespace sluice_operator::autoscale
