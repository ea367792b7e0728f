#include "broker/server/socket/client_listener.h"

#include <algorithm>
#include <boost/asio/ip/address.hpp>
#include <vector>

#include "broker/base/log.h"
#include "broker/server/socket/client_connection.h"

namespace broker::server {
namespace {

constexpr int64_t kAcceptBackoffMs = 100;
constexpr int64_t kSweepMsMax = 1000, kSweepMsMin = 10;
using boost::asio::ip::tcp;

}  // namespace

ClientListener::ClientListener(env::AsioExecutor& executor, env::Clock& clock,
                               ClientListenerOptions options, ClientListenerMetrics metrics)
    : executor_(executor),
      clock_(clock),
      base_(std::move(options)),
      metrics_(std::move(metrics)),
      acceptor_(executor.context()),
      read_buffer_(std::make_unique_for_overwrite<char[]>(base_.read_buffer_bytes)) {}

ClientListener::~ClientListener() {
  CHECK(stopped_);
}

Status ClientListener::start() {
  boost::system::error_code error;
  auto address = boost::asio::ip::make_address(base_.host, error);
  if (error) {
    return Status(Code::kInvalidArgument, base_.door + ": '" + base_.host + "' is no address");
  }
  tcp::endpoint endpoint(address, base_.port);
  acceptor_.open(endpoint.protocol(), error);
  if (!error) acceptor_.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error) acceptor_.bind(endpoint, error);
  if (!error) acceptor_.listen(boost::asio::socket_base::max_listen_connections, error);
  if (error) {
    return Status(Code::kUnavailable, base_.door + ": cannot listen on " + base_.host + ":" +
                                          std::to_string(base_.port) + ": " + error.message());
  }
  accept();
  sweep();
  return {};
}

uint16_t ClientListener::port() const {
  boost::system::error_code error;
  return acceptor_.local_endpoint(error).port();
}

void ClientListener::accept() {
  acceptor_.async_accept([this](boost::system::error_code error, tcp::socket socket) {
    // After stop() the listener may be gone.
    if (error == boost::asio::error::operation_aborted) return;
    on_accept(error, std::move(socket));
  });
}

void ClientListener::on_accept(boost::system::error_code error, tcp::socket socket) {
  if (error) {
    // Out of file descriptors, most likely: others must close first.
    log_warn(base_.door, "accept failed", {{"error", error.message()}});
    accept_timer_ = executor_.schedule_after(kAcceptBackoffMs, [this] {
      accept_timer_.reset();
      accept();
    });
    return;
  }
  metrics_.accepted.Increment();
  if (connections_.size() >= base_.connections_max) {
    metrics_.closed.at("too_many")->Increment();
  } else {
    auto connection = make_connection(std::move(socket));
    connections_.insert(connection);
    metrics_.open.Set(static_cast<double>(connections_.size()));
    connection->start();
  }
  accept();
}

void ClientListener::reload_certificate() {
  if (!base_.tls) return;
  Status status = base_.tls->reload_if_changed();
  if (!status.ok()) {
    log_error(base_.door, "the new certificate cannot be used; the old one stays",
              {{"listener", base_.name}, {"error", status.message()}});
  }
}

void ClientListener::sweep() {
  std::vector<std::pair<std::shared_ptr<ClientConnection>, std::string_view>> overdue;
  int64_t now_ms = clock_.mono_ms();
  for (const auto& connection : connections_) {
    std::string_view why = connection->overdue(now_ms);
    if (!why.empty()) overdue.emplace_back(connection, why);
  }
  for (auto& [connection, why] : overdue) connection->close(why);
  int64_t every_ms = std::clamp(base_.shortest_deadline_ms / 4, kSweepMsMin, kSweepMsMax);
  sweep_timer_ = executor_.schedule_after(every_ms, [this] { sweep(); });
}

void ClientListener::on_closed(const std::shared_ptr<ClientConnection>& connection,
                               std::string_view reason) {
  connections_.erase(connection);
  metrics_.open.Set(static_cast<double>(connections_.size()));
  auto counter = metrics_.closed.find(reason);
  if (counter != metrics_.closed.end()) counter->second->Increment();
  if (drained_ && connections_.empty()) finish_drain();
}

void ClientListener::add_in_flight(int64_t bytes) {
  in_flight_bytes_ = static_cast<size_t>(static_cast<int64_t>(in_flight_bytes_) + bytes);
  if (!may_read()) {
    paused_ = true;
  } else if (paused_) {
    paused_ = false;
    for (const auto& connection : connections_) connection->resume();
  }
}

void ClientListener::drain(int64_t timeout_ms, std::function<void()> done) {
  boost::system::error_code ignored;
  acceptor_.close(ignored);
  drained_ = std::move(done);
  drain_timer_ = executor_.schedule_after(timeout_ms, [this] {
    drain_timer_.reset();
    stop();
  });
  auto all = std::vector(connections_.begin(), connections_.end());
  for (const auto& connection : all) connection->drain();
  if (connections_.empty() && drained_) finish_drain();
}

void ClientListener::finish_drain() {
  if (drain_timer_) executor_.cancel(*drain_timer_);
  drain_timer_.reset();
  // Not within a connection's call.
  executor_.post(std::exchange(drained_, nullptr));
}

void ClientListener::stop() {
  if (stopped_) return;
  stopped_ = true;
  boost::system::error_code ignored;
  acceptor_.close(ignored);
  for (auto* timer : {&sweep_timer_, &drain_timer_, &accept_timer_}) {
    if (*timer) executor_.cancel(**timer);
    timer->reset();
  }
  auto all = std::vector(connections_.begin(), connections_.end());
  for (const auto& connection : all) connection->close("broker");
}

}  // namespace broker::server
