// The rule for the partitions of a topic. Their keys are placed by the clients, by hash modulo the
// number of partitions: all of them move when it changes, so it changes seldom, and by enough.
#include <algorithm>
#include <cmath>

#include "operator/autoscale/round.h"

namespace sluice_operator::autoscale {

namespace {
constexpr double kGrowthRoom = 0.75;  // of the target, for which the new number is planned
constexpr double kUneven = 1.5;       // the fullest against the mean; beyond it keys are to blame
constexpr int32_t kPartitionsMax = 2000;
}  // namespace

std::optional<Decision> Round::grow() {
  double sum = 0, most = 0;
  int32_t fullest = 0;
  for (const auto& [shard, track] : memory_.shards) {
    double level = track.load.level(memory_.noise);
    sum += level;
    if (level <= most) continue;
    most = level;
    fullest = shard;
  }
  const int32_t n = open();
  const int64_t now = snapshot_.now_ms;
  if (most <= policy_.target) {
    memory_.crowded_since_ms = -1;
    return std::nullopt;
  }
  if (memory_.crowded_since_ms < 0) memory_.crowded_since_ms = now;
  const std::string name = "partition " + std::to_string(fullest) + " is at " + percent(most) +
                           " of its limit, above the target of " + percent(policy_.target);
  double mean = sum / n;
  double spread = std::min(most, mean * kUneven);
  auto wanted = static_cast<int32_t>(
      std::min<double>(kPartitionsMax, std::ceil(n * spread / (policy_.target * kGrowthRoom) - 1e-9)));
  Decision decision;
  explain(decision);
  decision.inputs["partitions"] = std::to_string(n);
  decision.inputs["fullestPartition"] = percent(most);
  decision.inputs["meanPartition"] = percent(mean);
  auto none = [&](std::string reason, std::string why, int64_t next_ms) {
    decision.reason = std::move(reason);
    decision.message = name + why;
    decision.next_allowed_ms = next_ms;
    return decision;
  };
  if (spread <= policy_.target) {
    if (!blocked_.empty()) return none("HotKey", "; " + blocked_.front(), now);
    return none("UnevenKeys", ", and the mean is " + percent(mean) +
                                  ": its keys take more than others', and more partitions would "
                                  "move keys without a promise to help", now);
  }
  if (n >= policy_.shards_max) return none("AtMaximum", ", and maxPartitions is reached", now);
  int64_t steady = memory_.crowded_since_ms + policy_.scale_up_after_ms;
  if (now < steady) return none("Stabilising", "; not for long enough yet", steady);
  int64_t cool = memory_.last_growth_ms + policy_.cooldown_ms;
  if (memory_.last_growth_ms >= 0 && now < cool) {
    return none("CoolingDown", "; partitions were added a while ago, and keys moved", cool);
  }
  wanted = std::min(std::max(wanted, n + 1), policy_.shards_max);
  decision.action = Action::kGrow;
  decision.operations.push_back({{}, {}, wanted});
  decision.reason = "PartitionsFull";
  decision.message = name + ": " + std::to_string(n) + " partitions become " +
                     std::to_string(wanted) + ", and keys move between partitions";
  decision.next_allowed_ms = now + policy_.cooldown_ms;
  if (policy_.mode == Mode::kAuto) {
    memory_.last_growth_ms = now;
    memory_.crowded_since_ms = -1;
  }
  return decision;
}

}  // namespace sluice_operator::autoscale
