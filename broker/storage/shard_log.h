#pragma once
// One shard's log: batches by offset, its durable replica state, its term table and its producer
// snapshots. Called by partition/ and by the replication driver's LogStore, on the reactor only.
// Every change takes effect in memory at once (log_end() moves), is queued to the store's one
// write-ahead log, and its `done` runs when the bytes are durable. All `done`s of a store run on the
// reactor in the order in which their operations were called. A change that returns an error queued
// nothing: memory is as before and its `done` is never called.
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "broker/base/ids.h"
#include "broker/base/status.h"
#include "broker/model/record_batch.h"
#include "broker/model/shard.h"
#include "broker/storage/log_state.h"

namespace broker::storage {

class StoreCore;

// Given to a read that must not wait for the disk.
struct Load {
  // Called once, on the reactor, when the read has `started` to fetch what is missing and that is in
  // memory now, or cannot be had. Read again, without a Load then: so a read waits at most once.
  std::function<void()> loaded;
  bool started = false;
};

class ShardLog {
 public:
  // Ok: durable. There is no other outcome for a queued operation: a failed write or fsync ends the
  // process.
  using Done = std::function<void(Status)>;

  ShardLog(StoreCore& core, ShardId id, uint64_t log_id, ReplicaState state);
  ShardLog(const ShardLog&) = delete;
  ShardLog& operator=(const ShardLog&) = delete;

  const ShardId& id() const { return id_; }
  // First offset that can be read.
  Offset log_start() const { return log_.start; }
  // One past the last appended record; perhaps not durable yet.
  Offset log_end() const { return log_.end; }
  // Everything below is durable here. At most log_end(); below log_start() for the moment that it
  // takes to make a log start above it durable.
  Offset durable_end() const { return durable_end_; }
  // How far a replica in memory may acknowledge: log_end(), or durable_end() while more than
  // StoreOptions::unsynced_bytes_max of the store waits for the disk. May go back by that.
  Offset held_end() const;
  // It was here when the directory was opened, whose last stop was not close().
  bool recovered_uncleanly() const { return recovered_uncleanly_; }
  // Nobody waits for appends to be durable: they may be written and synced a few milliseconds later,
  // together with others.
  void set_write_behind(bool write_behind) { write_behind_ = write_behind; }
  // Term starts, ascending. The first may begin below log_start().
  const std::vector<TermStart>& terms() const { return log_.terms; }
  // Term of the last batch below log_end(); kNoTerm for a log that never held one.
  Term last_term() const { return log_.last_term(); }
  // As of the last set_state (perhaps not durable yet).
  ReplicaState state() const { return log_.replica; }
  // Bytes of batches kept, to the granularity of runs (what retention by bytes counts).
  uint64_t bytes() const;
  // The part of them in runs that are older than `timestamp_ms` as a whole.
  uint64_t bytes_older_than(int64_t timestamp_ms) const;
  // Ok, or kCorruption with the reason when recovery found acknowledged bytes of this shard
  // damaged or missing. Such a shard refuses reads, appends and truncation until reset() or remove:
  // it is a new incarnation and must be fetched from peers (design.md, rule 6).
  const Status& quarantined() const { return quarantined_; }
  // Damage was found later, by a read. Lasts until reset(); over restarts from the next checkpoint on.
  void quarantine(Status why) { quarantined_ = std::move(why); }

  // Appends batches whose base offsets run on from log_end() without a hole and whose terms are
  // not below last_term(); offset and term are already patched in the bytes. The store keeps
  // references to the buffers, not copies, and trusts the batches' own CRC. kNoSpace: disk full,
  // nothing was written, try again later. kTooLarge: a batch above StoreOptions::batch_bytes_max().
  // kInvalidArgument: offsets or terms do not continue the log. kTooLarge, too: more than
  // batch_bytes_max() in all.
  Status append(std::vector<Batch> batches, Done done);
  // Records term and adopted term.
  Status set_state(ReplicaState state, Done done);
  // Drops [new_end, log_end). `new_end` is a batch boundary in [log_start, log_end]; the term table
  // and the snapshots are cut with it.
  Status truncate(Offset new_end, Done done);
  // Drops records below `new_start` (delete records, retention); in [log_start, log_end]. Space is
  // freed by whole files, later.
  Status set_log_start(Offset new_start, Done done);
  // Drops everything, quarantine included; the log goes on empty at `new_start`. Keeps the state.
  Status reset(Offset new_start, Done done);
  // Keeps `blob` as the state as of `at` (<= log_end()). The last two are kept.
  Status save_snapshot(Offset at, std::string blob, Done done);
  // The newest snapshot.
  std::optional<Snapshot> snapshot() const;

  // Whole batches from the one that holds `from`, all ending at or below `end_max`: as many as fit
  // in `bytes_max` and hold the first `records_max` records, but at least one where there is one.
  // Empty at the end of the log. Reads what is not durable yet, too: callers bound it by `end_max`.
  // Without `load` it blocks on the disk when its first piece is neither in the tail cache nor in the
  // system's, and ends before another that is not
  // (a store without a thread for reads blocks for all); with one it returns what is there, and where
  // that is nothing has started the load. kOutOfRange outside [log_start, log_end]; kCorruption instead
  // of bytes that fail a check.
  Result<std::vector<Batch>> read(Offset from, size_t bytes_max, Offset end_max, Load* load = nullptr,
                                  int64_t records_max = INT64_MAX);
  // Header of the first batch at or after log_start, ending at or below `end_max`, whose maximum
  // timestamp is at least `timestamp_ms`.
  Result<std::optional<BatchHeader>> find_timestamp(int64_t timestamp_ms, Offset end_max);
  // Header of a batch with the largest maximum timestamp that ends at or below `end_max`; none when
  // there is no batch.
  Result<std::optional<BatchHeader>> find_max_timestamp(Offset end_max);

 private:
  friend class StoreCore;
  friend class LogReader;
  friend class Store;
  friend class Recovery;
  struct TailBatch {
    Batch batch;
    uint64_t sequence;  // of its frame
  };

  StoreCore& core_;
  ShardId id_;
  uint64_t log_id_;  // names this life of the shard in files; never used twice in a directory
  LogState log_;
  Offset durable_end_{0};
  std::deque<TailBatch> tail_;  // newest batches, a suffix of the log
  uint64_t truncations_ = 0;    // tells an append in flight that its data is gone
  Status quarantined_;
  bool recovered_uncleanly_ = false;
  bool write_behind_ = false;
};

}  // namespace broker::storage
