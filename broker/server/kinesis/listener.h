#pragma once
// The Kinesis front door: HTTP/1.1 and HTTP/2, with TLS or without. Connections that are idle, slow
// or too many are closed. Made by app. Everything runs on the reactor.
#include <memory>
#include <string>

#include "broker/server/kinesis/front_end.h"
#include "broker/server/socket/client_listener.h"

namespace broker::server::kinesis {

struct ListenerOptions {
  std::shared_ptr<security::TlsContext> tls;  // null: plain
  std::string host = "0.0.0.0";
  uint16_t port = 4567;  // 0: any free one, see port()
  HttpLimits limits;
  size_t connections_max = 20'000;
  size_t connection_requests_max = 128;
  size_t connection_in_flight_bytes_max = 32 << 20;  // requests and answers; then no more is read
  size_t in_flight_bytes_max = 256 << 20;            // of all connections; at twice it they close
  int64_t request_ms = 20'000;  // from a request's first byte to its last, and more for bodies
  int64_t idle_close_ms = 300'000;
};

class Listener : public ClientListener {
 public:
  Listener(env::AsioExecutor& executor, env::Clock& clock, env::Random& random, Metrics& metrics,
           SignatureCheck& signatures, protocol::kinesis::Service& service,
           ListenerOptions options);
  ~Listener() override;

 private:
  friend class Connection;
  std::shared_ptr<ClientConnection> make_connection(boost::asio::ip::tcp::socket socket) override;

  FrontEnd front_end_;
  const ListenerOptions options_;
};

}  // namespace broker::server::kinesis
