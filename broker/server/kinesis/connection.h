#pragma once
// One client's connection: its socket, and the HTTP session on it. Reading stops while too much is
// in flight. Owned by the listener and by its own pending operations; reactor only.
#include <boost/asio/ip/tcp.hpp>
#include <deque>
#include <memory>

#include "broker/server/kinesis/http_session.h"
#include "broker/server/socket/client_socket.h"

namespace broker::server::kinesis {

class Listener;

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(Listener& listener, boost::asio::ip::tcp::socket socket);

  void start();
  // Reads on, when it had to stop.
  void resume() { read_soon(); }
  // Takes nothing more; closes when all is answered.
  void drain();
  void close(std::string_view reason);
  // Why it ought to be closed by now; empty: it need not.
  std::string_view overdue(int64_t now_ms) const;

 private:
  void handshake();
  void wait_to_shake(boost::asio::ip::tcp::socket::wait_type what);
  bool may_read() const;
  void read_soon();
  void read();
  void feed(std::string_view bytes);
  bool choose_version(std::string_view& bytes);
  void take_requests();
  void answer(ExchangeId id, size_t request_bytes, HttpResponse response);
  void write_soon();
  void write();
  void on_written(size_t bytes);
  void settle();
  void close_if_done();
  void add_in_flight(int64_t bytes);

  Listener& listener_;
  ClientSocket socket_;
  std::string first_bytes_;               // until they tell HTTP/1.1 from HTTP/2
  std::unique_ptr<HttpSession> session_;  // none until then
  std::deque<Buffer> out_;
  size_t out_bytes_ = 0;
  size_t held_bytes_ = 0;       // of the session, as last counted
  size_t in_flight_bytes_ = 0;  // held, being worked on, and unsent
  bool reading_ = false, writing_ = false, write_posted_ = false;
  bool shaken_ = false;  // TLS's handshake is over
  bool closed_ = false;
  int64_t active_ms_;        // last whole request or last byte of an answer sent
  int64_t request_began_ms_; // of the request that is here in part
};

}  // namespace broker::server::kinesis
