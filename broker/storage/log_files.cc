#include "broker/storage/log_files.h"

#include <cstdio>

#include "broker/storage/format/index_file.h"

namespace broker::storage {
namespace {
std::string numbered(const std::string& dir, uint64_t file, const char* suffix) {
  char name[32];
  std::snprintf(name, sizeof name, "/%010llu%s", static_cast<unsigned long long>(file), suffix);
  return log_dir(dir) + name;
}
}  // namespace

std::string log_path(const std::string& dir, uint64_t file) { return numbered(dir, file, ".log"); }
std::string index_path(const std::string& dir, uint64_t file) {
  return numbered(dir, file, ".idx");
}

uint64_t parse_log_name(const std::string& name, std::string_view suffix) {
  if (name.size() <= suffix.size() || !name.ends_with(suffix)) return 0;
  uint64_t number = 0;
  for (char c : name.substr(0, name.size() - suffix.size())) {
    if (c < '0' || c > '9') return 0;
    number = number * 10 + static_cast<uint64_t>(c - '0');
  }
  return number;
}

Result<std::shared_ptr<env::File>> LogFiles::open(uint64_t file) {
  if (auto found = open_by_number_.find(file); found != open_by_number_.end()) {
    open_.splice(open_.begin(), open_, found->second);
    return open_.front().file;
  }
  ASSIGN_OR_RETURN(auto opened,
                   env_.fs.open(log_path(options_.dir, file), env::OpenMode::kRead));
  open_.push_front({file, std::shared_ptr<env::File>(std::move(opened))});
  open_by_number_[file] = open_.begin();
  if (open_.size() > options_.open_files_max) {
    open_by_number_.erase(open_.back().number);
    open_.pop_back();
  }
  return open_.begin()->file;
}

Result<std::shared_ptr<const Entries>> LogFiles::entries(const Run& run) {
  if (run.entries) return std::shared_ptr<const Entries>(run.entries);
  std::pair key{run.file, run.index_position};
  if (auto found = block_by_key_.find(key); found != block_by_key_.end()) {
    blocks_.splice(blocks_.begin(), blocks_, found->second);
    return blocks_.front().entries;
  }
  ASSIGN_OR_RETURN(auto index,
                   env_.fs.open(index_path(options_.dir, run.file), env::OpenMode::kRead));
  ASSIGN_OR_RETURN(Entries loaded, read_index_entries(*index, run));
  auto entries = std::make_shared<const Entries>(std::move(loaded));
  blocks_.push_front({key, entries});
  block_by_key_[key] = blocks_.begin();
  block_bytes_ += entries->size() * sizeof(Entry);
  while (block_bytes_ > options_.index_cache_bytes && blocks_.size() > 1) {
    block_bytes_ -= blocks_.back().entries->size() * sizeof(Entry);
    block_by_key_.erase(blocks_.back().key);
    blocks_.pop_back();
  }
  return entries;
}

void LogFiles::forget(uint64_t file) {
  if (auto found = open_by_number_.find(file); found != open_by_number_.end()) {
    open_.erase(found->second);
    open_by_number_.erase(found);
  }
  auto from = block_by_key_.lower_bound({file, 0});
  while (from != block_by_key_.end() && from->first.first == file) {
    block_bytes_ -= from->second->entries->size() * sizeof(Entry);
    blocks_.erase(from->second);
    from = block_by_key_.erase(from);
  }
}

}  // namespace broker::storage
