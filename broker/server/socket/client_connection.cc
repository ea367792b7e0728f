#include "broker/server/socket/client_connection.h"

#include <algorithm>
#include <array>
#include <boost/asio/post.hpp>

#include "broker/base/log.h"

namespace broker::server {
namespace {

constexpr int kReadsPerTurn = 4;  // then other connections have theirs
constexpr int kWritesPerTurn = 16;

namespace asio = boost::asio;
using asio::ip::tcp;

}  // namespace

ClientConnection::ClientConnection(ClientListener& listener, tcp::socket socket)
    : socket_(std::move(socket), listener.base_.tls.get()),
      active_ms_(listener.clock_.mono_ms()),
      listener_(listener) {}

void ClientConnection::start() {
  if (socket_.prepare()) return close("error");
  if (socket_.has_tls()) return handshake();
  read_soon();
}

void ClientConnection::handshake() {
  using Handshake = ClientSocket::Handshake;
  switch (socket_.handshake()) {
    case Handshake::kWantRead:
      return wait_to_shake(tcp::socket::wait_read);
    case Handshake::kWantWrite:
      return wait_to_shake(tcp::socket::wait_write);
    case Handshake::kFailed:
      log_warn(listener_.base_.door, "TLS handshake failed",
               {{"client", socket_.peer()}, {"why", socket_.tls_error()}});
      return close("tls");
    case Handshake::kDone:
      shaken_ = true;
      break;
  }
  if (on_handshake()) read();
}

void ClientConnection::wait_to_shake(tcp::socket::wait_type what) {
  socket_.async_wait(what, [self = shared_from_this()](boost::system::error_code error) {
    if (self->closed_) return;
    if (error) return self->close("error");
    self->handshake();
  });
}

void ClientConnection::read_soon() {
  if (reading_ || !may_read()) return;
  reading_ = true;
  if (socket_.has_pending()) {
    // Decrypted already: the socket would not announce it.
    asio::post(listener_.executor_.context(), [self = shared_from_this()] {
      self->reading_ = false;
      if (!self->closed_) self->read();
    });
    return;
  }
  socket_.async_wait(tcp::socket::wait_read,
                     [self = shared_from_this()](boost::system::error_code error) {
                       self->reading_ = false;
                       if (self->closed_) return;
                       if (error) return self->close("error");
                       self->read();
                     });
}

void ClientConnection::read() {
  const size_t buffer_bytes = listener_.base_.read_buffer_bytes;
  for (int reads = 0; reads < kReadsPerTurn && may_read(); ++reads) {
    const std::span<char> own = place();
    char* scratch = listener_.read_buffer_.get();
    const std::array<asio::mutable_buffer, 2> into{asio::mutable_buffer(own.data(), own.size()),
                                                   asio::mutable_buffer(scratch, buffer_bytes)};
    boost::system::error_code error;
    const size_t bytes = socket_.read_some(into, error);
    if (would_block(error)) break;
    if (error) return close(error == asio::error::eof ? "client" : "error");
    listener_.metrics_.bytes_in.Increment(static_cast<double>(bytes));
    const size_t placed = std::min(bytes, own.size());
    on_bytes(placed, {scratch, bytes - placed});
    if (closed_) return;
    // The socket is empty; of TLS's records only their end tells.
    if (!socket_.has_tls() && bytes < own.size() + buffer_bytes) break;
  }
  read_soon();
}

void ClientConnection::write_soon() {
  if (write_posted_ || writing_ || closed_) return;
  write_posted_ = true;
  asio::post(listener_.executor_.context(), [self = shared_from_this()] {
    self->write_posted_ = false;
    if (!self->closed_ && !self->writing_) self->write();
  });
}

void ClientConnection::write() {
  for (int writes = 0; writes < kWritesPerTurn; ++writes) {
    if (out_.empty()) fill_output();
    if (out_.empty()) break;
    boost::system::error_code error;
    const size_t bytes = socket_.write_some(out_, listener_.read_buffer_.get(), error);
    if (would_block(error)) break;
    if (error) return close("error");
    on_written(bytes);
  }
  if (!out_.empty()) {
    writing_ = true;
    socket_.async_wait(tcp::socket::wait_write,
                       [self = shared_from_this()](boost::system::error_code error) {
                         self->writing_ = false;
                         if (self->closed_) return;
                         if (error) return self->close("error");
                         self->write();
                       });
  }
  read_soon();
  if (!closed_ && out_.empty() && is_finished()) close("broker");
}

void ClientConnection::on_written(size_t bytes) {
  active_ms_ = listener_.clock_.mono_ms();
  listener_.metrics_.bytes_out.Increment(static_cast<double>(bytes));
  add_in_flight(-static_cast<int64_t>(bytes));
  while (bytes > 0) {
    Buffer& front = out_.front();
    if (bytes < front.size()) {
      front = front.slice(bytes, front.size() - bytes);
      return;
    }
    bytes -= front.size();
    out_.pop_front();
  }
}

void ClientConnection::add_in_flight(int64_t bytes) {
  in_flight_bytes_ = static_cast<size_t>(static_cast<int64_t>(in_flight_bytes_) + bytes);
  listener_.add_in_flight(bytes);
}

void ClientConnection::close(std::string_view reason) {
  if (closed_) return;
  closed_ = true;
  auto self = shared_from_this();
  socket_.close();
  out_.clear();
  on_close();
  add_in_flight(-static_cast<int64_t>(in_flight_bytes_));
  listener_.on_closed(self, reason);
}

}  // namespace broker::server
