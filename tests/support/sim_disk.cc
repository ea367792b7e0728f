#include "tests/support/sim_disk.h"

#include <algorithm>

namespace broker::sim {
namespace {

constexpr uint64_t kSector = 512, kBlock = 4096;

std::string folder_of(const std::string& path) {
  auto slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

Status not_found(const std::string& path) {
  return Status(Code::kNotFound, path + ": no such file");
}

}  // namespace

class SimFile : public env::File {
 public:
  SimFile(SimDisk& disk, std::string path, SimDisk::InodePtr inode, bool fills)
      : disk_(disk),
        path_(std::move(path)),
        inode_(std::move(inode)),
        generation_(disk.generation_),
        fills_(fills) {}

  Result<size_t> read_at(uint64_t position, char* out, size_t size) override {
    RETURN_IF_ERROR(check(DiskOp::kRead));
    if (position >= inode_->data.size()) return size_t{0};
    return inode_->data.copy(out, size, position);
  }
  void read_no_more(bool than_asked) override { disk_.reads_no_more_ = than_asked; }
  Result<std::optional<size_t>> read_cached(uint64_t position, char* out, size_t size) override {
    if (disk_.cold_percent_ > 0 && disk_.random_.below(100) < disk_.cold_percent_) {
      return std::optional<size_t>();
    }
    ASSIGN_OR_RETURN(size_t got, read_at(position, out, size));
    return std::optional(got);
  }
  Status write_at(uint64_t position, std::span<const std::string_view> pieces) override {
    RETURN_IF_ERROR(check(DiskOp::kWrite));
    SimDisk::Change change{false, position, {}};
    if (fills_) {  // as FilledFile of env/posix: whole blocks, the last one of before once more
      CHECK(position == filled_);
      change.position -= held_.size();
      change.bytes = held_;
    }
    for (auto piece : pieces) change.bytes += piece;
    if (fills_) {
      filled_ = change.position + change.bytes.size();
      held_ = change.bytes.substr(change.bytes.size() / kBlock * kBlock);
      uint64_t room = std::max<uint64_t>(inode_->data.size(), filled_) - change.position;
      uint64_t blocks = (change.bytes.size() + kBlock - 1) / kBlock * kBlock;
      change.bytes.resize(std::min(blocks, room), '\0');
    }
    return disk_.write(*inode_, std::move(change));
  }
  Status sync() override {
    RETURN_IF_ERROR(check(DiskOp::kSync));
    if (disk_.lies_ && path_.ends_with(".log")) return {};
    for (const auto& change : inode_->unsynced) SimDisk::apply(inode_->durable, change);
    inode_->unsynced.clear();
    return {};
  }
  Status allocate(uint64_t size) override {
    RETURN_IF_ERROR(check(DiskOp::kAllocate));
    if (size <= inode_->data.size()) return {};
    return disk_.write(*inode_, {true, size, {}});
  }
  Status truncate(uint64_t size) override {
    RETURN_IF_ERROR(check(DiskOp::kTruncate));
    return disk_.write(*inode_, {true, size, {}});
  }
  Result<uint64_t> size() override {
    RETURN_IF_ERROR(check(DiskOp::kRead));
    return uint64_t{inode_->data.size()};
  }

 private:
  Status check(DiskOp op) {
    if (generation_ != disk_.generation_) {
      return Status(Code::kIoError, path_ + ": opened before the crash");
    }
    return disk_.before(op, path_);
  }
  SimDisk& disk_;
  std::string path_;
  SimDisk::InodePtr inode_;
  uint64_t generation_;
  const bool fills_;  // env::OpenMode::kFill
  uint64_t filled_ = 0;
  std::string held_;
};

void SimDisk::apply(std::string& to, const Change& change) {
  if (change.resize) {
    to.resize(change.position);
    return;
  }
  if (to.size() < change.position + change.bytes.size()) {
    to.resize(change.position + change.bytes.size());
  }
  to.replace(change.position, change.bytes.size(), change.bytes);
}

Status SimDisk::before(DiskOp op, const std::string& path) {
  if (op != DiskOp::kRead && op != DiskOp::kOpen && !stopped()) changes_++;
  if (stopped()) return Status(Code::kIoError, path + ": the machine has stopped");
  return fault_ ? fault_(op, path) : Status();
}

Status SimDisk::write(Inode& inode, Change change) {
  uint64_t end = change.position + change.bytes.size();
  if (end > inode.data.size() && used_bytes() + end - inode.data.size() > capacity_) {
    return Status(Code::kNoSpace, "the simulated disk is full");
  }
  apply(inode.data, change);
  inode.unsynced.push_back(std::move(change));
  return {};
}

Result<std::unique_ptr<env::File>> SimDisk::open(const std::string& path, env::OpenMode mode) {
  RETURN_IF_ERROR(before(DiskOp::kOpen, path));
  auto found = names_.find(path);
  if (found == names_.end()) {
    if (mode != env::OpenMode::kCreate || !dirs_.contains(folder_of(path))) return not_found(path);
    RETURN_IF_ERROR(before(DiskOp::kRename, path));
    found = names_.emplace(path, std::make_shared<Inode>()).first;
    unsynced_names_[folder_of(path)].push_back({path, found->second, {}});
  }
  return std::unique_ptr<env::File>(std::make_unique<SimFile>(
      *this, path, found->second, mode == env::OpenMode::kFill));
}

Status SimDisk::make_dirs(const std::string& path) {
  for (std::string at = path; at != "." && at != "/"; at = folder_of(at)) dirs_.insert(at);
  return {};
}

Result<std::vector<std::string>> SimDisk::list(const std::string& path) {
  RETURN_IF_ERROR(before(DiskOp::kRead, path));
  if (!dirs_.contains(path)) return not_found(path);
  std::set<std::string> names;
  for (const auto& [name, inode] : names_) {
    if (folder_of(name) == path) names.insert(name.substr(path.size() + 1));
  }
  for (const auto& dir : dirs_) {
    if (folder_of(dir) == path) names.insert(dir.substr(path.size() + 1));
  }
  return std::vector<std::string>(names.begin(), names.end());
}

bool SimDisk::exists(const std::string& path) {
  return names_.contains(path) || dirs_.contains(path);
}

Status SimDisk::rename(const std::string& from, const std::string& to) {
  RETURN_IF_ERROR(before(DiskOp::kRename, from));
  auto found = names_.find(from);
  if (found == names_.end()) return not_found(from);
  CHECK(folder_of(from) == folder_of(to));
  InodePtr inode = found->second;
  names_.erase(found);
  names_[to] = inode;
  unsynced_names_[folder_of(to)].push_back({to, inode, from});
  return {};
}

Status SimDisk::remove(const std::string& path) {
  RETURN_IF_ERROR(before(DiskOp::kRemove, path));
  if (names_.erase(path) == 0) return not_found(path);
  unsynced_names_[folder_of(path)].push_back({path, nullptr, {}});
  return {};
}

void SimDisk::apply_entry(const EntryChange& change) {
  if (!change.gone.empty()) durable_names_.erase(change.gone);
  if (change.inode) {
    durable_names_[change.path] = change.inode;
  } else {
    durable_names_.erase(change.path);
  }
}

Status SimDisk::sync_dir(const std::string& path) {
  RETURN_IF_ERROR(before(DiskOp::kSyncDir, path));
  for (const auto& change : unsynced_names_[path]) apply_entry(change);
  unsynced_names_.erase(path);
  return {};
}

Result<uint64_t> SimDisk::free_bytes(const std::string&) {
  uint64_t used = used_bytes();
  return used > capacity_ ? 0 : capacity_ - used;
}

uint64_t SimDisk::used_bytes() const {
  uint64_t sum = 0;
  for (const auto& [path, inode] : names_) sum += inode->data.size();
  return sum;
}

// What a crash makes of a file's unsynced changes: nothing, all, or each sector by chance.
void SimDisk::settle(Inode& inode, bool lose_all) {
  uint64_t mode = lose_all ? 0 : random_.below(3);
  for (const Change& change : inode.unsynced) {
    if (mode == 0) break;
    if (mode == 1) {
      apply(inode.durable, change);
      continue;
    }
    if (change.resize) {
      if (random_.below(2)) apply(inode.durable, change);
      continue;
    }
    for (uint64_t at = 0; at < change.bytes.size();) {
      uint64_t position = change.position + at;
      uint64_t size = std::min<uint64_t>(kSector - position % kSector, change.bytes.size() - at);
      if (random_.below(2)) apply(inode.durable, {false, position, change.bytes.substr(at, size)});
      at += size;
    }
  }
  inode.unsynced.clear();
  inode.data = inode.durable;
}

void SimDisk::crash(bool lose_all) {
  generation_++;
  for (auto& [folder, changes] : unsynced_names_) {
    uint64_t kept = lose_all ? 0 : random_.below(changes.size() + 1);
    for (uint64_t i = 0; i < kept; i++) apply_entry(changes[i]);
  }
  unsynced_names_.clear();
  names_ = durable_names_;
  std::set<Inode*> settled;
  for (auto& [path, inode] : names_) {
    if (settled.insert(inode.get()).second) settle(*inode, lose_all);
  }
}

void SimDisk::flip_bit(const std::string& path, uint64_t position, int bit) {
  rotten_ = true;
  Inode& inode = *names_.at(path);
  auto mask = static_cast<char>(1 << bit);
  inode.data.at(position) ^= mask;
  if (position < inode.durable.size()) inode.durable[position] ^= mask;
}

std::string SimDisk::content(const std::string& path) const { return names_.at(path)->data; }

void SimDisk::set_content(const std::string& path, std::string bytes) {
  auto inode = std::make_shared<Inode>();
  inode->data = inode->durable = std::move(bytes);
  names_[path] = durable_names_[path] = inode;
}

std::vector<std::string> SimDisk::files(const std::string& prefix) const {
  std::vector<std::string> out;
  for (const auto& [path, inode] : names_) {
    if (path.starts_with(prefix)) out.push_back(path);
  }
  return out;
}

}  // namespace broker::sim
