#include "operator/autoscale/brokers.h"

#include <algorithm>
#include <cmath>

#include "operator/autoscale/round.h"

namespace sluice_operator::autoscale {

namespace {

constexpr double kAbsurd = 50;  // a share that no broker reaches
constexpr int64_t kTrendMs = 10 * 60'000, kGapMs = 120'000;
constexpr int64_t kForeignMs = 3600'000;
constexpr size_t kForeignMax = 3;  // changes in an hour that are not ours
constexpr double kInMargin = 0.85;  // of the target, for those that stay
constexpr double kImbalance = 2;    // the fullest broker against the mean
constexpr double kP99AbsurdMs = 3600'000;
// Of the load that they are meant for: where brokers have less, producers wait for something else.
constexpr double kLoadMin = 0.25;
constexpr double kFalls = 0.9;  // of the load, after the lead time: it mends itself
// Of what a broker more takes off each: so much of the wait, at least, must have gone with it.
constexpr double kHelped = 0.5, kHelpedMin = 0.05;

BrokerDecision none(std::string reason, std::string message) {
  BrokerDecision decision;
  decision.reason = std::move(reason);
  decision.message = std::move(message);
  return decision;
}

double target_of(const BrokerPolicy& policy, size_t resource) {
  return resource == static_cast<size_t>(Resource::kSpace) ? policy.space_target : policy.target;
}

std::string name_of(size_t resource) {
  return std::string(to_string(static_cast<Resource>(resource)));
}

std::pair<std::string, std::string> what_is_wrong(const BrokerPolicy& policy,
                                                  const BrokerSnapshot& snapshot,
                                                  const BrokerMemory& memory) {
  if (!snapshot.problem.empty()) {
    return {snapshot.problem_reason.empty() ? "MetricsMissing" : snapshot.problem_reason,
            snapshot.problem};
  }
  if (snapshot.brokers.empty()) return {"MetricsMissing", "no broker has metrics"};
  if (!memory.past.empty() && snapshot.now_ms <= memory.past.back().at_ms) {
    return {"ClockWentBack", "the clock did not move on since the last look"};
  }
  for (const auto& broker : snapshot.brokers) {
    bool any = false;
    for (size_t r = 0; r < kResources; r++) {
      if (!broker.used[r]) continue;
      any = true;
      if (!std::isfinite(*broker.used[r]) || *broker.used[r] < 0 || *broker.used[r] > kAbsurd) {
        return {"MetricsAbsurd", "broker " + std::to_string(broker.id) + " says that it uses " +
                                     text_of(*broker.used[r]) + " times its " + name_of(r)};
      }
    }
    if (!any) return {"MetricsMissing", "broker " + std::to_string(broker.id) + " has no metrics"};
    if (policy.produce_p99_ms <= 0) continue;
    if (!broker.produce_p99_ms) {
      return {"MetricsMissing",
              "broker " + std::to_string(broker.id) + " does not tell for how long producers wait"};
    }
    if (!(*broker.produce_p99_ms >= 0 && *broker.produce_p99_ms <= kP99AbsurdMs)) {
      return {"MetricsAbsurd", "broker " + std::to_string(broker.id) +
                                   " says that producers wait " + text_of(*broker.produce_p99_ms) +
                                   " ms"};
    }
  }
  return {};
}

// Load now and after the lead time, by the slope of the last ten minutes.
struct Trend {
  std::array<double, kResources> mean{}, now{}, soon{};
};

Trend trend_of(const BrokerPolicy& policy, const BrokerMemory& memory) {
  const auto& now = memory.past.back();
  double n = 0, t_sum = 0, t_square = 0;
  std::array<double, kResources> sum{}, product{};
  for (auto it = memory.past.rbegin(); it != memory.past.rend(); ++it) {
    if (now.at_ms - it->at_ms > kTrendMs) break;
    double t = static_cast<double>(it->at_ms - now.at_ms) / 1000;
    n++;
    t_sum += t;
    t_square += t * t;
    for (size_t r = 0; r < kResources; r++) {
      sum[r] += it->load[r];
      product[r] += t * it->load[r];
    }
  }
  Trend trend;
  double spread = n * t_square - t_sum * t_sum;
  for (size_t r = 0; r < kResources; r++) {
    trend.mean[r] = sum[r] / n;
    double slope = spread > 0 ? (n * product[r] - t_sum * sum[r]) / spread : 0;
    trend.now[r] = std::max(0.0, trend.mean[r] - slope * t_sum / n);
    trend.soon[r] = trend.now[r] + slope * static_cast<double>(policy.lead_ms) / 1000;
  }
  return trend;
}

// What brokers are added for: never less than what there has been.
std::array<double, kResources> ahead(const Trend& trend) {
  std::array<double, kResources> out{};
  for (size_t r = 0; r < kResources; r++) {
    out[r] = std::max({trend.mean[r], trend.now[r], trend.soon[r]});
  }
  return out;
}

struct Need {
  double brokers = 0;
  size_t resource = 0;
};

Need need_of(const BrokerPolicy& policy, const std::array<double, kResources>& load, double margin) {
  Need need;
  for (size_t r = 0; r < kResources; r++) {
    double brokers = load[r] / (target_of(policy, r) * margin);
    if (brokers > need.brokers) need = {brokers, r};
  }
  return need;
}

// By how many brokers the fullest zone is ahead of the emptiest when `without` is gone.
int skew(const BrokerSnapshot& snapshot, int32_t without) {
  std::map<std::string, int> zones;
  for (const auto& broker : snapshot.brokers) zones[broker.zone] += broker.id != without;
  int low = INT32_MAX, high = 0;
  for (const auto& [zone, count] : zones) {
    low = std::min(low, count);
    high = std::max(high, count);
  }
  return high - low;
}

// What producers wait at more than half of the brokers. A hot shard's leader, or a slow disk, is
// one of them: what waits there is no reason to say that brokers are too few.
double typical_p99(const BrokerSnapshot& snapshot) {
  std::vector<double> waits;
  for (const auto& broker : snapshot.brokers) waits.push_back(broker.produce_p99_ms.value_or(0));
  if (waits.empty()) return 0;
  std::sort(waits.begin(), waits.end());
  return waits[(waits.size() - 1) / 2];
}

const BrokerLoad* slowest(const BrokerSnapshot& snapshot) {
  const BrokerLoad* found = nullptr;
  for (const auto& broker : snapshot.brokers) {
    if (!found || broker.produce_p99_ms.value_or(0) > found->produce_p99_ms.value_or(0)) {
      found = &broker;
    }
  }
  return found;
}

std::string ms_text(double ms) {
  return text_of(ms) + " ms";
}

class Look {
 public:
  Look(const BrokerPolicy& policy, const BrokerSnapshot& snapshot, BrokerMemory& memory)
      : policy_(policy), snapshot_(snapshot), memory_(memory), n_(snapshot.wanted) {}

  BrokerDecision choose() {
    auto [reason, problem] = what_is_wrong(policy_, snapshot_, memory_);
    if (!reason.empty()) {
      memory_.past.clear();
      memory_.high_since_ms = memory_.slow_since_ms = memory_.calm_since_ms = -1;
      return none(reason, problem + ": nothing is decided");
    }
    note();
    note_waits();
    trend_ = trend_of(policy_, memory_);
    if (policy_.mode == Mode::kFrozen) return none("Frozen", "scaling of brokers is frozen");
    if (!snapshot_.scaler.empty() && policy_.mode == Mode::kAuto) {
      return none(kContended, contended_with(snapshot_.scaler));
    }
    if (!snapshot_.busy.empty()) return none("Busy", snapshot_.busy);
    if (memory_.foreign_changes.size() >= kForeignMax) {
      auto decision = none(kContended,
                           "spec.brokers is also written by somebody else, as a "
                           "HorizontalPodAutoscaler or KEDA would: this one stands back");
      decision.next_allowed_ms = memory_.foreign_changes.front() + kForeignMs;
      return decision;
    }
    if (auto decision = bounds()) return *decision;
    int64_t next = memory_.last_step_ms + policy_.cooldown_ms;
    auto soon = need_of(policy_, ahead(trend_), 1);
    if (soon.brokers <= n_) memory_.high_since_ms = -1;
    else if (memory_.high_since_ms < 0) memory_.high_since_ms = snapshot_.now_ms;
    if (memory_.last_step_ms >= 0 && snapshot_.now_ms < next) {
      bool ours = memory_.foreign_changes.empty() ||
                  memory_.foreign_changes.back() < memory_.last_step_ms;
      auto decision = ours ? none("CoolingDown", "a broker was added or removed a moment ago")
                           : none("Overridden", "somebody else has set spec.brokers to " +
                                                    std::to_string(n_) + ": it is left alone for now");
      decision.next_allowed_ms = next;
      return decision;
    }
    if (soon.brokers > n_) return out(soon);
    if (auto decision = slow()) return *decision;
    return in();
  }

  double needed() const {
    return memory_.past.empty() ? 0 : need_of(policy_, ahead(trend_), 1).brokers;
  }
  const std::map<std::string, std::string>& more_inputs() const { return more_; }

 private:
  void note() {
    if (!memory_.past.empty() && snapshot_.now_ms - memory_.past.back().at_ms > kGapMs) {
      memory_.past.clear();
    }
    BrokerMemory::Point point{snapshot_.now_ms, {}};
    for (const auto& broker : snapshot_.brokers) {
      for (size_t r = 0; r < kResources; r++) point.load[r] += broker.used[r].value_or(0);
    }
    // What brokers copy while shards move ends with the move: the load stays what it was before.
    if (!memory_.past.empty() && copying()) {
      for (auto r : {Resource::kNetwork, Resource::kDisk}) {
        point.load[static_cast<size_t>(r)] = memory_.past.back().load[static_cast<size_t>(r)];
      }
    }
    memory_.busy_before = !snapshot_.busy.empty();
    memory_.past.push_back(point);
    int64_t keep = std::max(policy_.scale_down_after_ms, kTrendMs) + kGapMs;
    while (snapshot_.now_ms - memory_.past.front().at_ms > keep) memory_.past.pop_front();
    // A number that somebody else chose is left alone for as long as one of ours.
    if (memory_.wanted_before >= 0 && n_ != memory_.wanted_before) {
      memory_.last_step_ms = snapshot_.now_ms;
      // Of one that is known as long as it is there, nothing is to be remembered when it has gone.
      if (snapshot_.scaler.empty()) memory_.foreign_changes.push_back(snapshot_.now_ms);
    }
    auto& foreign = memory_.foreign_changes;
    while (!foreign.empty() && snapshot_.now_ms - foreign.front() > kForeignMs) foreign.pop_front();
    memory_.wanted_before = n_;
  }

  void note_waits() {
    if (policy_.produce_p99_ms <= 0) {
      memory_.slow_since_ms = memory_.calm_since_ms = -1;
      memory_.trial.reset();
      return;
    }
    bool most = typical_p99(snapshot_) > policy_.produce_p99_ms;
    bool any = slowest(snapshot_)->produce_p99_ms.value_or(0) > policy_.produce_p99_ms;
    // What moves shards makes producers wait, too, and ends by itself.
    if (!most || copying())
      memory_.slow_since_ms = -1;
    else if (memory_.slow_since_ms < 0)
      memory_.slow_since_ms = snapshot_.now_ms;
    if (any)
      memory_.calm_since_ms = -1;
    else if (memory_.calm_since_ms < 0)
      memory_.calm_since_ms = snapshot_.now_ms;
    if (!any && snapshot_.now_ms - memory_.calm_since_ms >= policy_.scale_down_after_ms) {
      memory_.trial.reset();
    }
  }

  // Rates reach back to the look before, and a move may begin and end between two.
  bool copying() const {
    return !snapshot_.busy.empty() || memory_.busy_before ||
           (memory_.last_step_ms >= 0 && memory_.last_step_ms == memory_.past.back().at_ms);
  }

  BrokerDecision step(BrokerAction action, int32_t brokers, std::string reason,
                      std::string message) {
    BrokerDecision decision;
    decision.action = action;
    decision.brokers = brokers;
    decision.reason = std::move(reason);
    decision.message = std::move(message);
    decision.next_allowed_ms = snapshot_.now_ms + policy_.cooldown_ms;
    if (policy_.mode == Mode::kDryRun) {
      decision.recommended_only = true;
      decision.message = "dry run, nothing is done: " + decision.message;
    } else {
      memory_.last_step_ms = snapshot_.now_ms;
      memory_.wanted_before = brokers;
      memory_.high_since_ms = memory_.slow_since_ms = -1;
    }
    return decision;
  }

  std::optional<BrokerDecision> bounds() {
    int32_t floor = std::max(policy_.brokers_min, snapshot_.replication_max);
    if (n_ < floor && n_ < brokers_ceiling(policy_)) {
      return step(BrokerAction::kAdd, n_ + 1, "BelowMinimum",
                  "at least " + std::to_string(floor) + " brokers are asked for");
    }
    return std::nullopt;
  }

  BrokerDecision out(const Need& need) {
    const std::string what = name_of(need.resource) + " of " + std::to_string(n_) +
                             " brokers will pass " + percent(target_of(policy_, need.resource)) +
                             " by the time that another could help";
    if (n_ >= brokers_ceiling(policy_)) {
      bool money = brokers_ceiling(policy_) < policy_.brokers_max;
      return none(money ? "BudgetReached" : "AtMaximum",
                  what + ", and " + (money ? "budgetPerHour" : "max") + " is reached");
    }
    if (snapshot_.now_ms - memory_.high_since_ms < policy_.scale_up_after_ms) {
      auto decision = none("Stabilising", what + "; not for long enough yet");
      decision.next_allowed_ms = memory_.high_since_ms + policy_.scale_up_after_ms;
      return decision;
    }
    return step(BrokerAction::kAdd, n_ + 1, "BrokersFull", what);
  }

  // Producers wait longer than they are to, though no resource will be full. Another broker helps
  // where they wait for what all brokers share: where most are slow, with some load on them that
  // does not fall by itself, and where the broker that was added for it last has helped.
  std::optional<BrokerDecision> slow() {
    if (memory_.slow_since_ms < 0) return std::nullopt;
    double p99_ms = typical_p99(snapshot_);
    auto now = need_of(policy_, trend_.now, 1);
    double load = now.brokers / n_;
    const std::string what = "producers wait " + ms_text(p99_ms) + " at most brokers (p99, " +
                             ms_text(policy_.produce_p99_ms) + " are asked for)";
    const std::string load_text =
        name_of(now.resource) + " is at " + percent(load) + " of its target";
    if (load < kLoadMin) {
      return none("LatencyNotByLoad",
                  what + ", but " + load_text +
                      ": the load is not what they wait for, and another broker "
                      "would not mend it");
    }
    if (memory_.trial) {
      const auto& trial = *memory_.trial;
      double enough = 1 - std::max(kHelpedMin, kHelped / n_);
      bool grown = load >= trial.first_load;
      if (!grown && p99_ms > trial.p99_ms * enough) {
        return none(
            "LatencyNotHelped",
            what + ", and the broker that was added for it changed little (" +
                ms_text(trial.p99_ms) + " before, at " + percent(trial.first_load) +
                " of the load's target): no more are added, unless the load grows beyond that");
      }
    }
    if (n_ >= brokers_ceiling(policy_)) {
      bool money = brokers_ceiling(policy_) < policy_.brokers_max;
      return none(money ? "BudgetReached" : "AtMaximum",
                  what + ", and " + (money ? "budgetPerHour" : "max") + " is reached");
    }
    if (trend_.soon[now.resource] < trend_.now[now.resource] * kFalls) {
      return none("Stabilising", what + ", but the load falls");
    }
    if (snapshot_.now_ms - memory_.slow_since_ms < policy_.scale_up_after_ms) {
      auto decision = none("Stabilising", what + "; not for long enough yet");
      decision.next_allowed_ms = memory_.slow_since_ms + policy_.scale_up_after_ms;
      return decision;
    }
    LatencyTrial trial{memory_.trial ? memory_.trial->first_load : load, p99_ms};
    more_[kTrialLoadInput] = percent(trial.first_load);
    auto decision = step(BrokerAction::kAdd, n_ + 1, kProduceSlow, what + ", and " + load_text);
    if (!decision.recommended_only) memory_.trial = trial;
    return decision;
  }

  // Somewhere producers wait too long.
  bool waiting() const { return policy_.produce_p99_ms > 0 && memory_.calm_since_ms < 0; }

  BrokerDecision uneven(const char* more) const {
    const auto* broker = slowest(snapshot_);
    return none("LatencyUneven",
                "producers wait " + ms_text(broker->produce_p99_ms.value_or(0)) + " at broker " +
                    std::to_string(broker->id) + " and " + ms_text(typical_p99(snapshot_)) +
                    " at most: a hot shard or a slow disk; moving shards helps, " + more);
  }

  // Why a broker that is not needed stays all the same.
  std::optional<BrokerDecision> kept() const {
    if (waiting()) return uneven("none is removed meanwhile");
    if (policy_.produce_p99_ms > 0 &&
        snapshot_.now_ms - memory_.calm_since_ms < policy_.scale_down_after_ms) {
      auto decision = none("Stabilising",
                           "fewer brokers could hold the load; producers waited too "
                           "long a while ago");
      decision.next_allowed_ms = memory_.calm_since_ms + policy_.scale_down_after_ms;
      return decision;
    }
    for (const auto& [stream, lag] : snapshot_.lags) {
      if (!lag.growing.empty()) {
        return none("LagGrowing", "group '" + lag.group + "' is " + text_of(lag.records) +
                                      " records behind in '" + stream +
                                      "' and falls further: it reads from disk, as a drain would; "
                                      "nothing is removed");
      }
    }
    for (const auto& [stream, lag] : snapshot_.lags) {
      if (!lag.unknown.empty()) {
        return none("LagUnknown", "how far the groups of '" + stream +
                                      "' are behind cannot be told: nothing is removed");
      }
    }
    return std::nullopt;
  }

  BrokerDecision in() {
    int32_t floor = std::max({policy_.brokers_min, snapshot_.replication_max, 1});
    if (n_ <= floor) return rest();
    int64_t since = memory_.past.front().at_ms;
    std::array<double, kResources> peak{};
    for (const auto& point : memory_.past) {
      // More is remembered than the window where the trend asks for it.
      if (snapshot_.now_ms - point.at_ms > policy_.scale_down_after_ms) continue;
      for (size_t r = 0; r < kResources; r++) peak[r] = std::max(peak[r], point.load[r]);
    }
    auto need = need_of(policy_, peak, kInMargin);
    if (need.brokers > n_ - 1) return rest();
    if (auto decision = kept()) return *decision;
    if (snapshot_.now_ms - since < policy_.scale_down_after_ms) {
      auto decision = none("Stabilising", "fewer brokers could hold the load; not for long enough");
      decision.next_allowed_ms = since + policy_.scale_down_after_ms;
      return decision;
    }
    if (skew(snapshot_, n_ - 1) > std::max(1, skew(snapshot_, -1))) {
      return none("ZonesUneven", "without broker " + std::to_string(n_ - 1) +
                                     " its zone would have too few: nothing is removed");
    }
    return step(BrokerAction::kRemove, n_ - 1, "BrokersIdle",
                std::to_string(n_ - 1) + " brokers would have held the highest load of the last " +
                    std::to_string(policy_.scale_down_after_ms / 1000) +
                    " s with margin: the last one is drained and removed");
  }

  BrokerDecision rest() const {
    double sum = 0, most = 0;
    for (const auto& broker : snapshot_.brokers) {
      double used = 0;
      for (const auto& share : broker.used) used = std::max(used, share.value_or(0));
      sum += used;
      most = std::max(most, used);
    }
    double mean = sum / static_cast<double>(snapshot_.brokers.size());
    if (waiting()) return uneven("another broker not");
    if (most > policy_.target && most > kImbalance * mean) {
      return none("Imbalanced", "one broker is at " + percent(most) + ", the mean is " +
                                    percent(mean) + ": moving shards helps, another broker not");
    }
    return none("WithinTarget", "the brokers have room, and none is spare");
  }

  const BrokerPolicy& policy_;
  const BrokerSnapshot& snapshot_;
  BrokerMemory& memory_;
  const int32_t n_;
  Trend trend_;
  std::map<std::string, std::string> more_;  // inputs beside those of every decision
};

void add_inputs(BrokerDecision& decision, const BrokerPolicy& policy,
                const BrokerSnapshot& snapshot) {
  auto& inputs = decision.inputs;
  inputs["brokers"] = std::to_string(snapshot.wanted);
  inputs["min"] = std::to_string(policy.brokers_min);
  inputs["max"] = std::to_string(brokers_ceiling(policy));
  inputs["target"] = percent(policy.target);
  for (size_t r = 0; r < kResources; r++) {
    double sum = 0, most = 0;
    int known = 0;
    for (const auto& broker : snapshot.brokers) {
      if (!broker.used[r]) continue;
      known++;
      sum += *broker.used[r];
      most = std::max(most, *broker.used[r]);
    }
    if (known == 0) continue;
    inputs[name_of(r)] = percent(sum / known) + " mean, " + percent(most) + " most";
  }
  if (const auto* broker = slowest(snapshot); broker && broker->produce_p99_ms) {
    inputs[kP99Input] = text_of(typical_p99(snapshot));
    inputs["produceP99MillisecondsMost"] = text_of(*broker->produce_p99_ms);
  }
  const StreamLag* most = nullptr;
  for (const auto& [stream, lag] : snapshot.lags) {
    if (most && lag.records <= most->records) continue;
    most = &lag;
    inputs["lagStream"] = stream;
  }
  if (most) add_lag(inputs, *most);
}

}  // namespace

std::string_view to_string(Resource resource) {
  switch (resource) {
    case Resource::kCpu: return "cpu";
    case Resource::kNetwork: return "network";
    case Resource::kDisk: return "diskBandwidth";
    case Resource::kSpace: return "space";
  }
  return "cpu";
}

std::string_view to_string(BrokerAction action) {
  switch (action) {
    case BrokerAction::kNone: return "None";
    case BrokerAction::kAdd: return "AddBroker";
    case BrokerAction::kRemove: return "DrainBroker";
  }
  return "None";
}

std::string contended_with(const std::string& scaler) {
  return "spec.autoscaling.brokers is set, and " + scaler +
         " scales this cluster too: this one stands back until one of them is removed";
}

int32_t brokers_ceiling(const BrokerPolicy& policy) {
  if (policy.budget_per_hour <= 0 || policy.price_per_hour <= 0) return policy.brokers_max;
  double affordable = std::floor(policy.budget_per_hour / policy.price_per_hour + 1e-9);
  return static_cast<int32_t>(std::clamp<double>(affordable, 0, policy.brokers_max));
}

BrokerDecision decide_brokers(const BrokerPolicy& policy, const BrokerSnapshot& snapshot,
                              BrokerMemory& memory) {
  Look look(policy, snapshot, memory);
  BrokerDecision decision = look.choose();
  if (decision.action == BrokerAction::kNone) decision.brokers = snapshot.wanted;
  decision.needed = look.needed();
  decision.produce_p99_ms = typical_p99(snapshot);
  decision.inputs = look.more_inputs();
  if (decision.needed > 0) decision.inputs["brokersNeeded"] = text_of(decision.needed);
  add_inputs(decision, policy, snapshot);
  return decision;
}

}  // namespace sluice_operator::autoscale
