#include "broker/handlers/kinesis/operation_rates.h"

namespace broker::handlers::kinesis {
namespace {

using wire::Operation;

constexpr int64_t kIdleMs = 10'000;

struct Rate {
  int per_second = 0;  // 0: none
  bool per_subject = false;
};

// docs.aws.amazon.com/streams/latest/dev/service-sizes-and-limits.html. Reads and writes of records
// are limited by their shards, and the operations that AWS names no rate for are not limited.
Rate rate_of(Operation operation) {
  switch (operation) {
    case Operation::kCreateStream:
    case Operation::kDeleteStream:
    case Operation::kListStreams:
    case Operation::kSplitShard:
    case Operation::kMergeShards:
    case Operation::kAddTagsToStream:
    case Operation::kRemoveTagsFromStream:
    case Operation::kListTagsForStream:
    case Operation::kIncreaseStreamRetentionPeriod:
    case Operation::kDecreaseStreamRetentionPeriod:
    case Operation::kUpdateStreamWarmThroughput:
    case Operation::kDescribeAccountSettings:
    case Operation::kUpdateAccountSettings:
    case Operation::kEnableEnhancedMonitoring:
    case Operation::kDisableEnhancedMonitoring:
      return {5};
    case Operation::kRegisterStreamConsumer:
    case Operation::kDeregisterStreamConsumer:
    case Operation::kListStreamConsumers:
    case Operation::kGetShardIterator:  // of a shard
      return {5, true};
    case Operation::kDescribeStreamConsumer:
      return {20, true};
    case Operation::kDescribeStream:
    case Operation::kUpdateShardCount:
      return {10};
    case Operation::kDescribeStreamSummary:
      return {20};
    case Operation::kDescribeLimits:
      return {1};
    case Operation::kListShards:
      return {1000, true};
    default:
      return {};
  }
}

}  // namespace

std::optional<wire::Error> OperationRates::admit(wire::Operation operation,
                                                 const std::string& subject,
                                                 const wire::Caller& caller) {
  const Rate rate = rate_of(operation);
  if (!enabled_ || rate.per_second == 0) return std::nullopt;
  const int64_t now_ms = clock_.mono_ms();
  forget_idle(now_ms);
  auto [it, made] = windows_.try_emplace({operation, rate.per_subject ? subject : ""},
                                         Window{partition::RateWindow(rate.per_second), now_ms});
  Window& window = it->second;
  window.used_ms = now_ms;
  if (window.rate.room(now_ms) >= 1) {
    window.rate.take(now_ms, 1);
    return std::nullopt;
  }
  if (operation == Operation::kGetShardIterator) {
    return wire::provisioned_throughput_exceeded("Rate exceeded for shard " + subject +
                                                 " under account " + caller.account + ".");
  }
  return wire::limit_exceeded("Rate exceeded for account " + caller.account + ": " +
                              std::string(wire::to_string(operation)) + " may be called " +
                              std::to_string(rate.per_second) + " times a second.");
}

// Streams come and go: the table holds what was asked for lately.
void OperationRates::forget_idle(int64_t now_ms) {
  if (now_ms < cleaned_ms_ + kIdleMs) return;
  cleaned_ms_ = now_ms;
  std::erase_if(windows_, [&](const auto& e) { return e.second.used_ms + kIdleMs < now_ms; });
}

}  // namespace broker::handlers::kinesis
