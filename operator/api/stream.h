#pragma once
// The Stream resource as C++ data; crds/streams.yaml is the same in OpenAPI.
#include "operator/api/stream_cluster.h"

namespace sluice_operator::api {

enum class StreamMode { kPartitioned, kElastic };
enum class Durability { kSynced, kMemory };

struct StreamSpec {
  std::string cluster;
  std::string name;  // what clients call it; metadata.name when the resource leaves it out
  StreamMode mode = StreamMode::kPartitioned;
  int32_t partitions = 0;  // kPartitioned only
  std::optional<int32_t> replication;
  std::optional<int32_t> min_insync;
  Durability durability = Durability::kSynced;  // fixed at creation
  struct Retention {
    int64_t ms = 0;     // 0: 7 days; -1: for ever
    int64_t bytes = 0;  // of each shard; 0 and -1: no limit
  } retention;
  std::optional<int64_t> max_record_bytes;
  std::map<std::string, std::string> kafka_configs;  // by Kafka's names; for its clients only
  struct Schedule {
    std::vector<std::string> days;  // Mon … Sun; none: every day
    std::string from = "00:00", to = "24:00";
    int32_t min_shards = 1;
  };
  struct Autoscaling {
    int32_t min_shards = 1;
    int32_t max_shards = 8;
    int32_t target_utilization_percent = 90;
    int32_t scale_up_stabilization_seconds = 0;
    int32_t scale_down_stabilization_seconds = 60;
    ScalingMode mode = ScalingMode::kAuto;
    int32_t throttled_per_million = 500;
    int32_t actions_per_shard_per_hour = 2;
    int64_t warm_bytes_per_second = 0;
    int64_t warm_records_per_second = 0;
    std::vector<Schedule> schedules;
  };
  std::optional<Autoscaling> autoscaling;  // kElastic only; absent: these defaults
  struct PartitionScaling {
    int32_t max_partitions = 0;
    bool accept_key_movement = false;  // must be said: order per key ends where partitions are added
    int32_t target_utilization_percent = 70;
    int32_t scale_up_stabilization_seconds = 300;
    int32_t cooldown_seconds = 3600;
    ScalingMode mode = ScalingMode::kAuto;
  };
  std::optional<PartitionScaling> partition_scaling;  // kPartitioned only; absent: a fixed number
  DeletionPolicy deletion_policy = DeletionPolicy::kRetain;
};

struct StreamStatus {
  static constexpr size_t kDecisionsMax = 64;
  int64_t observed_generation = 0;
  std::vector<Condition> conditions;  // Ready, Scaling
  std::string stream_id;
  std::string durability;  // what acknowledgements say: synced or memory; empty before it is made
  int32_t open_shards = 0;
  int32_t closed_shards = 0;
  std::vector<Decision> decisions;  // newest first
  std::optional<MeteringStatus> metering;
  bool operator==(const StreamStatus&) const = default;
};

struct Stream {
  Metadata metadata;
  StreamSpec spec;
  StreamStatus status;
};

// The stream's settings with the cluster's where it has none.
int32_t effective_replication(const StreamSpec& spec, const StreamClusterSpec& cluster);
// Absent in both: a majority of the copies.
int32_t effective_min_insync(const StreamSpec& spec, const StreamClusterSpec& cluster);
int64_t effective_max_record_bytes(const StreamSpec& spec, const StreamClusterSpec& cluster);

// Puts a decision first and drops the oldest beyond kDecisionsMax.
void add_decision(StreamStatus& status, Decision decision);

// What CEL cannot see: a resource alone (`cluster` null) or within its cluster.
std::vector<FieldError> validate(const Stream& stream, const StreamClusterSpec* cluster);

// A legal Kafka topic name.
bool legal_stream_name(const std::string& name);

}  // namespace sluice_operator::api
