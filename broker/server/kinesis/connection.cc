#include "broker/server/kinesis/connection.h"

#include <boost/asio/post.hpp>

#include "broker/base/log.h"
#include "broker/server/kinesis/listener.h"

namespace broker::server::kinesis {
namespace {

constexpr int kReadsPerTurn = 4;  // then other connections have theirs
constexpr int kWritesPerTurn = 16;
// A body may come this slowly, after the time that every request has.
constexpr int64_t kBytesPerSecondMin = 64 << 10;

namespace asio = boost::asio;
using asio::ip::tcp;

}  // namespace

Connection::Connection(Listener& listener, tcp::socket socket)
    : listener_(listener),
      socket_(std::move(socket), listener.options_.tls.get()),
      active_ms_(listener.clock_.mono_ms()),
      request_began_ms_(active_ms_) {}

void Connection::start() {
  if (socket_.prepare()) return close("error");
  if (socket_.has_tls()) return handshake();
  read_soon();
}

void Connection::handshake() {
  using Handshake = ClientSocket::Handshake;
  switch (socket_.handshake()) {
    case Handshake::kWantRead:
      return wait_to_shake(tcp::socket::wait_read);
    case Handshake::kWantWrite:
      return wait_to_shake(tcp::socket::wait_write);
    case Handshake::kFailed:
      log_warn("kinesis", "TLS handshake failed",
               {{"client", socket_.peer()}, {"why", socket_.tls_error()}});
      return close("tls");
    case Handshake::kDone:
      shaken_ = true;
      break;
  }
  read();
}

void Connection::wait_to_shake(tcp::socket::wait_type what) {
  socket_.async_wait(what, [self = shared_from_this()](boost::system::error_code error) {
    if (self->closed_) return;
    if (error) return self->close("error");
    self->handshake();
  });
}

// A body that has begun may go on while the others' requests fill the memory: it cannot be used
// before it is whole.
bool Connection::may_read() const {
  const ListenerOptions& options = listener_.options_;
  if (closed_ || (socket_.has_tls() && !shaken_)) return false;
  if (session_ && session_->open_count() >= options.connection_requests_max) return false;
  if (session_ && session_->within_body()) return true;
  return in_flight_bytes_ < options.connection_in_flight_bytes_max && listener_.may_read();
}

void Connection::read_soon() {
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

void Connection::read() {
  for (int reads = 0; reads < kReadsPerTurn && may_read(); ++reads) {
    boost::system::error_code error;
    char* scratch = listener_.read_buffer_.get();
    const asio::mutable_buffer into(scratch, Listener::kReadBufferBytes);
    size_t bytes = socket_.read_some(std::span(&into, 1), error);
    if (would_block(error)) break;
    if (error) return close(error == asio::error::eof ? "client" : "error");
    listener_.bytes_in_.Increment(static_cast<double>(bytes));
    feed({scratch, bytes});
    if (closed_) return;
    // The socket is empty; of TLS's records only their end tells.
    if (!socket_.has_tls() && bytes < Listener::kReadBufferBytes) break;
  }
  read_soon();
}

void Connection::feed(std::string_view bytes) {
  const bool within = !first_bytes_.empty() || (session_ && session_->within_request());
  if (!within) request_began_ms_ = listener_.clock_.mono_ms();
  if (!session_ && !choose_version(bytes)) return;
  session_->feed(bytes);
  take_requests();
  if (closed_) return;
  settle();
  if (in_flight_bytes_ > 0 && listener_.over_hard_limit()) return close("memory");
  write_soon();  // an HTTP/2 session has things to say at any time
}

// False: too few bytes to know.
bool Connection::choose_version(std::string_view& bytes) {
  if (first_bytes_.empty() && bytes[0] != kHttp2Preface[0]) {
    session_ = make_http1_session(listener_.options_.limits);
    return true;
  }
  first_bytes_ += bytes;
  const size_t known = std::min(first_bytes_.size(), kHttp2Preface.size());
  const bool http2 = std::string_view(first_bytes_).substr(0, known) ==
                     kHttp2Preface.substr(0, known);
  if (http2 && known < kHttp2Preface.size()) return false;
  session_ = http2 ? make_http2_session(listener_.options_.limits)
                   : make_http1_session(listener_.options_.limits);
  session_->feed(first_bytes_);
  first_bytes_.clear();
  bytes = {};
  return true;
}

void Connection::take_requests() {
  while (auto next = session_->take()) {
    auto& [id, request] = *next;
    active_ms_ = request_began_ms_ = listener_.clock_.mono_ms();
    request.peer = socket_.peer();
    size_t bytes = request.body.size();
    add_in_flight(static_cast<int64_t>(bytes));
    listener_.front_end_.handle(
        std::move(request), [self = shared_from_this(), id = id, bytes](HttpResponse response) {
          self->answer(id, bytes, std::move(response));
        });
    if (closed_) return;
  }
}

void Connection::answer(ExchangeId id, size_t request_bytes, HttpResponse response) {
  if (closed_) return;
  add_in_flight(-static_cast<int64_t>(request_bytes));
  session_->respond(id, std::move(response));
  write_soon();
}

// Counts what the session holds.
void Connection::settle() {
  size_t held = session_->held_bytes();
  add_in_flight(static_cast<int64_t>(held) - static_cast<int64_t>(held_bytes_));
  held_bytes_ = held;
}

// One write for all that is answered in this turn.
void Connection::write_soon() {
  if (write_posted_ || writing_ || closed_) return;
  write_posted_ = true;
  asio::post(listener_.executor_.context(), [self = shared_from_this()] {
    self->write_posted_ = false;
    if (!self->closed_ && !self->writing_) self->write();
  });
}

void Connection::write() {
  for (int writes = 0; writes < kWritesPerTurn; ++writes) {
    if (out_.empty()) {
      session_->output(out_);
      for (const Buffer& piece : out_) out_bytes_ += piece.size();
      add_in_flight(static_cast<int64_t>(out_bytes_));
    }
    if (out_.empty()) break;
    boost::system::error_code error;
    size_t bytes = socket_.write_some(out_, listener_.read_buffer_.get(), error);
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
  close_if_done();
}

void Connection::on_written(size_t bytes) {
  active_ms_ = listener_.clock_.mono_ms();
  listener_.bytes_out_.Increment(static_cast<double>(bytes));
  add_in_flight(-static_cast<int64_t>(bytes));
  out_bytes_ -= bytes;
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

void Connection::close_if_done() {
  if (!closed_ && out_.empty() && session_->finished()) close("broker");
}

void Connection::drain() {
  if (!session_) return close("broker");
  session_->drain();
  write_soon();  // closes when nothing is left to be said
}

void Connection::add_in_flight(int64_t bytes) {
  in_flight_bytes_ = static_cast<size_t>(static_cast<int64_t>(in_flight_bytes_) + bytes);
  listener_.add_in_flight(bytes);
}

std::string_view Connection::overdue(int64_t now_ms) const {
  const ListenerOptions& options = listener_.options_;
  const bool shaking = socket_.has_tls() && !shaken_;
  const bool within = shaking || !first_bytes_.empty() || (session_ && session_->within_request());
  if (within) {
    int64_t bytes = static_cast<int64_t>(session_ ? session_->held_bytes() : 0);
    int64_t allowed_ms = options.request_ms + bytes * 1000 / kBytesPerSecondMin;
    return now_ms - request_began_ms_ > allowed_ms ? "slow" : "";
  }
  const bool waits_for_client = !session_ || session_->open_count() == 0 || !out_.empty();
  if (waits_for_client && now_ms - active_ms_ > options.idle_close_ms) return "idle";
  return {};
}

void Connection::close(std::string_view reason) {
  if (closed_) return;
  closed_ = true;
  auto self = shared_from_this();
  socket_.close();
  out_.clear();
  add_in_flight(-static_cast<int64_t>(in_flight_bytes_));
  listener_.on_closed(self, reason);
}

}  // namespace broker::server::kinesis
