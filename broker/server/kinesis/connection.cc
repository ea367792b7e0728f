#include "broker/server/kinesis/connection.h"

#include <algorithm>

#include "broker/server/kinesis/listener.h"

namespace broker::server::kinesis {
namespace {

// A body may come this slowly, after the time that every request has.
constexpr int64_t kBytesPerSecondMin = 64 << 10;

}  // namespace

Connection::Connection(Listener& listener, boost::asio::ip::tcp::socket socket)
    : ClientConnection(listener, std::move(socket)),
      door_(listener),
      request_began_ms_(active_ms_) {}

// A body that has begun may go on while the others' requests fill the memory: it cannot be used
// before it is whole.
bool Connection::wants_more() const {
  const ListenerOptions& options = door_.options_;
  if (session_ && session_->open_count() >= options.connection_requests_max) return false;
  if (session_ && session_->within_body()) return true;
  return in_flight_bytes_ < options.connection_in_flight_bytes_max && door_.may_read();
}

void Connection::on_bytes(size_t, std::string_view bytes) {
  const bool within = !first_bytes_.empty() || (session_ && session_->within_request());
  if (!within) request_began_ms_ = door_.clock().mono_ms();
  if (!session_ && !choose_version(bytes)) return;
  session_->feed(bytes);
  take_requests();
  if (is_closed()) return;
  settle();
  if (in_flight_bytes_ > 0 && door_.over_hard_limit()) return close("memory");
  write_soon();  // an HTTP/2 session has things to say at any time
}

// False: too few bytes to know.
bool Connection::choose_version(std::string_view& bytes) {
  if (first_bytes_.empty() && bytes[0] != kHttp2Preface[0]) {
    session_ = make_http1_session(door_.options_.limits);
    return true;
  }
  first_bytes_ += bytes;
  const size_t known = std::min(first_bytes_.size(), kHttp2Preface.size());
  const bool http2 =
      std::string_view(first_bytes_).substr(0, known) == kHttp2Preface.substr(0, known);
  if (http2 && known < kHttp2Preface.size()) return false;
  session_ =
      http2 ? make_http2_session(door_.options_.limits) : make_http1_session(door_.options_.limits);
  session_->feed(first_bytes_);
  first_bytes_.clear();
  bytes = {};
  return true;
}

void Connection::take_requests() {
  while (auto next = session_->take()) {
    auto& [id, request] = *next;
    active_ms_ = request_began_ms_ = door_.clock().mono_ms();
    request.peer = socket_.peer();
    size_t bytes = request.body.size();
    add_in_flight(static_cast<int64_t>(bytes));
    door_.front_end_.handle(
        std::move(request),
        [self = std::static_pointer_cast<Connection>(shared_from_this()), id = id,
         bytes](HttpResponse response) { self->answer(id, bytes, std::move(response)); });
    if (is_closed()) return;
  }
}

void Connection::answer(ExchangeId id, size_t request_bytes, HttpResponse response) {
  if (is_closed()) return;
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

void Connection::fill_output() {
  session_->output(out_);
  int64_t bytes = 0;
  for (const Buffer& piece : out_) bytes += static_cast<int64_t>(piece.size());
  add_in_flight(bytes);
}

void Connection::drain() {
  if (!session_) return close("broker");
  session_->drain();
  write_soon();  // closes when nothing is left to be said
}

std::string_view Connection::overdue(int64_t now_ms) const {
  const ListenerOptions& options = door_.options_;
  const bool within =
      is_shaking() || !first_bytes_.empty() || (session_ && session_->within_request());
  if (within) {
    int64_t bytes = static_cast<int64_t>(session_ ? session_->held_bytes() : 0);
    int64_t allowed_ms = options.request_ms + bytes * 1000 / kBytesPerSecondMin;
    return now_ms - request_began_ms_ > allowed_ms ? "slow" : "";
  }
  const bool waits_for_client = !session_ || session_->open_count() == 0 || !out_.empty();
  if (waits_for_client && now_ms - active_ms_ > options.idle_close_ms) return "idle";
  return {};
}

}  // namespace broker::server::kinesis
