#pragma once
// The Kinesis front door: HTTP/1.1 and HTTP/2, with TLS or without, on the reactor. Accepts connections and
// closes those that are idle, slow or too many. Made by app. Everything runs on the reactor.
#include <boost/asio/ip/tcp.hpp>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_set>

#include "broker/env/posix/asio_executor.h"
#include "broker/security/tls.h"
#include "broker/server/kinesis/front_end.h"

namespace broker::server::kinesis {

class Connection;

struct ListenerOptions {
  std::shared_ptr<security::TlsContext> tls;  // null: plain
  std::string host = "0.0.0.0";
  uint16_t port = 4567;  // 0: any free one, see port()
  HttpLimits limits;
  size_t connections_max = 20'000;
  size_t connection_requests_max = 128;
  size_t connection_in_flight_bytes_max = 32 << 20;  // requests and answers; then no more is read
  size_t in_flight_bytes_max = 256 << 20;            // of all connections; at twice it they close
  int64_t request_ms = 20'000;     // from a request's first byte to its last, and more for bodies
  int64_t idle_close_ms = 300'000;
};

class Listener {
 public:
  Listener(env::AsioExecutor& executor, env::Clock& clock, env::Random& random, Metrics& metrics,
           SignatureCheck& signatures, protocol::kinesis::Service& service,
           ListenerOptions options);
  ~Listener();

  // kUnavailable with the reason when the address cannot be bound.
  Status start();
  uint16_t port() const;
  size_t connection_count() const { return connections_.size(); }

  // A clean stop: accepts and reads nothing more, answers what is in flight, closes each connection
  // after that, then calls `done`. Whatever is left after `timeout_ms` is closed anyway.
  void drain(int64_t timeout_ms, std::function<void()> done);
  // Looks whether the certificate's files have changed; called now and then.
  void reload_certificate();
  // Ends everything at once.
  void stop();

 private:
  friend class Connection;
  void accept();
  void on_accept(boost::system::error_code error, boost::asio::ip::tcp::socket socket);
  void sweep();
  void finish_drain();
  // From connections.
  void on_closed(const std::shared_ptr<Connection>& connection, std::string_view reason);
  void add_in_flight(int64_t bytes);
  bool may_read() const { return in_flight_bytes_ < options_.in_flight_bytes_max; }
  bool over_hard_limit() const { return in_flight_bytes_ > 2 * options_.in_flight_bytes_max; }

  env::AsioExecutor& executor_;
  env::Clock& clock_;
  FrontEnd front_end_;
  ListenerOptions options_;
  boost::asio::ip::tcp::acceptor acceptor_;
  std::unordered_set<std::shared_ptr<Connection>> connections_;
  // Connections read into this one; what belongs to a request is copied out at once.
  static constexpr size_t kReadBufferBytes = 128 << 10;
  std::unique_ptr<char[]> read_buffer_;
  size_t in_flight_bytes_ = 0;
  bool paused_ = false;  // some connection waits for in_flight_bytes_ to fall
  bool stopped_ = false;
  std::optional<env::TimerId> sweep_timer_, drain_timer_, accept_timer_;
  std::function<void()> drained_;

  prometheus::Gauge& open_connections_;
  prometheus::Counter& accepted_;
  prometheus::Counter& bytes_in_;
  prometheus::Counter& bytes_out_;
  std::map<std::string, prometheus::Counter*, std::less<>> closed_;  // by reason
};

}  // namespace broker::server::kinesis
