#pragma once
// TLS of a gRPC server whose certificate, key and authority can be replaced while it serves: every
// handshake asks for what is there at that moment. Used by the session server. Thread-safe.
#include <grpcpp/security/server_credentials.h>

#include <memory>
#include <string>

#include "operator/coordinator/session_server.h"

namespace sluice_operator::coordinator {

class TlsSource {
 public:
  explicit TlsSource(ServerTls tls);
  ~TlsSource();
  void renew(ServerTls tls);
  struct State;
  State& state() { return *state_; }

 private:
  std::unique_ptr<State> state_;
};

// Clients must show a certificate of the source's authority. `source` outlives the server.
std::shared_ptr<grpc::ServerCredentials> renewable_credentials(TlsSource& source);

}  // namespace sluice_operator::coordinator
