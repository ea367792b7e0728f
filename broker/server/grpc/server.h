#pragma once
// The native API's server: gRPC's threads take calls and post them to the reactor, where
// handlers/grpc works; answers go straight back. With health checking and reflection. Built by app.
#include <functional>
#include <memory>
#include <string>

#include "broker/handlers/grpc/handlers.h"
#include "broker/quotas/client_quotas.h"
#include "broker/security/authorizer.h"

namespace broker::server::grpc {

struct ServerOptions {
  std::string host = "0.0.0.0";
  uint16_t port = 9090;  // 0: any free one, see port()
  // TLS when a certificate is given (PEM files, read again when they change). Clients may show a
  // certificate of `client_ca`, and must when it is required.
  std::string tls_cert, tls_key, client_ca;
  bool client_certificate_required = false;
  const security::Authorizer* authorizer = nullptr;  // null: everybody may do everything
  quotas::ClientQuotas* quotas = nullptr;            // null: as much as they like
  int message_bytes_max = 32 << 20;
  size_t publish_bytes_max = 16 << 20;  // unanswered on one Publish stream; then it is not read
};

class Server {
 public:
  Server(handlers::grpc::Handlers& handlers, env::Executor& executor, env::Clock& clock,
         Metrics& metrics, ServerOptions options);
  ~Server();
  // kUnavailable when the address cannot be bound.
  Status start();
  uint16_t port() const;
  // Ends open streams with UNAVAILABLE, lets unary calls finish for `timeout_ms`, then `done` on the
  // reactor. Waits on `io`.
  void stop(env::IoQueue& io, int64_t timeout_ms, std::function<void()> done);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace broker::server::grpc
