#pragma once
// A front door below its protocol: accepts clients, bounds what is in flight of all of them, closes
// those that are overdue, drains. The Kafka and the Kinesis door are this with connections of their
// own (ClientConnection). Everything runs on the reactor's thread.
// Invariant: in_flight_bytes_ is the sum of what the open connections have in flight.
#include <boost/asio/ip/tcp.hpp>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_set>

#include "broker/base/metrics.h"
#include "broker/env/env.h"
#include "broker/env/posix/asio_executor.h"
#include "broker/security/tls.h"

namespace broker::server {

class ClientConnection;

struct ClientListenerOptions {
  std::string door;                           // "kafka": in log lines and errors
  std::string name;                           // the listener's, for the log
  std::shared_ptr<security::TlsContext> tls;  // null: plain
  std::string host;
  uint16_t port = 0;  // 0: any free one, see port()
  size_t connections_max = 0;
  size_t in_flight_bytes_max = 0;    // all connections together; then nobody reads
  int64_t shortest_deadline_ms = 0;  // of what overdue() looks at: four looks within it
  size_t read_buffer_bytes = 0;
};

struct ClientListenerMetrics {
  prometheus::Gauge& open;
  prometheus::Counter& accepted;
  prometheus::Counter& bytes_in;
  prometheus::Counter& bytes_out;
  std::map<std::string, prometheus::Counter*, std::less<>> closed;  // by reason
};

class ClientListener {
 public:
  ClientListener(env::AsioExecutor& executor, env::Clock& clock, ClientListenerOptions options,
                 ClientListenerMetrics metrics);
  // Whoever derives calls stop() in the destructor: connections use the door until they are closed.
  virtual ~ClientListener();
  ClientListener(const ClientListener&) = delete;
  ClientListener& operator=(const ClientListener&) = delete;

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

 protected:
  virtual std::shared_ptr<ClientConnection> make_connection(
      boost::asio::ip::tcp::socket socket) = 0;
  env::Clock& clock() { return clock_; }
  env::AsioExecutor& executor() { return executor_; }
  bool may_read() const { return in_flight_bytes_ < base_.in_flight_bytes_max; }
  bool over_hard_limit() const { return in_flight_bytes_ > 2 * base_.in_flight_bytes_max; }

 private:
  friend class ClientConnection;
  void accept();
  void on_accept(boost::system::error_code error, boost::asio::ip::tcp::socket socket);
  void sweep();
  void finish_drain();
  // From connections.
  void on_closed(const std::shared_ptr<ClientConnection>& connection, std::string_view reason);
  void add_in_flight(int64_t bytes);

  env::AsioExecutor& executor_;
  env::Clock& clock_;
  const ClientListenerOptions base_;
  ClientListenerMetrics metrics_;
  boost::asio::ip::tcp::acceptor acceptor_;
  std::unordered_set<std::shared_ptr<ClientConnection>> connections_;
  // Connections read into this one; what belongs to a request is copied out at once.
  std::unique_ptr<char[]> read_buffer_;
  size_t in_flight_bytes_ = 0;
  bool paused_ = false;  // some connection waits for in_flight_bytes_ to fall
  bool stopped_ = false;
  std::optional<env::TimerId> sweep_timer_, drain_timer_, accept_timer_;
  std::function<void()> drained_;
};

}  // namespace broker::server
