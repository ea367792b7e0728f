#include "broker/server/kafka/connection.h"

#include <algorithm>
#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/post.hpp>
#include <cstring>
#include <span>

#include "broker/base/log.h"
#include "broker/server/kafka/listener.h"

namespace broker::server::kafka {
namespace {

constexpr int kReadsPerTurn = 4;  // then other connections have theirs
constexpr int kWritesPerTurn = 16;
namespace asio = boost::asio;
using asio::ip::tcp;

}  // namespace

Connection::Connection(Listener& listener, tcp::socket socket)
    : listener_(listener),
      socket_(std::move(socket), listener.options_.tls.get()),
      frames_(listener.options_.frame_bytes_max),
      opened_ms_(listener.clock_.mono_ms()),
      active_ms_(opened_ms_) {
  const ListenerOptions& options = listener.options_;
  client_ = std::make_shared<handlers::kafka::Client>();
  client_->listener = options.name;
  client_->tls = options.tls != nullptr;
  client_->authenticated = options.authentication != Authentication::kSasl;
  client_->principal.host = socket_.peer();
}

void Connection::start() {
  client_->mute = [self = weak_from_this()](int64_t ms) {
    if (auto connection = self.lock()) connection->mute(ms);
  };
  if (socket_.prepare()) return close("error");
  if (socket_.has_tls()) return handshake();
  read_soon();
}

void Connection::wait(tcp::socket::wait_type what, void (Connection::*then)()) {
  socket_.async_wait(what, [self = shared_from_this(), then](boost::system::error_code error) {
    if (self->closed_) return;
    if (error) return self->close("error");
    (self.get()->*then)();
  });
}

void Connection::handshake() {
  using Handshake = ClientSocket::Handshake;
  switch (socket_.handshake()) {
    case Handshake::kWantRead:
      return wait(tcp::socket::wait_read, &Connection::handshake);
    case Handshake::kWantWrite:
      return wait(tcp::socket::wait_write, &Connection::handshake);
    case Handshake::kFailed:
      log_warn("kafka", "TLS handshake failed",
               {{"client", client_->principal.host}, {"why", socket_.tls_error()}});
      return close("tls");
    case Handshake::kDone:
      break;
  }
  if (listener_.options_.authentication == Authentication::kClientCertificate) {
    client_->principal.user = socket_.client_name();
    if (client_->principal.user.empty()) {
      log_warn("kafka", "a client's certificate has no common name",
               {{"client", client_->principal.host}});
      return close("tls");
    }
  }
  read();
}

bool Connection::may_read() const {
  const ListenerOptions& options = listener_.options_;
  return !closed_ && !closing_ && !draining_ && !muted() && held_.empty() &&
         in_flight_bytes_ < options.connection_in_flight_bytes_max &&
         slots_.size() < options.connection_in_flight_requests_max && listener_.may_read();
}

void Connection::resume() {
  read_soon();
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
                       if (error || self->closed_) return self->close("error");
                       self->read();
                     });
}

void Connection::read() {
  for (int reads = 0; reads < kReadsPerTurn && may_read(); ++reads) {
    FrameReader::Space space = frames_.space();
    char* scratch = listener_.read_buffer_.get();
    std::array<asio::mutable_buffer, 2> into{
        asio::mutable_buffer(space.data, space.size),
        asio::mutable_buffer(scratch, Listener::kReadBufferBytes)};
    boost::system::error_code error;
    size_t bytes = socket_.read_some(into, error);
    if (would_block(error)) break;
    if (error) return close(error == asio::error::eof ? "client" : "error");
    listener_.bytes_in_.Increment(static_cast<double>(bytes));
    size_t direct = std::min(bytes, space.size);
    frames_.filled(direct);
    if (!take_frames({scratch, bytes - direct})) return;
    // The socket is empty; of TLS's records only their end tells.
    if (!socket_.has_tls() && bytes < space.size + Listener::kReadBufferBytes) break;
  }
  read_soon();
}

// Dispatches every frame that is complete; false when the connection has been closed. Frames that
// are here already are all dispatched: what is in flight passes its limit by one read at most.
bool Connection::take_frames(std::string_view bytes) {
  for (;;) {
    if (auto frame = frames_.take()) {
      dispatch(std::move(*frame));
      if (closed_) return false;
      continue;
    }
    if (bytes.empty()) return true;
    Status status = frames_.feed(bytes);
    if (!status.ok()) {
      log_warn("kafka", "connection closed", {{"why", status.message()}});
      close("bad_frame");
      return false;
    }
  }
}

bool Connection::muted() const {
  return muted_until_ms_ > 0 && listener_.clock_.mono_ms() < muted_until_ms_;
}

void Connection::mute(int64_t ms) {
  const int64_t until_ms = listener_.clock_.mono_ms() + ms;
  listener_.mutes_.Increment();
  if (until_ms <= muted_until_ms_) return;
  muted_until_ms_ = until_ms;
  if (!unmute_scheduled_) unmute_later(ms);
}

void Connection::unmute_later(int64_t ms) {
  unmute_scheduled_ = true;
  listener_.executor_.schedule_after(ms, [weak = weak_from_this()] {
    auto self = weak.lock();
    if (!self || self->closed_) return;
    self->unmute_scheduled_ = false;
    const int64_t left_ms = self->muted_until_ms_ - self->listener_.clock_.mono_ms();
    left_ms > 0 ? self->unmute_later(left_ms) : self->unmute();
  });
}

void Connection::unmute() {
  auto self = shared_from_this();
  for (Buffer& frame : std::exchange(held_, {})) {
    add_in_flight(-static_cast<int64_t>(frame.size()));
    dispatch(std::move(frame));  // held again where one of them mutes the connection
    if (closed_) return;
  }
  read_soon();
}

void Connection::dispatch(Buffer frame) {
  if (closing_ || draining_) return;
  heard_ = true;
  active_ms_ = listener_.clock_.mono_ms();
  if (muted()) {
    add_in_flight(static_cast<int64_t>(frame.size()));
    held_.push_back(std::move(frame));
    return;
  }
  auto slot = std::make_shared<Slot>();
  slot->request_bytes = frame.size();
  add_in_flight(static_cast<int64_t>(frame.size()));
  slots_.push_back(slot);
  auto exchange = std::make_shared<handlers::kafka::Exchange>();
  exchange->frame = std::move(frame);
  exchange->client = client_;
  exchange->reply = [self = shared_from_this(), slot](std::vector<Buffer> pieces) {
    self->answer(slot, std::move(pieces), false);
  };
  exchange->close = [self = shared_from_this(), slot] { self->answer(slot, {}, true); };
  listener_.dispatcher_.dispatch(std::move(exchange));
}

void Connection::answer(const SlotPtr& slot, std::vector<Buffer> pieces, bool closes) {
  if (closed_ || slot->answered) return;
  int64_t bytes = 0;
  for (const Buffer& piece : pieces) bytes += static_cast<int64_t>(piece.size());
  add_in_flight(bytes - static_cast<int64_t>(slot->request_bytes));
  slot->answered = true;
  slot->closes = closes;
  slot->answer = std::move(pieces);
  if (slot == slots_.front()) queue_answers();
}

void Connection::queue_answers() {
  while (!slots_.empty() && slots_.front()->answered && !closing_) {
    SlotPtr slot = std::move(slots_.front());
    slots_.pop_front();
    if (slot->closes) closing_ = true;
    for (Buffer& piece : slot->answer) {
      if (!piece.empty()) out_.push_back(std::move(piece));
    }
  }
  write_soon();
}

// One write for all that is answered in this turn.
void Connection::write_soon() {
  if (write_posted_ || writing_) return;
  write_posted_ = true;
  asio::post(listener_.executor_.context(), [self = shared_from_this()] {
    self->write_posted_ = false;
    if (!self->closed_ && !self->writing_) self->write();
  });
}

void Connection::write() {
  for (int writes = 0; writes < kWritesPerTurn && !out_.empty(); ++writes) {
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
                         if (error || self->closed_) return self->close("error");
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
  if (closing_ && out_.empty()) close("broker");
}

void Connection::drain() {
  for (const Buffer& frame : std::exchange(held_, {})) {
    add_in_flight(-static_cast<int64_t>(frame.size()));
  }
  if (slots_.empty() && out_.empty()) return close("broker");
  if (slots_.empty()) {
    closing_ = true;
    return;
  }
  // The last request's turn ends the connection, answered as usual.
  draining_ = true;
  slots_.push_back(std::make_shared<Slot>(Slot{0, true, true, {}}));
}

void Connection::add_in_flight(int64_t bytes) {
  in_flight_bytes_ = static_cast<size_t>(static_cast<int64_t>(in_flight_bytes_) + bytes);
  listener_.add_in_flight(bytes);
}

std::string_view Connection::overdue(int64_t now_ms) const {
  const ListenerOptions& options = listener_.options_;
  if (!heard_ && now_ms - opened_ms_ > options.first_request_ms) return "no_request";
  bool waits_for_client = slots_.empty() || !out_.empty();
  if (waits_for_client && now_ms - active_ms_ > options.idle_close_ms) return "idle";
  return {};
}

void Connection::close(std::string_view reason) {
  if (closed_) return;
  closed_ = true;
  auto self = shared_from_this();
  socket_.close();
  slots_.clear();
  held_.clear();
  out_.clear();
  add_in_flight(-static_cast<int64_t>(in_flight_bytes_));
  listener_.on_closed(self, reason);
}

}  // namespace broker::server::kafka
