#pragma once
// PURE: one look of decide() at figures that are good: the rules, in the order in which they are
// tried. Each rule gives a decision, or nothing when it has none to give.
#include "operator/autoscale/decide.h"

namespace sluice_operator::autoscale {

class Round {
 public:
  Round(const Policy& policy, const Snapshot& snapshot, Memory& memory);

  // At least minShards, what a schedule asks for, and the warm throughput.
  std::optional<Decision> reach_floor();
  // Shards above the target, with their neighbours where that takes fewer shards.
  std::optional<Decision> scale_up();
  // Neighbours whose highest load of the whole window fewer shards could have taken.
  std::optional<Decision> scale_down();
  // More partitions, where one has been above the target for long enough.
  std::optional<Decision> grow();
  // Nothing: says why not.
  Decision rest() const;

 private:
  struct Window {
    size_t first = 0, count = 1;
    int parts = 1;
    double score = 0;  // less is better
    Retiling retiling;
  };
  int32_t open() const { return static_cast<int32_t>(tiles_.size()); }
  bool is_hot(size_t tile) const;
  // A group falls further behind in it, or how far cannot be told: a merge would leave it fewer
  // shards to catch up in.
  bool lags(size_t tile) const;
  // Of a shard at this level, the load that noise would bring over its limit, in shards.
  double overflow(double level) const;
  std::optional<Window> best_relief(size_t hot, const std::vector<bool>& taken,
                                    double allowance) const;
  std::optional<Window> relief(size_t first, size_t count, double allowance) const;
  // In shards; more when few are left: a fast climb, step by step, would use up what is to follow the
  // fall after it.
  double action_price() const;
  bool may_save(const Window& window, bool fall, double allowance) const;
  std::optional<Window> saving(const std::vector<Tile>& peaks, size_t first, size_t count) const;
  Decision act(Action action, const std::vector<Window>& windows, std::string reason,
               std::string message) const;
  int64_t window_ms() const;
  // The highest level of a shard that merging makes. The budget of refused records is kept by all
  // shards together; this keeps one from being hot again as soon as it is there.
  double merged_level() const;
  // The tiles with the highest load of the window as theirs, in shards of that level.
  std::vector<Tile> peaks() const;
  Decision lagging() const;  // why a merge waits
  void explain(Decision& decision) const;
  std::string hottest_text() const;

  const Policy& policy_;
  const Snapshot& snapshot_;
  Memory& memory_;
  double budget_;    // of refused records, to plan with: memory.budget's
  double headroom_;  // on what is expected, for shards that are made
  double tolerance_;  // less: how full those that are there may become before they are hot
  std::vector<Tile> tiles_;  // in key order; load: expected, with headroom: what a new shard is planned for
  std::vector<double> used_;  // share of its limit that a shard takes now, by tile
  std::vector<std::string> blocked_;  // hot keys that no split can help
};

// The factor on what is expected for which shards are made, by the target and the noise.
double planned_headroom(const Policy& policy, const Noise& noise, double budget);
// The allowance of actions that so many shards get in an hour, which is as much as is saved up.
double hourly_actions(const Policy& policy, size_t open);

std::string text_of(double value);
std::string percent(double share);

}  // namespace sluice_operator::autoscale
