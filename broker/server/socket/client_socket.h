#pragma once
// A client's connection below its protocol: a non-blocking socket, with TLS on it where the listener
// has a certificate. Used by the connections of the Kafka and the Kinesis doors, on the reactor.
// Invariant: nothing is read or written before the handshake is over; whoever waits for a readable
// socket looks at has_pending() first.
#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <deque>
#include <memory>
#include <span>
#include <string>

#include "broker/base/bytes.h"
#include "broker/security/tls.h"

namespace broker::server {

// No bytes now; not a failure.
bool would_block(const boost::system::error_code& error);

class ClientSocket {
 public:
  using Wait = boost::asio::ip::tcp::socket::wait_type;
  // `tls`: null without.
  ClientSocket(boost::asio::ip::tcp::socket socket, const security::TlsContext* tls);

  // Non-blocking, no delay, keep-alive.
  boost::system::error_code prepare();
  // The client's address; empty when it has gone.
  const std::string& peer() const { return peer_; }
  bool has_tls() const { return tls_ != nullptr; }

  enum class Handshake { kDone, kWantRead, kWantWrite, kFailed };
  // kDone at once without TLS; the reason of a failure is in tls_error().
  Handshake handshake();
  const std::string& tls_error() const { return tls_->error(); }
  // Common name of the client's verified certificate; empty without one.
  std::string client_name() const { return tls_ ? tls_->client_name() : std::string(); }
  // Bytes are here already, decrypted: the socket will not announce them.
  bool has_pending() const { return tls_ && tls_->has_pending(); }

  // Into the buffers in turn, with TLS into the first that has room. The number of bytes; would_block.
  size_t read_some(std::span<const boost::asio::mutable_buffer> into,
                   boost::system::error_code& error);
  // From the front of `out`, which has something. `scratch` has room for a TLS record of 16 KiB.
  size_t write_some(const std::deque<Buffer>& out, char* scratch, boost::system::error_code& error);
  template <class F>
  void async_wait(Wait what, F&& then) {
    socket_.async_wait(what, std::forward<F>(then));
  }
  void close();

 private:
  boost::asio::ip::tcp::socket socket_;
  std::unique_ptr<security::TlsSession> tls_;
  std::string peer_;
};

}  // namespace broker::server
