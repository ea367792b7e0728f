#include "operator/kube/task/task.h"

#include <pthread.h>

#include <chrono>

namespace sluice_operator::kube {

void StopSignal::stop() {
  std::lock_guard actions(actions_mutex_);
  {
    std::lock_guard lock(mutex_);
    if (stopped_) return;
    stopped_ = true;
  }
  wake_.notify_all();
  for (auto& [id, action] : actions_) action();
}

bool StopSignal::stopped() const {
  std::lock_guard lock(mutex_);
  return stopped_;
}

bool StopSignal::wait_ms(int64_t ms) {
  std::unique_lock lock(mutex_);
  return wake_.wait_for(lock, std::chrono::milliseconds(ms), [this] { return stopped_; });
}

void StopSignal::wait() {
  std::unique_lock lock(mutex_);
  wake_.wait(lock, [this] { return stopped_; });
}

OnStop::OnStop(StopSignal& signal, std::function<void()> action) : signal_(signal) {
  std::lock_guard lock(signal_.actions_mutex_);
  if (signal_.stopped()) {
    action();
    return;
  }
  id_ = signal_.next_action_++;
  signal_.actions_.emplace(id_, std::move(action));
}

OnStop::~OnStop() {
  std::lock_guard lock(signal_.actions_mutex_);
  signal_.actions_.erase(id_);
}

Thread::Thread(const std::string& name, std::function<void()> body) : thread_(std::move(body)) {
  pthread_setname_np(thread_.native_handle(), name.substr(0, 15).c_str());
}

Thread& Thread::operator=(Thread&& other) {
  join();
  thread_ = std::move(other.thread_);
  return *this;
}

void Thread::join() {
  if (thread_.joinable()) thread_.join();
}

}  // namespace sluice_operator::kube
