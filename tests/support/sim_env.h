#pragma once
// A world on virtual time for deterministic tests: one event queue ordered by (time, sequence), and
// per node an Executor, a Clock and I/O queues over it. Everything runs on the thread that calls
// run_*(); the same seed gives the same run. A node's executor can be killed: what it had pending
// never runs, as in a crash of its process.
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>

#include "broker/env/env.h"

namespace broker::sim {

// xoshiro256** seeded by splitmix64.
class SimRandom : public env::Random {
 public:
  explicit SimRandom(uint64_t seed);
  uint64_t next() override;
  // True once in `n`.
  bool one_in(uint64_t n) { return below(n) == 0; }
  // Uniform in [low, high].
  int64_t between(int64_t low, int64_t high) {
    return low + static_cast<int64_t>(below(static_cast<uint64_t>(high - low) + 1));
  }

 private:
  uint64_t state_[4];
};

class SimWorld {
 public:
  explicit SimWorld(uint64_t seed) : random_(seed) {}
  SimRandom& random() { return random_; }
  int64_t now_us() const { return now_us_; }
  // Runs `task` at now + delay, after what was scheduled for that time before.
  uint64_t schedule(int64_t delay_us, env::Task task);
  void cancel(uint64_t event);
  // Runs the next event; false when there is none.
  bool step();
  // Runs events up to now + duration and moves the clock there.
  void run_for_us(int64_t duration_us);
  // Runs events until `condition` holds; false when none is left or `duration_us` is over first.
  bool run_until(const std::function<bool()>& condition, int64_t duration_us = 3'600'000'000);
  bool idle() const { return events_.empty(); }
  uint64_t events_run() const { return events_run_; }

 private:
  using Key = std::pair<int64_t, uint64_t>;
  SimRandom random_;
  int64_t now_us_ = 1'000'000;
  uint64_t next_event_ = 1, events_run_ = 0;
  std::map<Key, env::Task> events_;
  std::map<uint64_t, Key> keys_;
};

// One process's view of the world. Destroying it kills it.
class SimExecutor : public env::Executor {
 public:
  explicit SimExecutor(SimWorld& world) : world_(world) {}
  ~SimExecutor() override { kill(); }
  void post(env::Task task) override;
  env::TimerId schedule_after(int64_t delay_ms, env::Task task) override;
  void cancel(env::TimerId timer) override;
  // Drops everything pending; whatever is posted later is dropped, too.
  void kill();
  bool alive() const { return alive_; }
  // A paused process (SIGSTOP, a stalled machine): its tasks wait for resume().
  void pause() { paused_ = true; }
  void resume();
  uint64_t schedule_us(int64_t delay_us, env::Task task);
  SimWorld& world() { return world_; }

 private:
  void run(uint64_t id, const env::Task& task);
  SimWorld& world_;
  bool alive_ = true, paused_ = false;
  uint64_t next_ = 1;
  std::map<uint64_t, uint64_t> events_;    // own id -> world event
  std::map<uint64_t, env::Task> waiting_;  // came up while paused, in order of their ids
};

class SimClock : public env::Clock {
 public:
  explicit SimClock(SimWorld& world, int64_t wall_offset_ms = 1'700'000'000'000)
      : world_(world), wall_offset_ms_(wall_offset_ms) {}
  int64_t mono_ms() const override { return world_.now_us() / 1000; }
  int64_t mono_us() const override { return world_.now_us(); }
  int64_t wall_ms() const override { return wall_offset_ms_ + mono_ms(); }
  // A jump of the wall clock.
  void shift_wall(int64_t ms) { wall_offset_ms_ += ms; }

 private:
  SimWorld& world_;
  int64_t wall_offset_ms_;
};

// Jobs run one at a time, each at the end of a random latency; `done` follows as a task of its own.
// Jobs of a dead executor do not run.
class SimIoQueue : public env::IoQueue {
 public:
  SimIoQueue(SimExecutor& owner, int64_t latency_min_us, int64_t latency_max_us)
      : owner_(owner), latency_min_us_(latency_min_us), latency_max_us_(latency_max_us) {}
  void submit(Work work, Done done) override;
  void set_latency_us(int64_t min, int64_t max) { latency_min_us_ = min, latency_max_us_ = max; }

 private:
  SimExecutor& owner_;
  int64_t latency_min_us_, latency_max_us_;
  int64_t free_at_us_ = 0;
};

}  // namespace broker::sim
