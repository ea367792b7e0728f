#pragma once
// The store of one data directory: all shards of a broker over one shared, write-once log. Built by
// app/, used by partition/. Reactor only, but for the I/O jobs it gives to its two queues. FORMAT.md
// has the files, README.md the life of an append and recovery.
#include <functional>
#include <memory>
#include <string>

#include "broker/base/metrics.h"
#include "broker/base/status.h"
#include "broker/base/uuid.h"
#include "broker/env/env.h"
#include "broker/model/shard.h"
#include "broker/storage/shard_log.h"

namespace broker::storage {

struct StoreOptions {
  std::string dir;
  BrokerId broker;  // recorded in the directory; another broker's directory is refused
  uint64_t log_file_bytes = 64 << 20;    // size of a (preallocated) log file
  uint64_t tail_cache_bytes = 32 << 20;  // newest batches kept in memory, all shards together
  uint64_t index_cache_bytes = 4 << 20;  // index blocks of sealed files kept in memory
  uint64_t job_bytes_max = 8 << 20;      // written and synced at once
  uint64_t unsynced_bytes_max = 32 << 20;  // acknowledged from memory: see ShardLog::held_end()
  uint64_t frame_bytes_max = 256 << 10;  // an append is split above (between batches)
  uint64_t free_bytes_min = 64 << 20;    // below, the disk counts as full
  uint32_t spare_files = 1;              // preallocated ahead
  uint32_t open_files_max = 64;          // sealed log files kept open for reading
  uint32_t compact_below_percent = 25;   // a sealed file with less live data is rewritten; 0: never

  // Largest batch that append() takes.
  uint64_t batch_bytes_max() const { return log_file_bytes / 2; }
};

// What the store needs from the machine; all outlive it. `wal_io` carries the writes that
// acknowledgements wait for, `background_io` index files, checkpoints, preallocation.
struct Env {
  env::Clock& clock;
  env::FileSystem& fs;
  env::IoQueue& wal_io;
  env::IoQueue& background_io;
  env::Random& random;
  Metrics& metrics;
  // Called on the reactor when a log write or an fsync fails; must not return in a real broker (the
  // page cache has lied, nothing may be acknowledged any more). Empty: ends the process. In the
  // simulator it crashes the node; the store does nothing more.
  std::function<void(const Status&)> fatal = {};
  // The reactor, where there is one: what is called in the same turn then goes out in one write.
  // Null: the first call's write starts at once.
  env::Executor* executor = nullptr;
  // A second queue like `wal_io`, on a thread of its own: a group of writes goes out while the one
  // before is being synced. Null: one after another.
  env::IoQueue* wal_io_2 = nullptr;
  // A queue on a thread of its own for reads that would keep the reactor waiting for the disk (Load).
  // Null: they do.
  env::IoQueue* read_io = nullptr;
};

struct Retention {
  int64_t ms = -1;     // drop what is older by its batches' maximum timestamps; -1: keep
  int64_t bytes = -1;  // drop the oldest above this size; -1: keep
};

class Store {
 public:
  // Opens or creates the directory and recovers. Blocks. What it then reports is durable: the log
  // is fsynced before it returns (design.md, rule 7). kConflict: another broker's directory.
  // kUnsupported: a newer format. kCorruption: damage that cannot be put down to single shards.
  static Result<std::unique_ptr<Store>> open(Env env, StoreOptions options);
  // Operations in flight are abandoned, as by a crash: call close() first for a clean stop.
  ~Store();

  // Null when the shard is not here. The pointer is good until remove().
  ShardLog* find(const ShardId& id);
  // A new empty log; `done` when its existence is durable. kAlreadyExists, kNoSpace.
  Result<ShardLog*> create(const ShardId& id, ReplicaState state, ShardLog::Done done);
  // Forgets the shard at once and frees its space when that is durable. kNotFound.
  Status remove(const ShardId& id, ShardLog::Done done);
  void for_each(const std::function<void(ShardLog&)>& visit);
  size_t shard_count() const;

  // Moves a shard's log start past runs that are too old (by the wall clock) or too much, never
  // above `end_max` (the committed end). Returns the log start. Cheap when nothing is to be done.
  Result<Offset> apply_retention(const ShardId& id, const Retention& retention, Offset end_max,
                                 ShardLog::Done done = {});

  // Forgets what the tail cache holds for longer than `age_ms`; reads of it go to the files. Returns
  // the bytes that stay.
  uint64_t trim_cache(int64_t age_ms);

  // The identity of the directory, made at its first open (design.md, rule 6).
  const Uuid& directory_id() const;
  // Whether the last stop was close(); true for a new directory.
  bool clean_shutdown() const;
  // Whether appends are refused for lack of space at the moment.
  bool disk_full() const;
  // Bytes of log files on disk, spares included.
  uint64_t disk_bytes() const;
  // Finishes what is queued, makes a checkpoint marked clean, then `done`. No operation may follow.
  void close(ShardLog::Done done);

 private:
  explicit Store(std::shared_ptr<StoreCore> core);
  std::shared_ptr<StoreCore> core_;
};

}  // namespace broker::storage
