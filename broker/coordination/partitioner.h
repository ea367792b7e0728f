#pragma once
// The partition of a keyed record in a partitioned stream, exactly as Kafka's Java client chooses
// it (murmur2), so that the gRPC door and Kafka producers agree on where a key lives. Pure.
#include <cstdint>
#include <string_view>

namespace broker::coordination {

// org.apache.kafka.common.utils.Utils.murmur2.
int32_t murmur2(std::string_view bytes);
// BuiltInPartitioner.partitionForKey: positive hash modulo `partitions` (> 0).
int32_t partition_of_key(std::string_view key, int32_t partitions);

}  // namespace broker::coordination
