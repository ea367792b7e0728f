#pragma once
// The coordinator of a broker that runs alone (--dev): the same state machine as the operator's,
// over files in the data directory, connected to this broker's session by function calls.
#include <memory>
#include <string>

#include "broker/cluster/session.h"
#include "broker/coordination/coordinator.h"
#include "broker/coordination/file_store.h"

namespace broker::app {

class DevCoordinator : public cluster::CoordinatorLink, private coordination::Outbox {
 public:
  DevCoordinator(env::Clock& clock, env::Executor& executor, env::FileSystem& fs, env::IoQueue& io,
                 env::Random& random, const std::string& dir, const std::string& cluster);
  // Connects the session, then keeps the coordinator's time.
  void start(cluster::Session& session);

  void send(const cluster::v1::BrokerMessage& message) override;
  void reconnect() override {}  // a function call does not break

 private:
  void send(coordination::SessionId session, const cluster::v1::CoordinatorMessage& message) override;
  void close(coordination::SessionId session) override;
  void connect();
  void tick();

  env::Executor& executor_;
  coordination::FileStore store_;
  coordination::Coordinator coordinator_;
  cluster::Session* session_ = nullptr;
};

}  // namespace broker::app
