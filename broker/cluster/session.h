#pragma once
// This broker's session with its coordinator, above whatever carries messages (gRPC in a cluster, a
// function call in --dev and in the simulator): registers, heartbeats, passes metadata on, answers
// questions through its handlers, and sends administrative requests up. On the reactor.
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "broker/base/status.h"
#include "broker/cluster/metadata.h"
#include "broker/env/env.h"
#include "broker/proto/coordination.pb.h"

namespace broker::cluster {

// Of a code in an AdminResponse; kInternal for one that a newer coordinator knows.
Code code_from_name(const std::string& name);

// Carries messages to the coordinator, in order, at most once. Owned by app; its incoming side
// calls Session::on_connected, on_message and on_disconnected on the reactor.
class CoordinatorLink {
 public:
  virtual ~CoordinatorLink() = default;
  // Dropped silently when there is no connection.
  virtual void send(const v1::BrokerMessage& message) = 0;
  // Ends the connection; the link dials again by itself.
  virtual void reconnect() = 0;
};

struct SessionHandlers {
  std::function<void(const v1::NewTerms&)> new_terms;
  std::function<void(const v1::PrepareTransfer&)> prepare_transfer;
  // A (re)connection was welcomed: everything a coordinator must know is to be reported again.
  std::function<void()> welcomed;
  std::function<std::vector<BrokerId>()> peers_heard;
  // What this broker keeps; told with a heartbeat every kHoldingsMs. May be absent.
  std::function<v1::Holdings()> holdings;
  // The certificate files it has loaded; told beside holdings. May be absent.
  std::function<v1::Certificates()> certificates;
  std::function<void()> stop_allowed;
};

class Session {
 public:
  Session(env::Clock& clock, env::Executor& executor, Metadata& metadata, v1::Register self);
  void start(CoordinatorLink& link, SessionHandlers handlers);

  // From the link.
  void on_connected();
  void on_message(const v1::CoordinatorMessage& message);
  void on_disconnected();

  bool welcomed() const { return welcomed_; }
  void report(const v1::LeaderReport& report);      // sent at the end of this turn, batched
  void answer(const v1::NewTermResult& result);     // likewise
  void transfer_ready(const v1::TransferReady& ready);
  // What was used; without a session it is worthless and is told again later.
  void usage(const v1::UsageReports& reports);
  // Sends a heartbeat at once: a link to a peer changed.
  void heartbeat_now();
  // From now on heartbeats ask to move leadership away; handlers.stop_allowed follows.
  void ask_to_stop();

  using AdminDone = std::function<void(Result<v1::AdminResponse>)>;
  // Asks the coordinator; `request.id` is set here. The coordinator's own error comes as a Status
  // with its code. Without a session the request waits for one: kUnavailable when none comes in
  // time. kTimeout when there is no answer: the outcome is then unknown.
  // kInvalidArgument: a text in it is not UTF-8.
  void admin(v1::AdminRequest request, int64_t timeout_ms, AdminDone done);

 private:
  void send_heartbeat();
  void schedule_heartbeat();
  void flush_soon();
  void flush();
  void fail_admin(const Status& status);

  env::Clock& clock_;
  env::Executor& executor_;
  Metadata& metadata_;
  v1::Register self_;
  CoordinatorLink* link_ = nullptr;
  SessionHandlers handlers_;
  bool connected_ = false, welcomed_ = false, stopping_ = false, flush_scheduled_ = false;
  int32_t heartbeat_ms_ = 200;
  static constexpr int64_t kHoldingsMs = 2000;
  int64_t holdings_told_ms_ = -kHoldingsMs;
  v1::LeaderReports reports_;
  v1::NewTermResults results_;
  uint64_t next_admin_id_ = 1;
  struct Admin {
    AdminDone done;
    env::TimerId timer;
    v1::AdminRequest request;  // until it is sent
    bool sent = false;
  };
  void send_admin(Admin& admin);
  std::map<uint64_t, Admin> admin_;
};

}  // namespace broker::cluster
