#include "broker/partition/shard_end.h"

#include <utility>

namespace broker::partition {

namespace {
constexpr const char* kEndOffset = "sluice_shard_end_offset";
}

void ShardEnd::show(Metrics& metrics, const std::string& stream, int32_t shard, Offset end) {
  if (!end_) {
    metrics_ = &metrics;
    end_ = &metrics.gauge(kEndOffset, "One past the last committed record.",
                          {{"stream", stream}, {"shard", std::to_string(shard)}});
  }
  end_->Set(static_cast<double>(end.value));
}

void ShardEnd::hide() {
  if (end_) metrics_->remove_gauge(kEndOffset, *std::exchange(end_, nullptr));
}

}  // namespace broker::partition
