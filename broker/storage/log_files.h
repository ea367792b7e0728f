#pragma once
// Names of a data directory's files, and the read side of sealed ones: a bounded set of open files
// and a bounded cache of index blocks. Owned by StoreCore, reactor only.
#include <list>
#include <map>
#include <memory>
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

class LogFiles {
 public:
  LogFiles(const Env& env, const StoreOptions& options) : env_(env), options_(options) {}

  // The file, open for reading; shared so that a job may keep it over a forget().
  Result<std::shared_ptr<env::File>> open(uint64_t file);
  // The run's entries: its own, or from the index of its file.
  Result<std::shared_ptr<const Entries>> entries(const Run& run);
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
  const Env& env_;
  const StoreOptions& options_;
  std::list<Open> open_;  // most recently used first
  std::map<uint64_t, std::list<Open>::iterator> open_by_number_;
  std::list<Block> blocks_;
  std::map<std::pair<uint64_t, uint32_t>, std::list<Block>::iterator> block_by_key_;
  uint64_t block_bytes_ = 0;
};

}  // namespace broker::storage
