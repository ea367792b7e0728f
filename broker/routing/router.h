#pragma once
// Appends and reads on any shard from any broker: what another broker leads is forwarded to it over
// the broker link. For the front doors whose clients know one endpoint (gRPC, Kinesis); Kafka's
// clients find leaders themselves. On the reactor.
#include <functional>

#include "broker/cluster/zone_traffic.h"
#include "broker/partition/partitions.h"

namespace broker::routing {

// Requests to one broker and their answers, over the broker link.
class RequestTransport {
 public:
  virtual ~RequestTransport() = default;
  using Reply = std::function<void(Result<Buffer>)>;  // once; kUnavailable when the link breaks
  virtual void request(BrokerId to, std::string head, std::vector<Buffer> payload,
                       Reply reply) = 0;
};

struct ShardOffsets {
  Offset log_start;
  Offset high_watermark;
  bool closed = false;
};

class Router {
 public:
  // `traffic` counts what is forwarded to other zones and comes back from there; may be null.
  Router(BrokerId self, env::Clock& clock, env::Executor& executor, cluster::Metadata& metadata,
         partition::Partitions& partitions, RequestTransport& transport,
         cluster::ZoneTraffic* traffic = nullptr);

  // As Partition::append, and retries while the batch is certainly not stored (no leader, a leader
  // that moves) until `timeout_ms`. kPolicyViolation: the shard is closed, choose among its
  // children. kTimeout: the outcome is unknown.
  void append(const ShardId& shard, Buffer batch, partition::Acks acks, int64_t timeout_ms,
              partition::AppendDone done);
  // The same without trying again; kNotLeader: certainly not stored.
  void append_once(const ShardId& shard, Buffer batch, partition::Acks acks,
                   partition::AppendDone done) {
    append_at_leader(shard, batch, acks, false, std::move(done));
  }
  // Committed batches from `from`; waits up to `wait_ms` for the first byte.
  void read(const ShardId& shard, Offset from, size_t bytes_max, int64_t wait_ms,
            std::function<void(Result<partition::Fetched>)> done);
  // The same two, counted by the shard's limits (partition/shard_limits.h): an append of the first
  // records that they admit, a read without waiting.
  void append_within_limits(const ShardId& shard, Buffer batch, int64_t timeout_ms,
                            partition::AppendDone done);
  void read_within_limits(const ShardId& shard, Offset from, int64_t records_max, size_t bytes_max,
                          std::function<void(Result<partition::Fetched>)> done);
  void offsets(const ShardId& shard, std::function<void(Result<ShardOffsets>)> done);
  // First offset at or after a timestamp; the high watermark when there is none.
  void offset_at(const ShardId& shard, int64_t timestamp_ms,
                 std::function<void(Result<Offset>)> done);

  // From the broker link: another broker's request to this one.
  void on_request(const Buffer& request, std::function<void(std::string, std::vector<Buffer>)> reply);

 private:
  std::optional<BrokerId> leader_of(const ShardId& shard) const;
  void note_forwarded(BrokerId other, const ShardId& shard, size_t bytes);
  Result<partition::Fetched> note_fetched(BrokerId from, const ShardId& shard,
                                          Result<partition::Fetched> fetched);
  template <class T>
  void retrying(int64_t deadline_ms, std::function<void(std::function<void(Result<T>)>)> once,
                std::function<void(Result<T>)> done);
  void append_at_leader(const ShardId& shard, const Buffer& batch, partition::Acks acks,
                        bool within_limits, partition::AppendDone done);
  void append_here(const ShardId& shard, const Buffer& batch, partition::Acks acks,
                   bool within_limits, partition::AppendDone done);
  using Read = std::function<Result<partition::Fetched>(partition::Partition&, storage::Load*)>;
  // Reads here; where that has to wait for the disk, once more when it is there.
  void load_and_read(const ShardId& shard, Read read,
                     std::function<void(Result<partition::Fetched>)> done);
  void limited_read_here(const ShardId& shard, Offset from, int64_t records_max, size_t bytes_max,
                         std::function<void(Result<partition::Fetched>)> done);
  void read_here(const ShardId& shard, Offset from, size_t bytes_max, int64_t deadline_ms,
                 std::function<void(Result<partition::Fetched>)> done);
  void wait_and_read(const ShardId& shard, Offset from, size_t bytes_max, int64_t deadline_ms,
                     std::function<void(Result<partition::Fetched>)> done);
  Result<ShardOffsets> offsets_here(const ShardId& shard);
  Result<Offset> offset_at_here(const ShardId& shard, int64_t timestamp_ms);

  BrokerId self_;
  env::Clock& clock_;
  env::Executor& executor_;
  cluster::Metadata& metadata_;
  partition::Partitions& partitions_;
  RequestTransport& transport_;
  cluster::ZoneTraffic* traffic_;
};

}  // namespace broker::routing
