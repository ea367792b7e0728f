#pragma once
// The real environment: POSIX files, the system's clocks, a thread per I/O queue. Built in `app`
// and in tests; the only place with file and clock system calls.
#include <condition_variable>
#include <deque>
#include <mutex>
#include <random>
#include <thread>

#include "broker/env/env.h"

namespace broker::env {

class PosixClock : public Clock {
 public:
  int64_t mono_ms() const override;
  int64_t mono_us() const override;
  int64_t wall_ms() const override;
};

class PosixFileSystem : public FileSystem {
 public:
  Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode) override;
  Status make_dirs(const std::string& path) override;
  Result<std::vector<std::string>> list(const std::string& path) override;
  bool exists(const std::string& path) override;
  Status rename(const std::string& from, const std::string& to) override;
  Status remove(const std::string& path) override;
  Status sync_dir(const std::string& path) override;
  Result<uint64_t> free_bytes(const std::string& path) override;
};

// One thread. The destructor finishes what was submitted; its `done`s are still posted.
class ThreadIoQueue : public IoQueue {
 public:
  ThreadIoQueue(Executor& owner, std::string thread_name);
  ~ThreadIoQueue() override;
  void submit(Work work, Done done) override;

 private:
  void run();
  struct Job {
    Work work;
    Done done;
  };
  Executor& owner_;
  std::mutex mutex_;
  std::condition_variable ready_;
  std::deque<Job> jobs_;
  bool stopping_ = false;
  std::thread thread_;
};

class SystemRandom : public Random {
 public:
  SystemRandom() : engine_(std::random_device{}()) {}
  uint64_t next() override;

 private:
  std::mutex mutex_;
  std::mt19937_64 engine_;
};

// Takes an exclusive lock on `path` (made when missing), held until the process ends. kConflict
// when another process holds it.
Status lock_file(const std::string& path);

}  // namespace broker::env
