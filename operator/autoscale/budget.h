#pragma once
// PURE: how much of the budget of refused records may be planned with. Forecasts say what noise
// could bring over the limit, and that is more than it does: loads fall too, and shards come whole.
// So what was refused is counted, and while it is below the budget more than the budget is planned
// with. Kept and called by decide().
#include <cstdint>

namespace sluice_operator::autoscale {

class Budget {
 public:
  static constexpr double kMostBudgets = 4;

  // Once a look: what was offered and how much of it was above its shard's limit, both in shards.
  void add(int64_t elapsed_ms, double offered, double refused);
  // The share of the load to plan with: `budget` itself while nothing is known or all of it is used
  // up, up to kMostBudgets times it after hours in which hardly any was.
  double planned(double budget) const;

 private:
  double offered_ = 0, refused_ = 0;  // shard-milliseconds, older ones fading
  double seen_ms_ = 0;                // fading alike
};

}  // namespace sluice_operator::autoscale
