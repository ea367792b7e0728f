#include "broker/server/kinesis/listener.h"

#include <algorithm>
#include <boost/asio/ip/address.hpp>
#include <vector>

#include "broker/base/log.h"
#include "broker/server/kinesis/connection.h"

namespace broker::server::kinesis {
namespace {

constexpr int64_t kAcceptBackoffMs = 100;
constexpr int64_t kSweepMsMax = 1000, kSweepMsMin = 10;
using boost::asio::ip::tcp;

}  // namespace

Listener::Listener(env::AsioExecutor& executor, env::Clock& clock, env::Random& random,
                   Metrics& metrics, SignatureCheck& signatures,
                   protocol::kinesis::Service& service, ListenerOptions options)
    : executor_(executor),
      clock_(clock),
      front_end_(clock, random, metrics, signatures, service),
      options_(std::move(options)),
      acceptor_(executor.context()),
      read_buffer_(std::make_unique_for_overwrite<char[]>(kReadBufferBytes)),
      open_connections_(metrics.gauge("sluice_kinesis_connections", "Open Kinesis connections")),
      accepted_(metrics.counter("sluice_kinesis_connections_accepted_total",
                                "Kinesis connections accepted")),
      bytes_in_(metrics.counter("sluice_kinesis_received_bytes_total",
                                "Bytes read from Kinesis clients")),
      bytes_out_(metrics.counter("sluice_kinesis_sent_bytes_total",
                                 "Bytes written to Kinesis clients")) {
  for (const char* reason : {"client", "error", "broker", "idle", "slow", "memory", "too_many", "tls"}) {
    closed_[reason] = &metrics.counter("sluice_kinesis_connections_closed_total",
                                       "Kinesis connections closed, by reason",
                                       {{"reason", reason}});
  }
}

Listener::~Listener() { stop(); }

Status Listener::start() {
  boost::system::error_code error;
  auto address = boost::asio::ip::make_address(options_.host, error);
  if (error) {
    return Status(Code::kInvalidArgument, "kinesis: '" + options_.host + "' is no address");
  }
  tcp::endpoint endpoint(address, options_.port);
  acceptor_.open(endpoint.protocol(), error);
  if (!error) acceptor_.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error) acceptor_.bind(endpoint, error);
  if (!error) acceptor_.listen(boost::asio::socket_base::max_listen_connections, error);
  if (error) {
    return Status(Code::kUnavailable, "cannot listen for Kinesis on " + options_.host + ":" +
                                          std::to_string(options_.port) + ": " + error.message());
  }
  accept();
  sweep();
  return {};
}

uint16_t Listener::port() const {
  boost::system::error_code error;
  return acceptor_.local_endpoint(error).port();
}

void Listener::accept() {
  acceptor_.async_accept([this](boost::system::error_code error, tcp::socket socket) {
    // After stop() the listener may be gone.
    if (error == boost::asio::error::operation_aborted) return;
    on_accept(error, std::move(socket));
  });
}

void Listener::on_accept(boost::system::error_code error, tcp::socket socket) {
  if (error) {
    // Out of file descriptors, most likely: others must close first.
    log_warn("kinesis", "accept failed", {{"error", error.message()}});
    accept_timer_ = executor_.schedule_after(kAcceptBackoffMs, [this] {
      accept_timer_.reset();
      accept();
    });
    return;
  }
  accepted_.Increment();
  if (connections_.size() >= options_.connections_max) {
    closed_.at("too_many")->Increment();
  } else {
    auto connection = std::make_shared<Connection>(*this, std::move(socket));
    connections_.insert(connection);
    open_connections_.Set(static_cast<double>(connections_.size()));
    connection->start();
  }
  accept();
}

void Listener::reload_certificate() {
  if (!options_.tls) return;
  Status status = options_.tls->reload_if_changed();
  if (!status.ok()) {
    log_error("kinesis", "the new certificate cannot be used; the old one stays",
              {{"error", status.message()}});
  }
}

void Listener::sweep() {
  std::vector<std::pair<std::shared_ptr<Connection>, std::string_view>> overdue;
  int64_t now_ms = clock_.mono_ms();
  for (const auto& connection : connections_) {
    std::string_view why = connection->overdue(now_ms);
    if (!why.empty()) overdue.emplace_back(connection, why);
  }
  for (auto& [connection, why] : overdue) connection->close(why);
  int64_t every_ms = std::clamp(std::min(options_.request_ms, options_.idle_close_ms) / 4,
                                kSweepMsMin, kSweepMsMax);
  sweep_timer_ = executor_.schedule_after(every_ms, [this] { sweep(); });
}

void Listener::on_closed(const std::shared_ptr<Connection>& connection, std::string_view reason) {
  connections_.erase(connection);
  open_connections_.Set(static_cast<double>(connections_.size()));
  if (auto counter = closed_.find(reason); counter != closed_.end()) counter->second->Increment();
  if (drained_ && connections_.empty()) finish_drain();
}

void Listener::add_in_flight(int64_t bytes) {
  in_flight_bytes_ = static_cast<size_t>(static_cast<int64_t>(in_flight_bytes_) + bytes);
  if (!may_read()) {
    paused_ = true;
  } else if (paused_) {
    paused_ = false;
    for (const auto& connection : connections_) connection->resume();
  }
}

void Listener::drain(int64_t timeout_ms, std::function<void()> done) {
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

void Listener::finish_drain() {
  if (drain_timer_) executor_.cancel(*drain_timer_);
  drain_timer_.reset();
  // Not within a connection's call.
  executor_.post(std::exchange(drained_, nullptr));
}

void Listener::stop() {
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

}  // namespace broker::server::kinesis
