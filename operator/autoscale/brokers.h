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
  Mode mode = Mode::kAuto;
};

struct BrokerSnapshot {
  int64_t now_ms = 0;
  std::vector<BrokerLoad> brokers;
  int32_t wanted = 0;            // spec.brokers
  int32_t replication_max = 1;   // copies of the most replicated stream: no fewer brokers
  std::string busy;              // why nothing can be begun: a roll, a drain, a move; empty: idle
  std::string problem, problem_reason;
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
};

// Losing it is safe: nothing happens until the windows have been seen again.
struct BrokerMemory {
  struct Point {
    int64_t at_ms;
    std::array<double, kResources> load;  // in brokers' worth
  };
  std::deque<Point> past;  // of the longer window
  bool busy_before = false;  // at the last look
  int64_t high_since_ms = -1;
  int64_t last_step_ms = -1;
  int32_t wanted_before = -1;           // to see that somebody else changed it
  std::deque<int64_t> foreign_changes;  // of the last hour
};

BrokerDecision decide_brokers(const BrokerPolicy& policy, const BrokerSnapshot& snapshot,
                              BrokerMemory& memory);
// The greatest number that bounds and budget allow.
int32_t brokers_ceiling(const BrokerPolicy& policy);

}  // namespace sluice_operator::autoscale
