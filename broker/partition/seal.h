#pragma once
// The seal: the control batch that ends a shard's log when it is split or merged. Kafka's clients
// skip control batches of types that they do not know. Its value is the shard's producer table, for
// the children.
#include <string>
#include <string_view>

#include "broker/model/record_batch.h"

namespace broker::partition {

inline constexpr int16_t kSealType = 100;  // Kafka uses 0..6

// A whole batch of one control record; base offset and term are patched when it is appended.
std::string make_seal(std::string_view producer_table, int64_t timestamp_ms);
// The producer table of a seal; kNotFound when `batch` is none.
Result<std::string> parse_seal(const Batch& batch);

}  // namespace broker::partition
