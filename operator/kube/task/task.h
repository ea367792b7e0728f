#pragma once
// Threads of the operator and how they end. StopSignal: one flag that wakes every sleeper and
// aborts what is in flight. Thread: a named thread that is joined by its destructor. The rest of
// the operator starts no thread and sleeps nowhere else. Thread-safe.
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>

namespace sluice_operator::kube {

class StopSignal {
 public:
  // Wakes all waits and runs the actions, on the calling thread. Further calls do nothing.
  void stop();
  bool stopped() const;
  // Sleeps; true when it was cut short by stop().
  bool wait_ms(int64_t ms);
  // Sleeps until stop().
  void wait();

 private:
  friend class OnStop;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  bool stopped_ = false;
  std::mutex actions_mutex_;  // held while actions run, so that an OnStop outlives its action
  uint64_t next_action_ = 1;
  std::map<uint64_t, std::function<void()>> actions_;
};

// While it lives, stop() also runs `action`; at once when the signal has stopped already. The
// action must not touch the signal.
class OnStop {
 public:
  OnStop(StopSignal& signal, std::function<void()> action);
  ~OnStop();
  OnStop(const OnStop&) = delete;
  OnStop& operator=(const OnStop&) = delete;

 private:
  StopSignal& signal_;
  uint64_t id_ = 0;
};

class Thread {
 public:
  Thread() = default;
  // `name` is at most 15 characters, as seen in /proc and in debuggers.
  Thread(const std::string& name, std::function<void()> body);
  ~Thread() { join(); }
  Thread(Thread&&) = default;
  Thread& operator=(Thread&& other);
  void join();

 private:
  std::thread thread_;
};

}  // namespace sluice_operator::kube
