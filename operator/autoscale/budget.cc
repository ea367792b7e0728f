#include "operator/autoscale/budget.h"

#include <algorithm>
#include <cmath>

namespace sluice_operator::autoscale {

namespace {
constexpr double kHalfLifeMs = 3 * 60 * 60'000.0;
constexpr double kKnownMs = 60 * 60'000.0;  // seen for that long, a share counts as half known
}  // namespace

void Budget::add(int64_t elapsed_ms, double offered, double refused) {
  auto elapsed = static_cast<double>(elapsed_ms);
  double fade = std::exp2(-elapsed / kHalfLifeMs);
  offered_ = offered_ * fade + offered * elapsed;
  refused_ = refused_ * fade + refused * elapsed;
  seen_ms_ = seen_ms_ * fade + elapsed;
}

double Budget::planned(double budget) const {
  if (offered_ <= 0 || budget <= 0) return budget;
  double left = std::max(0.0, 1 - refused_ / (offered_ * budget));
  double known = seen_ms_ / (seen_ms_ + kKnownMs);
  return budget * (1 + (kMostBudgets - 1) * left * known);
}

}  // namespace sluice_operator::autoscale
