#pragma once
// Brings a StoreCore to what its directory holds: identity, checkpoint, indexes of sealed files, then
// the frames of the files after the checkpoint. Cuts a torn tail, quarantines a shard whose
// acknowledged bytes are damaged, refuses what cannot be put down to one shard. Runs once, inside
// Store::open, and leaves everything that it found durable.
#include <map>
#include <set>
#include <string>

#include "broker/storage/store_core.h"

namespace broker::storage {

class Recovery {
 public:
  explicit Recovery(StoreCore& core);
  Status run();

 private:
  struct Replayed {
    uint64_t length;  // valid bytes
  };
  Status identify();
  Status load_checkpoint();
  Status list_files();
  Status adopt_or_remove(const std::string& path);
  Status load_sealed(uint64_t file);
  Result<std::vector<IndexedRun>> rebuild_index(uint64_t file);
  Status replay();
  // Replays a file; `torn` when its header is not there.
  Status replay_file(uint64_t file, bool& torn);
  Status check_header(uint64_t file, FrameScanner& scanner, bool& torn);
  Status replay_frames(uint64_t file, FrameScanner& scanner, uint64_t size);
  Result<bool> later_was_durable(uint64_t file, FrameScanner& scanner, uint64_t position);
  Status apply(uint64_t file, const FrameHeader& header, std::string_view body, uint64_t position);
  Status apply_create(const FrameHeader& header, std::string_view body);
  void quarantine(ShardLog& log, const std::string& why);
  ShardLog& add_log(const ShardId& id, uint64_t log_id, ReplicaState state);
  Status make_durable();
  Status remove_file(const std::string& path);

  StoreCore& core_;
  env::FileSystem& fs_;
  const std::string& dir_;
  std::set<uint64_t> logs_, indexes_;
  std::map<uint64_t, Replayed> replayed_;
  Checkpoint checkpoint_;
  uint64_t next_file_ = 1, next_sequence_ = 1;
  uint32_t chain_ = 0;
  bool chain_known_ = false;
};

}  // namespace broker::storage
