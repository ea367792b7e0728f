#pragma once
// The seams between our logic and the machine: time, tasks, files, background I/O, chance. The real
// ones are in env/posix, the simulator's in tests/support; nothing else may read a clock, start a
// thread or touch a file.
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "broker/base/status.h"

namespace broker::env {

// Milliseconds. mono_ms never goes back; wall_ms is Unix time and may jump.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual int64_t mono_ms() const = 0;
  virtual int64_t mono_us() const = 0;
  virtual int64_t wall_ms() const = 0;
};

using Task = std::function<void()>;
using TimerId = uint64_t;

// Runs tasks one at a time, in order of posting, on its own thread ("the reactor").
class Executor {
 public:
  virtual ~Executor() = default;
  // From any thread.
  virtual void post(Task task) = 0;
  // On the executor's thread only. The task runs after at least `delay_ms`, unless cancelled.
  virtual TimerId schedule_after(int64_t delay_ms, Task task) = 0;
  virtual void cancel(TimerId timer) = 0;
};

// An open file. Calls block; reads may be made concurrently, nothing else unless said otherwise.
class File {
 public:
  virtual ~File() = default;
  // Reads up to `size` bytes at `position`; fewer only at the end of the file. May be called while
  // a write to another range is in progress.
  virtual Result<size_t> read_at(uint64_t position, char* out, size_t size) = 0;
  // The same without waiting for the disk: none when not all of it is in memory. (Where the system
  // cannot tell: as read_at.)
  virtual Result<std::optional<size_t>> read_cached(uint64_t position, char* out, size_t size) = 0;
  // Whether the disk is to bring no more than is asked for (POSIX_FADV_RANDOM), or what follows, too. A
  // hint, from any thread; a file system may take none.
  virtual void read_no_more(bool /*than_asked*/) {}
  // Writes all pieces one after another from `position` on; they may stay in memory until sync().
  virtual Status write_at(uint64_t position, std::span<const std::string_view> pieces) = 0;
  // Makes everything written before durable. A failure here is final: never retried.
  virtual Status sync() = 0;
  // Reserves space so that later writes neither fail for space nor change the file's size.
  virtual Status allocate(uint64_t size) = 0;
  virtual Status truncate(uint64_t size) = 0;
  virtual Result<uint64_t> size() = 0;
};

// kFill: an existing file that one writer fills anew from its start, each write beginning where the one
// before it ended, and does not read. Bytes go to the disk without staying in the page cache where the
// file system can; up to a block of zeros may follow them.
enum class OpenMode { kRead, kReadWrite, kCreate, kFill };

class FileSystem {
 public:
  virtual ~FileSystem() = default;
  // kCreate makes the file when it is missing and keeps its content otherwise.
  virtual Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode) = 0;
  virtual Status make_dirs(const std::string& path) = 0;
  // Names (not paths) of a folder's entries, sorted.
  virtual Result<std::vector<std::string>> list(const std::string& path) = 0;
  virtual bool exists(const std::string& path) = 0;
  virtual Status rename(const std::string& from, const std::string& to) = 0;
  virtual Status remove(const std::string& path) = 0;
  // Makes creations, renames and removals in a folder durable.
  virtual Status sync_dir(const std::string& path) = 0;
  // Free bytes of the file system that holds `path`.
  virtual Result<uint64_t> free_bytes(const std::string& path) = 0;
};

// Background I/O of one owner: jobs run in order, one at a time, off the owner's thread; each
// `done` runs on the owner's executor, in the same order.
class IoQueue {
 public:
  virtual ~IoQueue() = default;
  using Work = std::function<Status()>;
  using Done = std::function<void(Status)>;
  virtual void submit(Work work, Done done) = 0;
};

class Random {
 public:
  virtual ~Random() = default;
  virtual uint64_t next() = 0;
  // Uniform in [0, bound); bound > 0.
  uint64_t below(uint64_t bound) { return next() % bound; }
};

// Writes a small file so that after a crash it holds either the old content or the new: temporary
// file, fsync, rename, fsync of the folder.
Status write_file_atomically(FileSystem& fs, const std::string& path, std::string_view content);
// A whole small file; kTooLarge above `size_max` bytes.
Result<std::string> read_file(FileSystem& fs, const std::string& path, uint64_t size_max);

}  // namespace broker::env
