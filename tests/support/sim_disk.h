#pragma once
// A file system in memory that forgets like a real one: what was not synced is lost or torn at
// crash(), file contents and folder entries each for themselves. Sectors of unsynced writes survive
// one by one; of unsynced folder changes a prefix survives. Faults are injected by a hook; bits can
// be flipped. One per node; it outlives the node's crashes. Not thread-safe.
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "tests/support/sim_env.h"

namespace broker::sim {

enum class DiskOp { kRead, kWrite, kSync, kAllocate, kTruncate, kOpen, kRename, kRemove, kSyncDir };

class SimDisk : public env::FileSystem {
 public:
  // `random` decides what survives a crash.
  explicit SimDisk(env::Random& random, uint64_t capacity_bytes = uint64_t{1} << 40)
      : random_(random), capacity_(capacity_bytes) {}

  Result<std::unique_ptr<env::File>> open(const std::string& path, env::OpenMode mode) override;
  Status make_dirs(const std::string& path) override;  // durable at once
  Result<std::vector<std::string>> list(const std::string& path) override;
  bool exists(const std::string& path) override;
  Status rename(const std::string& from, const std::string& to) override;
  Status remove(const std::string& path) override;
  Status sync_dir(const std::string& path) override;
  Result<uint64_t> free_bytes(const std::string& path) override;

  // Power loss: unsynced changes are lost or torn, open files are dead. `lose_all`: none survives
  // (else chance decides).
  void crash(bool lose_all = false);
  // A crash of the process alone: the page cache survives, open files are dead.
  void kill_process() { generation_++; }
  // Asked before each operation; an error is returned instead of doing it.
  void set_fault(std::function<Status(DiskOp, const std::string& path)> fault) {
    fault_ = std::move(fault);
  }
  // How often what is read is not in memory (File::read_cached).
  void set_cold(uint64_t percent) { cold_percent_ = percent; }
  // What File::read_no_more was told last, of any file.
  bool reads_no_more() const { return reads_no_more_; }
  void set_capacity(uint64_t bytes) { capacity_ = bytes; }
  // Operations that change something, since the beginning. From the one numbered `op` on, none has
  // any effect and all fail: the moment of a crash. 0: never.
  uint64_t changes() const { return changes_; }
  void stop_at(uint64_t op) { stop_at_ = op; }
  bool stopped() const { return stop_at_ != 0 && changes_ >= stop_at_; }
  // Flips a bit of what is on the disk (and in the cache).
  void flip_bit(const std::string& path, uint64_t position, int bit);
  // A disk that says that it has synced its *.log files and has not: for tests of the tests.
  void lie_about_sync(bool lies) { lies_ = lies; }
  bool rotten() const { return rotten_; }  // a bit was flipped once
  // A file's current bytes.
  std::string content(const std::string& path) const;
  void set_content(const std::string& path, std::string bytes);  // durably
  // Files whose path begins with `prefix`, sorted.
  std::vector<std::string> files(const std::string& prefix) const;
  uint64_t used_bytes() const;

 private:
  friend class SimFile;
  struct Change {
    bool resize;
    uint64_t position;  // or the new size
    std::string bytes;
  };
  struct Inode {
    std::string data;     // what readers see
    std::string durable;  // what a crash leaves, but for `unsynced`
    std::vector<Change> unsynced;
  };
  using InodePtr = std::shared_ptr<Inode>;
  struct EntryChange {
    std::string path;
    InodePtr inode;  // null: the entry goes away
    std::string gone;  // of a rename: the entry that goes away with it
  };
  static void apply(std::string& to, const Change& change);
  Status before(DiskOp op, const std::string& path);
  Status write(Inode& inode, Change change);
  void settle(Inode& inode, bool lose_all);
  void apply_entry(const EntryChange& change);

  env::Random& random_;
  uint64_t capacity_;
  uint64_t cold_percent_ = 0;
  bool reads_no_more_ = false;
  uint64_t generation_ = 0, changes_ = 0, stop_at_ = 0;
  std::function<Status(DiskOp, const std::string&)> fault_;
  bool rotten_ = false, lies_ = false;
  std::set<std::string> dirs_;
  std::map<std::string, InodePtr> names_, durable_names_;
  std::map<std::string, std::vector<EntryChange>> unsynced_names_;  // by folder
};

}  // namespace broker::sim
