#pragma once
// What the group machine may know of streams: a view that its owner keeps up to date. Pure; read on
// the owner's thread.
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "broker/base/uuid.h"

namespace broker::groups {

struct TopicShard {
  int32_t index = 0;
  std::vector<int32_t> parents;
  int64_t closed_end = 0;  // > 0: sealed, and this is one past the seal
};

struct Topic {
  Uuid id;
  std::string name;
  bool elastic = false;
  std::vector<TopicShard> shards;  // by index
};

class Topics {
 public:
  virtual ~Topics() = default;
  virtual std::optional<Topic> find(std::string_view name) const = 0;
  virtual std::optional<std::string> name_of(const Uuid& id) const = 0;
  // Every stream that a pattern may subscribe to: __consumer_offsets too, as Kafka's brokers have
  // it.
  virtual std::vector<std::string> names() const = 0;
};

}  // namespace broker::groups
