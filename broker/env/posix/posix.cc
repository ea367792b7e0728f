#include "broker/env/posix/posix.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>

namespace broker::env {
namespace {

Status errno_status(const std::string& what) {
  int error = errno;
  Code code = Code::kIoError;
  if (error == ENOSPC || error == EDQUOT) code = Code::kNoSpace;
  if (error == ENOENT) code = Code::kNotFound;
  if (error == EACCES || error == EPERM) code = Code::kPermissionDenied;
  return Status(code, what + ": " + std::strerror(error));
}

class PosixFile : public File {
 public:
  PosixFile(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}
  PosixFile(const PosixFile&) = delete;
  PosixFile& operator=(const PosixFile&) = delete;
  ~PosixFile() override { ::close(fd_); }

  Result<size_t> read_at(uint64_t position, char* out, size_t size) override {
    size_t done = 0;
    while (done < size) {
      ssize_t n = ::pread(fd_, out + done, size - done, static_cast<off_t>(position + done));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return errno_status("read " + path_);
      if (n == 0) break;
      done += static_cast<size_t>(n);
    }
    return done;
  }

  void read_no_more(bool than_asked) override {
    static_cast<void>(::posix_fadvise(fd_, 0, 0, than_asked ? POSIX_FADV_RANDOM : POSIX_FADV_NORMAL));
  }

  Result<std::optional<size_t>> read_cached(uint64_t position, char* out, size_t size) override {
    size_t done = 0;
    while (done < size) {
      iovec rest{out + done, size - done};
      ssize_t n = ::preadv2(fd_, &rest, 1, static_cast<off_t>(position + done), RWF_NOWAIT);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0 && errno == EAGAIN) return std::optional<size_t>();
      if (n < 0 && (errno == EOPNOTSUPP || errno == ENOSYS)) {
        ASSIGN_OR_RETURN(size_t got, read_at(position, out, size));
        return std::optional(got);
      }
      if (n < 0) return errno_status("read " + path_);
      if (n == 0) break;
      done += static_cast<size_t>(n);
    }
    return std::optional(done);
  }

  Status write_at(uint64_t position, std::span<const std::string_view> pieces) override {
    std::vector<iovec> iov;
    iov.reserve(pieces.size());
    for (auto piece : pieces) {
      if (!piece.empty()) iov.push_back({const_cast<char*>(piece.data()), piece.size()});
    }
    size_t first = 0;
    while (first < iov.size()) {
      int count = static_cast<int>(std::min<size_t>(iov.size() - first, 1024));
      ssize_t n = ::pwritev(fd_, &iov[first], count, static_cast<off_t>(position));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return errno_status("write " + path_);
      position += static_cast<uint64_t>(n);
      auto left = static_cast<size_t>(n);
      while (left > 0 && left >= iov[first].iov_len) left -= iov[first++].iov_len;
      if (left > 0) {
        iov[first].iov_base = static_cast<char*>(iov[first].iov_base) + left;
        iov[first].iov_len -= left;
      }
    }
    return {};
  }

  Status sync() override {
    return ::fdatasync(fd_) == 0 ? Status() : errno_status("fdatasync " + path_);
  }

  Status allocate(uint64_t size) override {
    int error = ::posix_fallocate(fd_, 0, static_cast<off_t>(size));
    if (error == 0) return {};
    errno = error;
    return errno_status("allocate " + path_);
  }

  Status truncate(uint64_t size) override {
    return ::ftruncate(fd_, static_cast<off_t>(size)) == 0 ? Status()
                                                           : errno_status("truncate " + path_);
  }

  Result<uint64_t> size() override {
    struct stat info {};
    if (::fstat(fd_, &info) != 0) return errno_status("stat " + path_);
    return static_cast<uint64_t>(info.st_size);
  }

 protected:
  const int fd_;
  const std::string path_;
};

// OpenMode::kFill by direct I/O: pages of the cache cost a broker that only appends a copy, memory, and
// where a hypervisor lends memory page by page most of its processor time. Whole blocks only can be
// written so: what a write leaves of its last block is kept, and written once more with what follows it.
class FilledFile : public PosixFile {
 public:
  using PosixFile::PosixFile;

  Status write_at(uint64_t position, std::span<const std::string_view> pieces) override {
    CHECK(position == block_ + held_);
    if (!stage_) stage_.reset(static_cast<char*>(std::aligned_alloc(kBlock, kStage)));
    if (!stage_) return Status(Code::kIoError, "no memory to write " + path_);
    for (std::string_view piece : pieces) {
      while (!piece.empty()) {
        size_t n = std::min(piece.size(), kStage - held_);
        std::memcpy(stage_.get() + held_, piece.data(), n);
        piece.remove_prefix(n);
        held_ += n;
        if (held_ == kStage) RETURN_IF_ERROR(flush(kStage));
      }
    }
    if (held_ == 0) return {};
    size_t blocks = (held_ + kBlock - 1) / kBlock * kBlock;
    std::memset(stage_.get() + held_, 0, blocks - held_);
    return flush(blocks);
  }

 private:
  static constexpr size_t kBlock = 4096, kStage = 1 << 20;
  struct Free {
    void operator()(char* p) const { std::free(p); }
  };

  Status flush(size_t size) {
    for (size_t done = 0; done < size;) {
      ssize_t n = ::pwrite(fd_, stage_.get() + done, size - done, static_cast<off_t>(block_ + done));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0 && errno == EINVAL && go_through_the_cache()) continue;
      if (n < 0) return errno_status("write " + path_);
      done += static_cast<size_t>(n);
    }
    size_t whole = held_ / kBlock * kBlock;
    std::memmove(stage_.get(), stage_.get() + whole, held_ - whole);
    block_ += whole;
    held_ -= whole;
    return {};
  }

  // A file system that takes the flag, but not writes of such blocks. False when it was so already.
  bool go_through_the_cache() {
    int flags = ::fcntl(fd_, F_GETFL);
    return flags >= 0 && (flags & O_DIRECT) && ::fcntl(fd_, F_SETFL, flags & ~O_DIRECT) == 0;
  }

  std::unique_ptr<char, Free> stage_;
  uint64_t block_ = 0;  // where the staged bytes begin in the file
  size_t held_ = 0;     // of them
};

int64_t clock_ns(clockid_t id) {
  timespec now{};
  ::clock_gettime(id, &now);
  return static_cast<int64_t>(now.tv_sec) * 1'000'000'000 + now.tv_nsec;
}

}  // namespace

int64_t PosixClock::mono_ms() const { return clock_ns(CLOCK_MONOTONIC) / 1'000'000; }
int64_t PosixClock::mono_us() const { return clock_ns(CLOCK_MONOTONIC) / 1'000; }
int64_t PosixClock::wall_ms() const { return clock_ns(CLOCK_REALTIME) / 1'000'000; }

Result<std::unique_ptr<File>> PosixFileSystem::open(const std::string& path, OpenMode mode) {
  int flags = O_CLOEXEC;
  if (mode == OpenMode::kRead) flags |= O_RDONLY;
  if (mode == OpenMode::kReadWrite) flags |= O_RDWR;
  if (mode == OpenMode::kCreate) flags |= O_RDWR | O_CREAT;
  if (mode == OpenMode::kFill) flags |= O_WRONLY | O_DIRECT;
  int fd = ::open(path.c_str(), flags, 0640);
  // Some file systems have no direct I/O.
  if (fd < 0 && errno == EINVAL) fd = ::open(path.c_str(), flags & ~O_DIRECT, 0640);
  if (fd < 0) return errno_status("open " + path);
  if (mode == OpenMode::kFill) return std::unique_ptr<File>(std::make_unique<FilledFile>(fd, path));
  return std::unique_ptr<File>(std::make_unique<PosixFile>(fd, path));
}

Status PosixFileSystem::make_dirs(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (!error) return {};
  errno = error.value();
  return errno_status("make folder " + path);
}

Result<std::vector<std::string>> PosixFileSystem::list(const std::string& path) {
  DIR* dir = ::opendir(path.c_str());
  if (!dir) return errno_status("list " + path);
  std::vector<std::string> names;
  while (dirent* entry = ::readdir(dir)) {
    std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(std::move(name));
  }
  ::closedir(dir);
  std::sort(names.begin(), names.end());
  return names;
}

bool PosixFileSystem::exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

Status PosixFileSystem::rename(const std::string& from, const std::string& to) {
  return ::rename(from.c_str(), to.c_str()) == 0 ? Status() : errno_status("rename " + from);
}

Status PosixFileSystem::remove(const std::string& path) {
  return ::remove(path.c_str()) == 0 ? Status() : errno_status("remove " + path);
}

Status PosixFileSystem::sync_dir(const std::string& path) {
  int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return errno_status("open " + path);
  Status status = ::fsync(fd) == 0 ? Status() : errno_status("fsync " + path);
  ::close(fd);
  return status;
}

Result<uint64_t> PosixFileSystem::free_bytes(const std::string& path) {
  struct statvfs info {};
  if (::statvfs(path.c_str(), &info) != 0) return errno_status("statvfs " + path);
  return static_cast<uint64_t>(info.f_bavail) * info.f_frsize;
}

ThreadIoQueue::ThreadIoQueue(Executor& owner, std::string thread_name) : owner_(owner) {
  thread_ = std::thread([this] { run(); });
  ::pthread_setname_np(thread_.native_handle(), thread_name.substr(0, 15).c_str());
}

ThreadIoQueue::~ThreadIoQueue() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  ready_.notify_one();
  thread_.join();
}

void ThreadIoQueue::submit(Work work, Done done) {
  {
    std::lock_guard lock(mutex_);
    jobs_.push_back({std::move(work), std::move(done)});
  }
  ready_.notify_one();
}

void ThreadIoQueue::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    ready_.wait(lock, [this] { return stopping_ || !jobs_.empty(); });
    if (jobs_.empty()) return;
    Job job = std::move(jobs_.front());
    jobs_.pop_front();
    lock.unlock();
    Status status = job.work();
    owner_.post([done = std::move(job.done), status] { done(status); });
    job = {};
    lock.lock();
  }
}

uint64_t SystemRandom::next() {
  std::lock_guard lock(mutex_);
  return engine_();
}

Status lock_file(const std::string& path) {
  int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0640);
  if (fd < 0) return errno_status("open " + path);
  if (::flock(fd, LOCK_EX | LOCK_NB) == 0) return {};  // kept open, so kept locked
  const bool held = errno == EWOULDBLOCK;
  const Status failed = errno_status("lock " + path);
  ::close(fd);  // sets errno itself
  if (held) return Status(Code::kConflict, path + " is locked: another process uses this directory");
  return failed;
}

}  // namespace broker::env
