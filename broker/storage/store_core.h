#pragma once
// The inside of a Store: applies operations to the shards' state, queues their frames, seals log
// files (index, then checkpoint), and gives dead files back. Internal to storage/, reactor only.
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <unordered_map>

#include "broker/storage/format/checkpoint.h"
#include "broker/storage/format/index_file.h"
#include "broker/storage/log_files.h"
#include "broker/storage/wal.h"

namespace broker::storage {

class StoreCore : public std::enable_shared_from_this<StoreCore> {
 public:
  using Done = ShardLog::Done;
  StoreCore(Env env, StoreOptions options);

  Status append(ShardLog& log, std::vector<Batch> batches, Done done);
  Status set_state(ShardLog& log, ReplicaState state, Done done);
  Status truncate(ShardLog& log, Offset new_end, Done done);
  Status set_log_start(ShardLog& log, Offset new_start, Done done);
  Status reset(ShardLog& log, Offset new_start, Done done);
  Status save_snapshot(ShardLog& log, Offset at, std::string blob, Done done);
  Result<ShardLog*> create(const ShardId& id, ReplicaState state, Done done);
  Status remove(const ShardId& id, Done done);
  void close(Done done);
  LogFiles& files() { return log_files_; }
  const StoreOptions& options() const { return options_; }
  bool behind() const { return wal_.unsynced_bytes() > options_.unsynced_bytes_max; }
  void count_corruption();

 private:
  friend class Store;
  friend class Recovery;

  struct FileInfo {
    uint64_t length = 0;            // bytes in use; 0: still written to
    uint64_t disk_bytes = 0;        // its size
    uint64_t live_bytes = 0;        // of runs in it, for choosing what to rewrite
    uint32_t runs = 0;              // that refer to it, durably dropped ones excluded
    bool sealed = false;            // its index and a checkpoint past it are durable
    bool pinned = false;            // a job reads it
    bool keep = false;              // cannot be rewritten; not tried again
    std::vector<uint64_t> touched;  // log ids with a run that began here
  };
  // A file whose frames end: to be indexed once its last frame is durable.
  struct Seal {
    uint64_t file, sequence;
    std::string index, checkpoint;
    std::vector<IndexedRun> runs;
  };
  struct Release {  // a run that a queued operation dropped
    uint64_t sequence;
    uint64_t file;
  };
  // A file whose live runs are copied to the end of the log (compaction.cc).
  struct Move {
    uint64_t log_id;
    uint64_t file;           // source
    uint64_t order;
    Offset first, end;
    std::vector<Run> pieces;  // the copies
  };
  struct MovePlan;
  struct MovedFrame;

  // Operations.
  uint64_t put(ShardLog& log, FrameType type, std::string body, std::function<void()> durable);
  Status admit(uint64_t body, bool administration);
  void append_frame(ShardLog& log, std::vector<Batch> batches, std::function<void()> durable);
  void drop_runs(std::vector<Run> dropped, uint64_t sequence);
  void cut_tail(ShardLog& log, Offset new_end);
  void trim_tail(int64_t before_ms = INT64_MIN);
  Status check_boundary(ShardLog& log, Offset offset);

  // Sealing and space (seal.cc).
  void on_rolled(uint64_t file, uint64_t length, uint64_t sequence);
  void on_synced();
  void start_seal();
  void finish_seal(std::vector<Seal> seals);
  std::vector<IndexedRun> runs_in(uint64_t file);
  Checkpoint checkpoint(uint64_t replay_from, uint64_t next_sequence) const;
  void release(uint64_t file);
  void free_space();
  void reclaim();
  void give_back(uint64_t file, const FileInfo& info);
  void update_disk_bytes();
  void maybe_close();

  // compaction.cc
  void maybe_compact();
  void compact(uint64_t file);
  void queue_moves(const std::shared_ptr<MovePlan>& plan, Status status);
  Status queue_move(Move& move, MovedFrame frame, bool last);
  void finish_moves(uint64_t file, bool failed);
  void finish_move(Move& move);

  Env env_;
  StoreOptions options_;
  LogFiles log_files_;
  Wal wal_;
  Uuid directory_;
  bool clean_ = true;
  std::map<ShardId, std::unique_ptr<ShardLog>> shards_;
  std::unordered_map<uint64_t, ShardLog*> by_log_id_;
  uint64_t next_log_id_ = 1;
  std::map<uint64_t, FileInfo> files_;
  std::deque<Release> releases_;
  std::deque<Seal> seals_;
  bool sealing_ = false;
  int64_t retry_seal_ms_ = 0;
  uint32_t reclaiming_ = 0;
  std::vector<Move> moves_;
  bool compacting_ = false;
  bool space_changed_ = false;  // a file may have become free, or worth rewriting
  struct TailFrame {
    uint64_t log_id, sequence;
    int64_t appended_ms;
  };
  std::deque<TailFrame> tail_order_;  // oldest first
  uint64_t tail_bytes_ = 0;
  Done close_done_;
  bool closing_ = false;
  prometheus::Counter& appended_bytes_;
  prometheus::Counter& syncs_;
  prometheus::Counter& corruptions_;
  prometheus::Gauge& disk_bytes_;
};

}  // namespace broker::storage
