#pragma once
// Streams as Kinesis shows them: names and ARNs, status, shards with hash ranges and sequence
// numbers, and which shard takes a hash key. Pure functions of a stream's map; reactor or tests.
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "broker/coordination/hash_range.h"
#include "broker/handlers/kinesis/context.h"
#include "broker/model/sequence_number.h"

namespace broker::handlers::kinesis {

// ---- names ----
std::string stream_arn(const wire::Caller& caller, const std::string& name);
std::string consumer_arn(const wire::Caller& caller, const std::string& stream,
                         const std::string& consumer, int64_t created_ms);
// What an ARN names; `consumer` is empty for a stream's.
struct ArnParts {
  std::string account, stream, consumer;
  int64_t consumer_created_s = 0;
};
std::optional<ArnParts> parse_arn(std::string_view arn);
// The fixed id that AWS's StreamId stands for: [a-z0-9]{20}-[a-z0-9]{3}.
std::string stream_id_text(const Uuid& id);

// ---- the stream ----
std::string_view status_of(const cluster::Stream& stream);
bool is_active(const cluster::Stream& stream);
bool is_on_demand(const cluster::Stream& stream);
int64_t created_ms(const cluster::Stream& stream);
int32_t retention_hours(const cluster::Stream& stream);
int32_t record_kib(const cluster::Stream& stream);
int32_t open_shards(const cluster::Stream& stream);
// The largest batch for records of so many KiB: room for the key and the batch's own bytes.
int32_t record_bytes_max(int32_t kib);
// AWS's quotas hold here, whole or scaled.
bool has_limits(const cluster::Stream& stream);

// ---- shards ----
// The shard's hash keys. A partitioned stream's partitions are shown as equal ranges, in order.
coordination::KeyRange range_of(const cluster::Stream& stream, const v1::Shard& shard);
SequenceNumber sequence_number(const cluster::Stream& stream, const v1::Shard& shard,
                               Offset offset);
wire::Shard describe(const cluster::Stream& stream, const v1::Shard& shard);
// Those that still have records (or may get some), by index.
std::vector<const v1::Shard*> live_shards(const cluster::Stream& stream, int64_t now_ms);
// The map's entry for text like "shardId-000000000001".
const v1::Shard* find_shard(const cluster::Stream& stream, std::string_view shard_id);
// The shards that take its hash keys over, with the parents that they share.
std::vector<wire::ChildShard> children_of(const cluster::Stream& stream, const v1::Shard& shard);

// Which shard takes a hash key; made once per version of the map.
class KeyTable {
 public:
  explicit KeyTable(const cluster::Stream& stream);
  std::optional<int32_t> shard_of(coordination::HashKey key) const;

 private:
  struct Entry {
    coordination::KeyRange range;
    int32_t shard;
  };
  std::vector<Entry> entries_;  // ascending
};

// The table of each stream's newest map, made when it is first asked for.
class KeyTables {
 public:
  explicit KeyTables(cluster::Metadata& metadata);
  std::shared_ptr<const KeyTable> of(const StreamPtr& stream);

 private:
  struct Entry {
    StreamPtr stream;
    std::shared_ptr<const KeyTable> table;
  };
  std::shared_ptr<std::unordered_map<Uuid, Entry>> tables_;
};

}  // namespace broker::handlers::kinesis
