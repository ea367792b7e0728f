#include "operator/autoscale/hold.h"

#include <algorithm>
#include <cmath>

namespace sluice_operator::autoscale {

namespace {
constexpr double kHalfLifeMs = 90 * 60'000.0;
// The exchange, in shares of the shards: what as many refused records as the budget doubled weigh, and
// as many actions as the allowance: those within it, which is there to be used, and those beyond it.
constexpr double kRefusedWeigh = 0.25, kBudgets = 2;
constexpr double kWithinWeigh = 0.06, kBeyondWeigh = 0.125;
constexpr double kBetter = 0.97;  // what another window must cost at most, to be used instead
}  // namespace

double HoldWindow::cost(const Policy& policy, const Trial& trial) {
  double per_hour = std::max(policy.actions_per_shard_hour, 0.1);
  double within = std::min(trial.actions, per_hour * trial.paid / 3600e3);
  double actions = kWithinWeigh * within + kBeyondWeigh * (trial.actions - within);
  double refused = kRefusedWeigh * trial.refused / (kBudgets * std::max(policy.throttle_budget, 1e-5));
  return trial.paid + refused + actions * 3600e3 / per_hour;
}

void HoldWindow::add(const Policy& policy, int64_t now_ms, int64_t elapsed_ms,
                     const Forecast& total, double headroom) {
  double fade = std::exp2(-static_cast<double>(elapsed_ms) / kHalfLifeMs);
  // A shortage lasts until new shards take records, not only until the next look.
  auto short_ms = static_cast<double>(policy.lead_ms);
  for (size_t i = 0; i < kWindows; i++) {
    auto& trial = trials_[i];
    for (double* sum : {&trial.paid, &trial.refused, &trial.actions}) *sum *= fade;
    double needed = total.peak(now_ms, policy.scale_down_after_ms << i) * headroom;
    double shards = std::max(1.0, std::ceil(needed));
    if (trial.shards > 0) {
      trial.paid += trial.shards * static_cast<double>(elapsed_ms);
      // What has split will merge: both are counted at once, or a fall would speak for waiting.
      trial.actions += 2 * std::max(0.0, shards - trial.shards);
      trial.refused += std::max(0.0, total.latest() - trial.shards) * short_ms;
    }
    trial.shards = shards;
  }
  size_t best = used_;
  for (size_t i = 0; i < kWindows; i++) {
    if (cost(policy, trials_[i]) < cost(policy, trials_[best])) best = i;
  }
  if (cost(policy, trials_[best]) < cost(policy, trials_[used_]) * kBetter) used_ = best;
}

}  // namespace sluice_operator::autoscale
