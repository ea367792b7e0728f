#pragma once
// The two small files of a data directory (FORMAT.md): `checkpoint`, what every shard was at the
// end of a log file, and `meta`, whose directory it is. Both are replaced atomically.
#include <string>
#include <string_view>
#include <vector>

#include "broker/base/status.h"
#include "broker/base/uuid.h"
#include "broker/storage/shard_log.h"

namespace broker::storage {

struct CheckpointShard {
  ShardId id;
  uint64_t log_id = 0;
  ReplicaState state;
  Offset log_start, log_end;
  std::vector<TermStart> terms;
  std::vector<Snapshot> snapshots;
  std::string quarantine;  // why, or empty
};

struct Checkpoint {
  bool clean = false;         // made by close()
  uint64_t replay_from = 1;   // first log file whose frames it does not hold
  uint64_t next_sequence = 1; // of the first frame of that file
  uint64_t next_log_id = 1;
  std::vector<CheckpointShard> shards;
};

std::string encode_checkpoint(const Checkpoint& checkpoint);
Result<Checkpoint> decode_checkpoint(std::string_view bytes);

struct Meta {
  Uuid directory;
  BrokerId broker;
};

std::string encode_meta(const Meta& meta);
Result<Meta> decode_meta(std::string_view bytes);

}  // namespace broker::storage
