#include "broker/server/kinesis/listener.h"

#include <algorithm>

#include "broker/server/kinesis/connection.h"

namespace broker::server::kinesis {
namespace {

constexpr size_t kReadBufferBytes = 128 << 10;

ClientListenerOptions base_of(const ListenerOptions& options) {
  return {.door = "kinesis",
          .name = "",
          .tls = options.tls,
          .host = options.host,
          .port = options.port,
          .connections_max = options.connections_max,
          .in_flight_bytes_max = options.in_flight_bytes_max,
          .shortest_deadline_ms = std::min(options.request_ms, options.idle_close_ms),
          .read_buffer_bytes = kReadBufferBytes};
}

ClientListenerMetrics metrics_of(Metrics& metrics) {
  ClientListenerMetrics out{
      metrics.gauge("sluice_kinesis_connections", "Open Kinesis connections"),
      metrics.counter("sluice_kinesis_connections_accepted_total", "Kinesis connections accepted"),
      metrics.counter("sluice_kinesis_received_bytes_total", "Bytes read from Kinesis clients"),
      metrics.counter("sluice_kinesis_sent_bytes_total", "Bytes written to Kinesis clients"),
      {}};
  for (const char* reason :
       {"client", "error", "broker", "idle", "slow", "memory", "too_many", "tls"}) {
    out.closed[reason] =
        &metrics.counter("sluice_kinesis_connections_closed_total",
                         "Kinesis connections closed, by reason", {{"reason", reason}});
  }
  return out;
}

}  // namespace

Listener::Listener(env::AsioExecutor& executor, env::Clock& clock, env::Random& random,
                   Metrics& metrics, SignatureCheck& signatures,
                   protocol::kinesis::Service& service, ListenerOptions options)
    : ClientListener(executor, clock, base_of(options), metrics_of(metrics)),
      front_end_(clock, random, metrics, signatures, service),
      options_(std::move(options)) {}

Listener::~Listener() {
  stop();
}

std::shared_ptr<ClientConnection> Listener::make_connection(boost::asio::ip::tcp::socket socket) {
  return std::make_shared<Connection>(*this, std::move(socket));
}

}  // namespace broker::server::kinesis
