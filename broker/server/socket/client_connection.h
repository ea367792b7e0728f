#pragma once
// One client's connection below its protocol: when its socket is read and written, the TLS
// handshake before that, what it has in flight, its end. Derived from by the Kafka and the Kinesis
// door. Owned by the listener and by its own pending operations; reactor only. Invariant: after
// close() no hook of the protocol is called but overdue().
#include <boost/asio/ip/tcp.hpp>
#include <deque>
#include <memory>
#include <span>
#include <string_view>

#include "broker/base/bytes.h"
#include "broker/server/socket/client_listener.h"
#include "broker/server/socket/client_socket.h"

namespace broker::server {

class ClientConnection : public std::enable_shared_from_this<ClientConnection> {
 public:
  ClientConnection(ClientListener& listener, boost::asio::ip::tcp::socket socket);
  virtual ~ClientConnection() = default;
  ClientConnection(const ClientConnection&) = delete;
  ClientConnection& operator=(const ClientConnection&) = delete;

  virtual void start();
  // Reads on, when it had to stop.
  void resume() { read_soon(); }
  // Takes nothing more; closes when all is answered.
  virtual void drain() = 0;
  void close(std::string_view reason);
  // Why it ought to be closed by now; empty: it need not.
  virtual std::string_view overdue(int64_t now_ms) const = 0;

 protected:
  // ---- of the protocol ----
  // The handshake is over; false when it has closed the connection.
  virtual bool on_handshake() { return true; }
  // Whether more may be taken; asked before every read, never of a closed connection.
  virtual bool wants_more() const = 0;
  // Where the next bytes go: a place of its own first (may be empty), then the listener's buffer.
  virtual std::span<char> place() { return {}; }
  // So many bytes are in that place, these are in the buffer. May close the connection.
  virtual void on_bytes(size_t placed, std::string_view bytes) = 0;
  // Nothing is waiting to be written: more of it into out_, where there is some.
  virtual void fill_output() {}
  // All that is to be said has been said.
  virtual bool is_finished() const = 0;
  virtual void on_close() {}

  // ---- for the protocol ----
  void read_soon();
  // One write for all that is answered in this turn.
  void write_soon();
  void add_in_flight(int64_t bytes);
  bool is_closed() const { return closed_; }
  bool is_shaking() const { return socket_.has_tls() && !shaken_; }

  ClientSocket socket_;
  std::deque<Buffer> out_;      // counted as in flight by whoever puts it there
  size_t in_flight_bytes_ = 0;  // requests here, being worked on, and answers unsent
  int64_t active_ms_;           // last whole request or last byte of an answer sent

 private:
  void handshake();
  void wait_to_shake(boost::asio::ip::tcp::socket::wait_type what);
  bool may_read() const { return !closed_ && !is_shaking() && wants_more(); }
  void read();
  void write();
  void on_written(size_t bytes);

  ClientListener& listener_;
  bool reading_ = false, writing_ = false, write_posted_ = false;
  bool shaken_ = false;
  bool closed_ = false;
};

}  // namespace broker::server
