#pragma once
// What the handlers need of shards, wherever they are led: the router in a broker, a small log in
// tests. On the reactor; every `done` runs once, perhaps before the call returns.
#include <functional>

#include "broker/routing/router.h"

namespace broker::handlers::grpc {

class Shards {
 public:
  virtual ~Shards() = default;
  virtual void append(const ShardId& shard, Buffer batch, partition::Acks acks, int64_t timeout_ms,
                      partition::AppendDone done) = 0;
  virtual void read(const ShardId& shard, Offset from, size_t bytes_max, int64_t wait_ms,
                    std::function<void(Result<partition::Fetched>)> done) = 0;
  virtual void offsets(const ShardId& shard,
                       std::function<void(Result<routing::ShardOffsets>)> done) = 0;
  virtual void offset_at(const ShardId& shard, int64_t timestamp_ms,
                         std::function<void(Result<Offset>)> done) = 0;
};

}  // namespace broker::handlers::grpc
