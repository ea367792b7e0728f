#pragma once
// Where a shard ends, as a gauge: one past the last committed record. A group's lag is reckoned
// from it, wherever the group is coordinated. Kept by the partition while it leads and knows what
// is committed.
#include <string>

#include "broker/base/ids.h"
#include "broker/base/metrics.h"

namespace broker::partition {

class ShardEnd {
 public:
  ~ShardEnd() { hide(); }
  void show(Metrics& metrics, const std::string& stream, int32_t shard, Offset end);
  void hide();

 private:
  Metrics* metrics_ = nullptr;
  prometheus::Gauge* end_ = nullptr;
};

}  // namespace broker::partition
