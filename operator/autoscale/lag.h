#pragma once
// PURE: how far groups are behind the ends of shards, and of which shards one falls further behind.
// Told the offsets at each look by reconcile/'s load source; decide() and decide_brokers() take
// what comes out. Invariant: a reader that nobody waits for, or whose end is not known, is never
// counted as catching up; what was never seen to grow does not grow.
#include <cstdint>
#include <deque>
#include <map>
#include <set>
#include <string>
#include <tuple>

namespace sluice_operator::autoscale {

// As the brokers tell them: ends by their leaders, what is committed by the groups' coordinators.
struct Offsets {
  std::map<std::string, std::map<int32_t, double>> ends;  // by stream, shard
  std::map<std::string, std::map<std::string, std::map<int32_t, double>>>
      committed;  // … group, shard
};

struct StreamLag {
  std::string group;        // the one furthest behind, of those that fall further if any does
  double records = 0;       // of that group, over all shards
  double growth_per_s = 0;  // of these, over the last minute
  // Shards of which a group that reads falls further behind; whose lag cannot be told now.
  std::set<int32_t> growing, unknown;
};
using StreamLags = std::map<std::string, StreamLag>;  // streams that a group has offsets in

class LagTracker {
 public:
  void add(int64_t now_ms, const Offsets& offsets);
  StreamLags lags() const;

 private:
  // Committing by the clock makes a lag a sawtooth: the least of a while is what counts.
  struct Stretch {
    int64_t begin_ms;
    double least, last;  // lag
    double end;          // of the shard, at first
    int64_t end_ms;
  };
  struct Track {
    std::deque<Stretch> past;  // a minute
    double committed = -1;
    int64_t moved_ms = 0;  // when that last moved
    int64_t seen_ms = 0;   // when the lag was last known
    bool known = false;    // it is now
    bool committed_now = false;
  };
  using Key = std::tuple<std::string, std::string, int32_t>;  // stream, group, shard
  bool grows(const Track& track) const;
  static double end_rate(const Track& track);

  std::map<Key, Track> tracks_;
  std::set<std::string> no_ends_;  // streams with groups and without a single end
  int64_t now_ms_ = 0;
};

// Of a decision.
void add_lag(std::map<std::string, std::string>& inputs, const StreamLag& lag);

}  // namespace sluice_operator::autoscale
