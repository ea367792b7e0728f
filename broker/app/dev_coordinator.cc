#include "broker/app/dev_coordinator.h"

#include "broker/base/log.h"

namespace broker::app {
namespace {

constexpr coordination::SessionId kSession = 1;

coordination::CoordinatorOptions options_for(const std::string& cluster) {
  coordination::CoordinatorOptions options;
  options.cluster = cluster;
  options.grace_ms = 0;  // nobody else is to be waited for
  options.silent_ms = 60'000;  // a busy reactor is not a dead broker
  return options;
}

}  // namespace

DevCoordinator::DevCoordinator(env::Clock& clock, env::Executor& executor, env::FileSystem& fs,
                               env::IoQueue& io, env::Random& random, const std::string& dir,
                               const std::string& cluster)
    : executor_(executor),
      store_(fs, io, random, dir),
      coordinator_(options_for(cluster), clock, random, store_, *this) {}

void DevCoordinator::start(cluster::Session& session) {
  session_ = &session;
  coordinator_.start();
  connect();
  tick();
}

// Waits for the coordinator to know its files: until then it would refuse.
void DevCoordinator::connect() {
  if (!coordinator_.loaded()) {
    executor_.schedule_after(1, [this] { connect(); });
    return;
  }
  coordinator_.on_connect(kSession);
  session_->on_connected();
}

void DevCoordinator::tick() {
  coordinator_.tick();
  executor_.schedule_after(coordination::kTickMs, [this] { tick(); });
}

void DevCoordinator::send(const cluster::v1::BrokerMessage& message) {
  executor_.post([this, message] { coordinator_.on_message(kSession, message); });
}

void DevCoordinator::send(coordination::SessionId, const cluster::v1::CoordinatorMessage& message) {
  executor_.post([this, message] { session_->on_message(message); });
}

void DevCoordinator::close(coordination::SessionId) {
  log_error("dev", "the coordinator has refused this broker's session");
}

}  // namespace broker::app
