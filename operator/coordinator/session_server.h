#pragma once
// The gRPC server that brokers dial: carries the sessions of several clusters to their
// coordinators. gRPC's threads only post; coordinators are called on the executor, and all methods
// here are called there too. A session belongs to the cluster that its first message names; with
// TLS its certificate must carry that cluster's identity.
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "broker/base/status.h"
#include "broker/coordination/coordinator.h"
#include "broker/env/env.h"

namespace sluice_operator::coordinator {

// PEM texts. Client certificates are required and checked against `ca`.
struct ServerTls {
  std::string ca, cert, key;
  bool operator==(const ServerTls&) const = default;
};

struct SessionServerOptions {
  std::string listen;                  // H:P; port 0 takes a free one
  std::unique_ptr<ServerTls> tls;      // absent: plaintext
  size_t queue_bytes_max = 256 << 20;  // a broker that does not read loses its session above it
  int64_t register_ms = 5000;          // a session that does not register is ended
};

class SessionServer : public broker::coordination::Outbox {
 public:
  SessionServer(broker::env::Executor& executor, SessionServerOptions options);
  ~SessionServer() override;

  // kUnavailable when the address is taken.
  broker::Status start();
  int port() const { return port_; }  // once started
  // From the next handshake on; sessions that are open stay so. Only for a server with TLS; any thread.
  void renew(ServerTls tls);
  // Ends every session and returns when gRPC has let go of them.
  void stop();

  // Sessions that register for `cluster` go to `coordinator`, which is built with *this as its
  // outbox. `identity` is a DNS name (or common name) that the brokers' certificates must carry:
  // CLUSTER.NAMESPACE; clusters of the same name are told apart by it. Not looked at without TLS.
  void add_cluster(const std::string& cluster, const std::string& identity,
                   broker::coordination::Coordinator& coordinator);
  // Ends the cluster's sessions; the coordinator is not called again.
  void remove_cluster(const std::string& cluster, const std::string& identity);

  // Outbox
  void send(broker::coordination::SessionId session,
            const sluice::v1::CoordinatorMessage& message) override;
  void close(broker::coordination::SessionId session) override;

 private:
  friend class ServerSession;
  struct Impl;
  std::shared_ptr<Impl> impl_;
  int port_ = 0;
};

}  // namespace sluice_operator::coordinator
