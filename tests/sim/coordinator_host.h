#pragma once
// The coordinator's process in virtual time, and the sessions that brokers dial to it: ordered,
// with delays, each direction can be blocked; a session that stands still for seconds ends. The
// coordinator dies and comes back over the same stored metadata.
#include <deque>
#include <memory>
#include <set>

#include "broker/cluster/session.h"
#include "broker/coordination/coordinator.h"
#include "tests/sim/metadata_store.h"

namespace broker::sim {

class CoordinatorHost : private coordination::Outbox {
 public:
  CoordinatorHost(SimWorld& world, Trace& trace, StoredMetadata& stored);
  ~CoordinatorHost() override;

  void start();
  // The process dies; brokers notice at once, or later.
  void crash();
  void pause() { executor_->pause(); }
  void resume() { executor_->resume(); }
  void shift_wall(int64_t ms) { clock_.shift_wall(ms); }
  bool running() const { return coordinator_ != nullptr; }
  // Null while the process is down.
  coordination::Coordinator* coordinator() { return coordinator_.get(); }

  // What an operator says to every coordinator that it starts.
  std::vector<coordination::ExpectedBroker> expected;
  std::set<int> draining;
  void say_wishes();

  // ---- brokers ----
  void attach(int broker, SimExecutor& executor, cluster::Session& session);
  void detach(int broker, bool power_loss);
  void block(int broker, bool to_broker, bool from_broker);
  void unblock_all();
  void from_broker(int broker, const sluice::v1::BrokerMessage& message);
  void hang_up(int broker);

 private:
  using SessionId = coordination::SessionId;
  struct Channel {
    int broker = 0;
    bool broker_open = true, coordinator_open = true;
    int64_t to_broker_us = 0, to_coordinator_us = 0;  // last arrivals
    std::deque<env::Task> stalled;                    // in order, either direction
    int64_t stalled_since_us = -1;
  };
  struct Attached {
    SimExecutor* executor;
    cluster::Session* session;
    SessionId channel = 0;
  };
  void send(SessionId session, const sluice::v1::CoordinatorMessage& message) override;
  void close(SessionId session) override;
  void dial(int broker);
  void tick();
  void watch();
  void close_at_broker(SessionId session);
  void close_at_coordinator(SessionId session);
  Channel* find(SessionId session);
  // Runs `arrival` when a message in that direction arrives, in order.
  void carry(SessionId session, bool to_broker, env::Task arrival);
  int64_t latency_us() { return world_.random().between(100, 1'500); }

  SimWorld& world_;
  Trace& trace_;
  StoredMetadata& stored_;
  SimClock clock_;
  std::unique_ptr<SimExecutor> executor_;
  std::unique_ptr<SimMetadataStore> store_;
  std::unique_ptr<coordination::Coordinator> coordinator_;
  int64_t tick_due_ms_ = 0;  // as its last tick said
  std::map<int, Attached> brokers_;
  std::map<SessionId, Channel> channels_;
  std::set<int> blocked_to_, blocked_from_;
  SessionId next_session_ = 1;
};

// A broker's end of its session.
class SimCoordinatorLink : public cluster::CoordinatorLink {
 public:
  SimCoordinatorLink(CoordinatorHost& host, int broker) : host_(host), broker_(broker) {}
  void send(const cluster::v1::BrokerMessage& message) override {
    host_.from_broker(broker_, message);
  }
  void reconnect() override { host_.hang_up(broker_); }

 private:
  CoordinatorHost& host_;
  int broker_;
};

}  // namespace broker::sim
