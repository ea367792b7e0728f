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
// Read at once from a disk that others wait for. With the system's read-ahead beyond that (8 MiB on the
// test machine) producers beside readers of old records had a p99 of 59 ms; but without it, bytes are
// cached in small pages, which cost those who read them half as much again.
constexpr size_t kLoadPiece = 256 << 10;

Result<std::shared_ptr<const Entries>> read_entries(env::FileSystem& fs, const std::string& path,
                                                    const Run& run) {
  ASSIGN_OR_RETURN(auto index, fs.open(path, env::OpenMode::kRead));
  ASSIGN_OR_RETURN(Entries loaded, read_index_entries(*index, run));
  return std::make_shared<const Entries>(std::move(loaded));
}
}  // namespace

LogFiles::LogFiles(const Env& env, const StoreOptions& options)
    : env_(env), options_(options), self_(std::make_shared<LogFiles*>(this)) {}

LogFiles::~LogFiles() { *self_ = nullptr; }

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
  ASSIGN_OR_RETURN(auto entries, read_entries(env_.fs, index_path(options_.dir, run.file), run));
  keep(key, entries);
  return entries;
}

bool LogFiles::has_entries(const Run& run) const {
  return run.entries || block_by_key_.contains({run.file, run.index_position});
}

void LogFiles::keep(std::pair<uint64_t, uint32_t> key, std::shared_ptr<const Entries> entries) {
  if (block_by_key_.contains(key)) return;
  blocks_.push_front({key, entries});
  block_by_key_[key] = blocks_.begin();
  block_bytes_ += entries->size() * sizeof(Entry);
  while (block_bytes_ > options_.index_cache_bytes && blocks_.size() > 1) {
    block_bytes_ -= blocks_.back().entries->size() * sizeof(Entry);
    block_by_key_.erase(blocks_.back().key);
    blocks_.pop_back();
  }
}

void LogFiles::load(const Run& run, std::optional<Span> span, std::function<void()> loaded) {
  if (!span) {
    auto entries = std::make_shared<std::shared_ptr<const Entries>>();
    env_.read_io->submit(
        [&fs = env_.fs, path = index_path(options_.dir, run.file), run, entries] {
          ASSIGN_OR_RETURN(*entries, read_entries(fs, path, run));
          return Status();
        },
        [self = self_, key = std::pair(run.file, run.index_position), entries,
         loaded = std::move(loaded)](Status status) {
          if (status.ok() && *self) (*self)->keep(key, *entries);
          loaded();
        });
    return;
  }
  auto file = open(run.file);
  const bool spare = env_.clock.mono_ms() < spare_disk_until_ms_;
  env_.read_io->submit(
      [file, span = *span, spare] {
        RETURN_IF_ERROR(file.status());
        (*file)->read_no_more(spare);
        std::string piece(std::min(span.size, kLoadPiece), '\0');
        for (size_t done = 0; done < span.size; done += piece.size()) {
          RETURN_IF_ERROR((*file)
                              ->read_at(span.position + done, piece.data(),
                                        std::min(piece.size(), span.size - done))
                              .status());
        }
        return Status();
      },
      [loaded = std::move(loaded)](Status) { loaded(); });
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
