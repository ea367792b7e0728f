#include "broker/env/posix/asio_executor.h"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>

namespace broker::env {

AsioExecutor::AsioExecutor() = default;
AsioExecutor::~AsioExecutor() = default;

void AsioExecutor::post(Task task) { boost::asio::post(context_, std::move(task)); }

TimerId AsioExecutor::schedule_after(int64_t delay_ms, Task task) {
  TimerId id = next_timer_++;
  auto timer = std::make_unique<boost::asio::steady_timer>(context_,
                                                           std::chrono::milliseconds(delay_ms));
  timer->async_wait([this, id, task = std::move(task)](boost::system::error_code error) {
    if (error || timers_.erase(id) == 0) return;  // cancelled, perhaps after it had expired
    task();
  });
  timers_.emplace(id, std::move(timer));
  return id;
}

void AsioExecutor::cancel(TimerId timer) { timers_.erase(timer); }

void AsioExecutor::run() {
  auto keep_running = boost::asio::make_work_guard(context_);
  context_.run();
}

void AsioExecutor::stop() { context_.stop(); }

}  // namespace broker::env
