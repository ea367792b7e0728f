#pragma once
// The keys that weigh most in a shard, by a few counters (Misra and Gries, 1982): a key with more
// than one in kCounters of the bytes is among them. Fed by ShardMetrics; on the reactor.
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "broker/coordination/hash_range.h"

namespace broker::partition {

class HeavyHitters {
 public:
  struct Hottest {
    std::string key;  // printable, cut
    coordination::HashKey at = 0;
    double share = 0;
  };
  void add(std::string_view key, coordination::HashKey at, double bytes);
  // The heaviest key of the last round of records, when a round has just ended.
  std::optional<Hottest> end_of_round();

 private:
  // A shard at its limit fills a round in about four seconds.
  static constexpr double kRoundBytes = 4 << 20;
  static constexpr int kRoundRecords = 4000;
  static constexpr size_t kCounters = 8, kNameMax = 64;
  struct Counter {
    coordination::HashKey at = 0;
    std::string key;
    double bytes = 0;
  };
  std::array<Counter, kCounters> counters_;
  double bytes_ = 0;
  int records_ = 0;
};

}  // namespace broker::partition
