#include "tests/support/sim_env.h"

#include <algorithm>

namespace broker::sim {
namespace {
uint64_t rotl(uint64_t x, int k) { return (x << k) | (x >> (64 - k)); }
}  // namespace

SimRandom::SimRandom(uint64_t seed) {
  for (uint64_t& s : state_) {
    seed += 0x9e3779b97f4a7c15ULL;
    uint64_t z = seed;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    s = z ^ (z >> 31);
  }
}

uint64_t SimRandom::next() {
  uint64_t result = rotl(state_[1] * 5, 7) * 9;
  uint64_t t = state_[1] << 17;
  state_[2] ^= state_[0];
  state_[3] ^= state_[1];
  state_[1] ^= state_[2];
  state_[0] ^= state_[3];
  state_[2] ^= t;
  state_[3] = rotl(state_[3], 45);
  return result;
}

uint64_t SimWorld::schedule(int64_t delay_us, env::Task task) {
  uint64_t id = next_event_++;
  Key key{now_us_ + std::max<int64_t>(delay_us, 0), id};
  events_.emplace(key, std::move(task));
  keys_.emplace(id, key);
  return id;
}

void SimWorld::cancel(uint64_t event) {
  auto found = keys_.find(event);
  if (found == keys_.end()) return;
  events_.erase(found->second);
  keys_.erase(found);
}

bool SimWorld::step() {
  if (events_.empty()) return false;
  auto next = events_.begin();
  now_us_ = std::max(now_us_, next->first.first);
  env::Task task = std::move(next->second);
  keys_.erase(next->first.second);
  events_.erase(next);
  events_run_++;
  task();
  return true;
}

void SimWorld::run_for_us(int64_t duration_us) {
  int64_t until = now_us_ + duration_us;
  while (!events_.empty() && events_.begin()->first.first <= until) step();
  now_us_ = until;
}

bool SimWorld::run_until(const std::function<bool()>& condition, int64_t duration_us) {
  int64_t until = now_us_ + duration_us;
  while (!condition()) {
    if (events_.empty() || events_.begin()->first.first > until) return false;
    step();
  }
  return true;
}

uint64_t SimExecutor::schedule_us(int64_t delay_us, env::Task task) {
  uint64_t id = next_++;
  if (!alive_) return id;
  events_[id] = world_.schedule(
      delay_us, [this, id, task = std::move(task)]() { run(id, task); });
  return id;
}

void SimExecutor::run(uint64_t id, const env::Task& task) {
  events_.erase(id);
  if (paused_) {
    waiting_[id] = task;
    return;
  }
  task();
}

void SimExecutor::post(env::Task task) { schedule_us(0, std::move(task)); }

env::TimerId SimExecutor::schedule_after(int64_t delay_ms, env::Task task) {
  return schedule_us(delay_ms * 1000, std::move(task));
}

void SimExecutor::cancel(env::TimerId timer) {
  waiting_.erase(timer);
  auto found = events_.find(timer);
  if (found == events_.end()) return;
  world_.cancel(found->second);
  events_.erase(found);
}

void SimExecutor::kill() {
  alive_ = false;
  // Tasks own what they refer to; moved out first because a destructor may cancel others.
  auto events = std::move(events_);
  auto waiting = std::move(waiting_);
  events_.clear();
  waiting_.clear();
  for (const auto& [id, event] : events) world_.cancel(event);
}

void SimExecutor::resume() {
  paused_ = false;
  auto waiting = std::move(waiting_);
  waiting_.clear();
  for (auto& [id, task] : waiting) {
    events_[id] = world_.schedule(0, [this, id = id, task = std::move(task)]() { run(id, task); });
  }
}

void SimIoQueue::submit(Work work, Done done) {
  SimWorld& world = owner_.world();
  int64_t latency = world.random().between(latency_min_us_, latency_max_us_);
  free_at_us_ = std::max(free_at_us_, world.now_us()) + latency;
  owner_.schedule_us(free_at_us_ - world.now_us(),
                     [this, work = std::move(work), done = std::move(done)] {
                       Status status = work();
                       owner_.post([done, status] { done(status); });
                     });
}

}  // namespace broker::sim
