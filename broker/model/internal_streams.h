#pragma once
// Streams that brokers keep their own state in. Clients may read them and never write, change or
// delete them. Used by the front doors and by groups; any thread.
#include <string_view>

namespace broker {

// Groups and committed offsets, under the name that Kafka's tools know.
inline constexpr std::string_view kConsumerOffsetsStream = "__consumer_offsets";

constexpr bool is_internal_stream(std::string_view name) {
  return name == kConsumerOffsetsStream || name.starts_with("__sluice_");
}

}  // namespace broker
