#pragma once
// The reactor: an Executor over a Boost.Asio io_context that one thread runs. Sockets of that
// thread use context(); other threads only post().
#include <utility>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <unordered_map>

#include "broker/env/env.h"

namespace broker::env {

class AsioExecutor : public Executor {
 public:
  AsioExecutor();
  ~AsioExecutor() override;
  void post(Task task) override;
  TimerId schedule_after(int64_t delay_ms, Task task) override;
  void cancel(TimerId timer) override;

  boost::asio::io_context& context() { return context_; }
  // Runs tasks on the calling thread until stop().
  void run();
  // From any thread.
  void stop();

 private:
  boost::asio::io_context context_{1};
  TimerId next_timer_ = 1;
  std::unordered_map<TimerId, std::unique_ptr<boost::asio::steady_timer>> timers_;
};

}  // namespace broker::env
