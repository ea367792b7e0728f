#include "broker/server/kafka/connection.h"

#include "broker/base/log.h"
#include "broker/server/kafka/listener.h"

namespace broker::server::kafka {

Connection::Connection(Listener& listener, boost::asio::ip::tcp::socket socket)
    : ClientConnection(listener, std::move(socket)),
      door_(listener),
      frames_(listener.options_.frame_bytes_max),
      opened_ms_(active_ms_) {
  const ListenerOptions& options = listener.options_;
  client_ = std::make_shared<handlers::kafka::Client>();
  client_->listener = options.name;
  client_->tls = options.tls != nullptr;
  client_->authenticated = options.authentication != Authentication::kSasl;
  client_->principal.host = socket_.peer();
}

std::shared_ptr<Connection> Connection::self() {
  return std::static_pointer_cast<Connection>(shared_from_this());
}

void Connection::start() {
  client_->mute = [weak = std::weak_ptr(self())](int64_t ms) {
    if (auto connection = weak.lock()) connection->mute(ms);
  };
  ClientConnection::start();
}

bool Connection::on_handshake() {
  if (door_.options_.authentication != Authentication::kClientCertificate) return true;
  client_->principal.user = socket_.client_name();
  if (!client_->principal.user.empty()) return true;
  log_warn("kafka", "a client's certificate has no common name",
           {{"client", client_->principal.host}});
  close("tls");
  return false;
}

bool Connection::wants_more() const {
  const ListenerOptions& options = door_.options_;
  return !closing_ && !draining_ && !muted() && held_.empty() &&
         in_flight_bytes_ < options.connection_in_flight_bytes_max &&
         slots_.size() < options.connection_in_flight_requests_max && door_.may_read();
}

// Dispatches every frame that is complete. Frames that are here already are all dispatched: what is
// in flight passes its limit by one read at most.
void Connection::on_bytes(size_t placed, std::string_view bytes) {
  frames_.filled(placed);
  for (;;) {
    if (auto frame = frames_.take()) {
      dispatch(std::move(*frame));
      if (is_closed()) return;
      continue;
    }
    if (bytes.empty()) return;
    Status status = frames_.feed(bytes);
    if (!status.ok()) {
      log_warn("kafka", "connection closed", {{"why", status.message()}});
      return close("bad_frame");
    }
  }
}

bool Connection::muted() const {
  return muted_until_ms_ > 0 && door_.clock().mono_ms() < muted_until_ms_;
}

void Connection::mute(int64_t ms) {
  const int64_t until_ms = door_.clock().mono_ms() + ms;
  door_.mutes_.Increment();
  if (until_ms <= muted_until_ms_) return;
  muted_until_ms_ = until_ms;
  if (!unmute_scheduled_) unmute_later(ms);
}

void Connection::unmute_later(int64_t ms) {
  unmute_scheduled_ = true;
  door_.executor().schedule_after(ms, [weak = std::weak_ptr(self())] {
    auto self = weak.lock();
    if (!self || self->is_closed()) return;
    self->unmute_scheduled_ = false;
    const int64_t left_ms = self->muted_until_ms_ - self->door_.clock().mono_ms();
    left_ms > 0 ? self->unmute_later(left_ms) : self->unmute();
  });
}

void Connection::unmute() {
  auto alive = self();
  for (Buffer& frame : std::exchange(held_, {})) {
    add_in_flight(-static_cast<int64_t>(frame.size()));
    dispatch(std::move(frame));  // held again where one of them mutes the connection
    if (is_closed()) return;
  }
  read_soon();
}

void Connection::dispatch(Buffer frame) {
  if (closing_ || draining_) return;
  heard_ = true;
  active_ms_ = door_.clock().mono_ms();
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
  exchange->reply = [self = self(), slot](std::vector<Buffer> pieces) {
    self->answer(slot, std::move(pieces), false);
  };
  exchange->close = [self = self(), slot] { self->answer(slot, {}, true); };
  door_.dispatcher_.dispatch(std::move(exchange));
}

void Connection::answer(const SlotPtr& slot, std::vector<Buffer> pieces, bool closes) {
  if (is_closed() || slot->answered) return;
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

std::string_view Connection::overdue(int64_t now_ms) const {
  const ListenerOptions& options = door_.options_;
  if (!heard_ && now_ms - opened_ms_ > options.first_request_ms) return "no_request";
  bool waits_for_client = slots_.empty() || !out_.empty();
  if (waits_for_client && now_ms - active_ms_ > options.idle_close_ms) return "idle";
  return {};
}

void Connection::on_close() {
  slots_.clear();
  held_.clear();
}

}  // namespace broker::server::kafka
