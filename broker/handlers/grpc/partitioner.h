#pragma once
// Chooses the shard of a published record: an explicit shard or hash key, else the key's murmur2
// (partitioned streams, as Kafka's clients) or MD5 (elastic, as Kinesis), else one shard at a time
// in turn. One per publish stream; on the reactor.
#include <optional>
#include <vector>

#include "broker/cluster/metadata.h"
#include "broker/coordination/hash_range.h"
#include "broker/proto/sluice.pb.h"

namespace broker::handlers::grpc {

namespace v1 = ::sluice::v1;

struct Destination {
  int32_t shard = 0;
  coordination::HashKey hash = 0;  // elastic streams: finds the shard again after a split
};

class Partitioner {
 public:
  // The stream's newest map; choices follow it from now on.
  void set_stream(cluster::StreamPtr stream);
  // kInvalidArgument when the record asks for something that the stream does not have.
  Result<Destination> choose(const v1::Record& record);
  // Elastic streams: the shard that takes `hash` now; nothing when the map has none.
  std::optional<int32_t> shard_of(coordination::HashKey hash) const;

 private:
  struct Range {
    coordination::KeyRange keys;
    int32_t shard;
  };
  Result<Destination> choose_partition(const v1::Record& record);
  Result<Destination> choose_hash(const v1::Record& record);
  // Position of the shard whose turn it is among `count`.
  size_t turn(size_t count, size_t record_bytes);

  cluster::StreamPtr stream_;
  std::vector<Range> ranges_;  // of shards that take appends, ascending
  size_t turn_ = 0;
  size_t turn_bytes_ = 0;
};

}  // namespace broker::handlers::grpc
