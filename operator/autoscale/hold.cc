#include "operator/autoscale/hold.h"

#include <algorithm>
#include <cmath>

namespace sluice_operator::autoscale {

namespace {
constexpr double kHalfLifeMs = 90 * 60'000.0;
// The exchange, in shares of the shards: what as many refused records as the budget doubled weigh, and
// as many actions as the allowance.
constexpr double kRefusedWeigh = 0.25, kActionsWeigh = 0.125, kBudgets = 2;
constexpr double kBetter = 0.97;  // what another window must cost at most, to be used instead
}  // namespace

void HoldWindow::add(const Policy& policy, int64_t now_ms, int64_t elapsed_ms,
                     const Forecast& total, double headroom) {
  double fade = std::exp2(-static_cast<double>(elapsed_ms) / kHalfLifeMs);
  double refused_price = kRefusedWeigh / (kBudgets * std::max(policy.throttle_budget, 1e-5));
  double action_price = kActionsWeigh * 3600e3 / std::max(policy.actions_per_shard_hour, 0.1);
  // A shortage lasts until new shards take records, not only until the next look.
  auto short_ms = static_cast<double>(policy.lead_ms);
  for (size_t i = 0; i < kWindows; i++) {
    auto& trial = trials_[i];
    trial.cost *= fade;
    double needed = total.peak(now_ms, policy.scale_down_after_ms << i) * headroom;
    double shards = std::max(1.0, std::ceil(needed));
    if (trial.shards > 0) {
      trial.cost += trial.shards * static_cast<double>(elapsed_ms);
      // What has split will merge: both are counted at once, or a fall would speak for waiting.
      trial.cost += 2 * std::max(0.0, shards - trial.shards) * action_price;
      trial.cost += std::max(0.0, total.latest() - trial.shards) * short_ms * refused_price;
    }
    trial.shards = shards;
  }
  size_t best = used_;
  for (size_t i = 0; i < kWindows; i++) {
    if (trials_[i].cost < trials_[best].cost) best = i;
  }
  if (trials_[best].cost < trials_[used_].cost * kBetter) used_ = best;
}

}  // namespace sluice_operator::autoscale
