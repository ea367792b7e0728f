#pragma once
// PURE: for how long shards are kept after the load has fallen, before neighbours merge. Several
// windows are tried on paper, on the stream's whole load; the one that would lately have been the
// cheapest, in shards, splits and merges, and refused records, is used. Kept and called by decide().
#include <array>
#include <cstddef>
#include <cstdint>

#include "operator/autoscale/forecast.h"
#include "operator/autoscale/policy.h"

namespace sluice_operator::autoscale {

class HoldWindow {
 public:
  static constexpr size_t kWindows = 5;  // each twice as long as the one before

  // `total`: of all shards, this look included; `headroom`: the factor on its level.
  void add(const Policy& policy, int64_t now_ms, int64_t elapsed_ms, const Forecast& total,
           double headroom);
  int64_t window_ms(const Policy& policy) const { return policy.scale_down_after_ms << used_; }

 private:
  struct Trial {
    double shards = 0;  // that it would have now
    // Older ones fading; shards and refused records in shard-milliseconds.
    double paid = 0, refused = 0, actions = 0;
  };
  static double cost(const Policy& policy, const Trial& trial);  // in shard-milliseconds
  std::array<Trial, kWindows> trials_;
  size_t used_ = 0;
};

}  // namespace sluice_operator::autoscale
