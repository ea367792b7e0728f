#pragma once
// PURE: whether a cluster should have one broker more or one less, from the brokers' load. The same
// inputs give the same decision. Called by reconcile/'s broker autoscaler and by simulate.h.
// Invariant: figures that are missing or absurd decide nothing; a broker goes only by draining.
#include <array>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "operator/autoscale/lag.h"
#include "operator/autoscale/policy.h"

namespace sluice_operator::autoscale {

enum class Resource { kCpu, kNetwork, kDisk, kSpace };
inline constexpr size_t kResources = 4;
std::string_view to_string(Resource resource);

struct BrokerLoad {
  int32_t id = 0;
  std::string zone;
  // Share of what the broker has, 1 is all of it. Absent: its capacity is not known or not asked.
  std::array<std::optional<double>, kResources> used;
  // The 99th percentile of what producers waited in the last minute; 0: too few to have one.
  std::optional<double> produce_p99_ms;
};

struct BrokerPolicy {
  int32_t brokers_min = 3;
  int32_t brokers_max = 3;
  double target = 0.6;
  double space_target = 0.75;  // a full disk stops writes: it is looked at by itself
  int64_t scale_up_after_ms = 60'000;
  int64_t scale_down_after_ms = 15 * 60'000;
  int64_t cooldown_ms = 5 * 60'000;  // after a step, before the next
  int64_t lead_ms = 3 * 60'000;      // from a decision until a new broker carries load
  double price_per_hour = 0;         // of one broker, in any currency
  double budget_per_hour = 0;        // 0: none
  double produce_p99_ms = 0;         // what producers are to wait at most; 0: not looked at
  Mode mode = Mode::kAuto;
};

struct BrokerSnapshot {
  int64_t now_ms = 0;
  std::vector<BrokerLoad> brokers;
  int32_t wanted = 0;            // spec.brokers
  int32_t replication_max = 1;   // copies of the most replicated stream: no fewer brokers
  std::string scaler;            // who else is to write spec.brokers, by name; empty: nobody known
  std::string busy;              // why nothing can be begun: a roll, a drain, a move; empty: idle
  std::string problem, problem_reason;
  StreamLags lags;
};

enum class BrokerAction { kNone, kAdd, kRemove };
std::string_view to_string(BrokerAction action);

struct BrokerDecision {
  BrokerAction action = BrokerAction::kNone;
  int32_t brokers = 0;  // how many there should be
  bool recommended_only = false;
  std::string reason, message;
  std::map<std::string, std::string> inputs;
  int64_t next_allowed_ms = 0;
  double needed = 0;          // brokers that the load asks for, by the time that one could help
  double produce_p99_ms = 0;  // that of most brokers
};

// Brokers were added because producers waited, and what that did is watched: `first` is the load of
// a broker, as a share of what it is meant for, when the first of them came; `p99_ms` what most
// waited when the last one came. It ends when producers have not waited for a whole window.
struct LatencyTrial {
  double first_load = 0;
  double p99_ms = 0;
};

// Losing it is safe: nothing happens until the windows have been seen again. But for `trial`, which
// an operator that starts takes from the status.
struct BrokerMemory {
  struct Point {
    int64_t at_ms;
    std::array<double, kResources> load;  // in brokers' worth
  };
  std::deque<Point> past;  // of the longer window
  bool busy_before = false;  // at the last look
  int64_t high_since_ms = -1;
  int64_t slow_since_ms = -1;  // since when producers wait at most brokers
  int64_t calm_since_ms = -1;  // since when they do at none
  std::optional<LatencyTrial> trial;
  int64_t last_step_ms = -1;
  int32_t wanted_before = -1;           // to see that somebody else changed it
  std::deque<int64_t> foreign_changes;  // of the last hour
};

BrokerDecision decide_brokers(const BrokerPolicy& policy, const BrokerSnapshot& snapshot,
                              BrokerMemory& memory);
// Reasons of decisions that others than this module look at.
inline constexpr const char* kProduceSlow = "ProduceSlow";
inline constexpr const char* kContended = "Contended";
// What is said while `scaler` is in charge although this one is set up as well.
std::string contended_with(const std::string& scaler);
// Inputs of a ProduceSlow decision, from which LatencyTrial is made again.
inline constexpr const char* kTrialLoadInput = "trialLoad";
inline constexpr const char* kP99Input = "produceP99Milliseconds";
// The greatest number that bounds and budget allow.
int32_t brokers_ceiling(const BrokerPolicy& policy);

}  // namespace sluice_operator::autoscale
