#pragma once
// One shard's load as Prometheus counters: what the autoscaler decides on. Made on the broker that
// leads the shard (or serves reads of it), taken back with the partition. On the reactor.
#include <array>
#include <optional>
#include <string>

#include "broker/base/metrics.h"
#include "broker/coordination/hash_range.h"
#include "broker/model/record_batch.h"
#include "broker/partition/heavy_hitters.h"

namespace broker::partition {

class ShardMetrics {
 public:
  // Heat is counted by this many equal parts of an elastic shard's hash range.
  static constexpr size_t kHeatParts = 16;

  ShardMetrics(Metrics& metrics, const std::string& stream, int32_t shard,
               std::optional<coordination::KeyRange> range);
  ~ShardMetrics();
  ShardMetrics(const ShardMetrics&) = delete;
  ShardMetrics& operator=(const ShardMetrics&) = delete;

  void appended(const Batch& batch);
  void read(size_t bytes, int64_t records);
  // What the shard's limits refused.
  void throttled(int64_t records, int64_t bytes);

 private:
  void heat(const Batch& batch);
  void show_hottest(const HeavyHitters::Hottest& hottest);

  Metrics& metrics_;
  std::optional<coordination::KeyRange> range_;
  prometheus::Counter& bytes_in_;
  prometheus::Counter& records_in_;
  prometheus::Counter& bytes_out_;
  prometheus::Counter& records_out_;
  prometheus::Counter& records_throttled_;
  prometheus::Counter& bytes_throttled_;
  std::array<prometheus::Counter*, kHeatParts> heat_{};
  const Metrics::Labels labels_;
  HeavyHitters hitters_;
  std::string hottest_;  // that hottest_share_ is of
  prometheus::Gauge* hottest_share_ = nullptr;
};

}  // namespace broker::partition
