#pragma once
// Names of what is stored: a shard of a stream. On Kafka's wire the stream's id is the topic id
// and the shard's index is the partition.
#include <compare>
#include <functional>
#include <ostream>

#include "broker/base/ids.h"
#include "broker/base/uuid.h"

namespace broker {

struct ShardId {
  Uuid stream;
  int32_t index = 0;
  constexpr auto operator<=>(const ShardId&) const = default;
  friend std::ostream& operator<<(std::ostream& out, const ShardId& id) {
    return out << id.stream << "/" << id.index;
  }
  std::string to_string() const { return stream.to_string() + "/" + std::to_string(index); }
};

}  // namespace broker

template <>
struct std::hash<broker::ShardId> {
  size_t operator()(const broker::ShardId& id) const {
    return std::hash<broker::Uuid>()(id.stream) * 31 + static_cast<size_t>(id.index);
  }
};
