#pragma once
// The Kafka front door: connections that are idle, late with their first request, or too many are
// closed. Made by app. Everything runs on the reactor's thread.
#include <memory>
#include <string>

#include "broker/handlers/kafka/dispatch.h"
#include "broker/server/socket/client_listener.h"

namespace broker::server::kafka {

enum class Authentication {
  kNone,
  kSasl,               // SCRAM, and PLAIN under TLS
  kClientCertificate,  // the name in a certificate that the TLS context's client CA has signed
};

struct ListenerOptions {
  std::string name;                           // as brokers register it; empty: the first
  std::shared_ptr<security::TlsContext> tls;  // null: plain
  Authentication authentication = Authentication::kNone;
  std::string host = "0.0.0.0";
  uint16_t port = 9092;  // 0: any free one, see port()
  size_t frame_bytes_max = 100 << 20;
  size_t connections_max = 10'000;
  size_t connection_in_flight_bytes_max = 32 << 20;  // requests and answers; then no more is read
  size_t connection_in_flight_requests_max = 128;
  size_t in_flight_bytes_max = 256 << 20;  // all connections together
  int64_t first_request_ms = 30'000;
  int64_t idle_close_ms = 600'000;
};

class Listener : public ClientListener {
 public:
  Listener(env::AsioExecutor& executor, env::Clock& clock, Metrics& metrics,
           handlers::kafka::Dispatcher& dispatcher, ListenerOptions options);
  ~Listener() override;

 private:
  friend class Connection;
  std::shared_ptr<ClientConnection> make_connection(boost::asio::ip::tcp::socket socket) override;

  handlers::kafka::Dispatcher& dispatcher_;
  const ListenerOptions options_;
  prometheus::Counter& mutes_;
};

}  // namespace broker::server::kafka
