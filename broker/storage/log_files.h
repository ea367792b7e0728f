#pragma once
// Names of a data directory's files, and the read side of sealed ones: a bounded set of open files
// and a bounded cache of index blocks. Owned by StoreCore, reactor only.
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "broker/storage/run.h"
#include "broker/storage/store.h"

namespace broker::storage {

inline std::string log_dir(const std::string& dir) { return dir + "/log"; }
std::string log_path(const std::string& dir, uint64_t file);
std::string index_path(const std::string& dir, uint64_t file);
inline std::string checkpoint_path(const std::string& dir) { return dir + "/checkpoint"; }
inline std::string meta_path(const std::string& dir) { return dir + "/meta"; }
// The number in "0000000012.log" or "0000000012.idx"; 0 when the name is not like that.
uint64_t parse_log_name(const std::string& name, std::string_view suffix);

// Bytes of a log file.
struct Span {
  uint64_t position;
  size_t size;
};

class LogFiles {
 public:
  LogFiles(const Env& env, const StoreOptions& options);
  ~LogFiles();

  // The file, open for reading; shared so that a job may keep it over a forget().
  Result<std::shared_ptr<env::File>> open(uint64_t file);
  // The run's entries: its own, or from the index of its file.
  Result<std::shared_ptr<const Entries>> entries(const Run& run);
  // Whether entries() needs no disk.
  bool has_entries(const Run& run) const;
  // Whether load() can be called: Env::read_io is there.
  bool loads() const { return env_.read_io != nullptr; }
  // Brings the run's entries into the cache of index blocks, or the bytes of its file into the system's,
  // then calls `loaded`; also where that fails: whoever reads then is told why.
  void load(const Run& run, std::optional<Span> span, std::function<void()> loaded);
  // Somebody waits for an fsync, or has just: loads disturb the disk as little as they can for a second.
  void spare_disk() { spare_disk_until_ms_ = env_.clock.mono_ms() + 1000; }
  // Before a file is recycled or removed.
  void forget(uint64_t file);

 private:
  struct Block {
    std::pair<uint64_t, uint32_t> key;  // file, position in its index
    std::shared_ptr<const Entries> entries;
  };
  struct Open {
    uint64_t number;
    std::shared_ptr<env::File> file;
  };
  void keep(std::pair<uint64_t, uint32_t> key, std::shared_ptr<const Entries> entries);

  const Env& env_;
  const StoreOptions& options_;
  std::shared_ptr<LogFiles*> self_;  // emptied by the destructor: late loads keep nothing
  std::list<Open> open_;  // most recently used first
  std::map<uint64_t, std::list<Open>::iterator> open_by_number_;
  std::list<Block> blocks_;
  std::map<std::pair<uint64_t, uint32_t>, std::list<Block>::iterator> block_by_key_;
  uint64_t block_bytes_ = 0;
  int64_t spare_disk_until_ms_ = INT64_MIN;
};

}  // namespace broker::storage
