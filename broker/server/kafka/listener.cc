#include "broker/server/kafka/listener.h"

#include <algorithm>

#include "broker/server/kafka/connection.h"

namespace broker::server::kafka {
namespace {

constexpr size_t kReadBufferBytes = 64 << 10;

Metrics::Labels labels_of(const ListenerOptions& options) {
  return {{"listener", options.name.empty() ? "default" : options.name}};
}

ClientListenerOptions base_of(const ListenerOptions& options) {
  return {.door = "kafka",
          .name = options.name,
          .tls = options.tls,
          .host = options.host,
          .port = options.port,
          .connections_max = options.connections_max,
          .in_flight_bytes_max = options.in_flight_bytes_max,
          .shortest_deadline_ms = std::min(options.first_request_ms, options.idle_close_ms),
          .read_buffer_bytes = kReadBufferBytes};
}

ClientListenerMetrics metrics_of(const ListenerOptions& options, Metrics& metrics) {
  const Metrics::Labels labels = labels_of(options);
  ClientListenerMetrics out{
      metrics.gauge("sluice_kafka_connections", "Open Kafka connections", labels),
      metrics.counter("sluice_kafka_connections_accepted_total", "Kafka connections accepted",
                      labels),
      metrics.counter("sluice_kafka_received_bytes_total", "Bytes read from Kafka clients", labels),
      metrics.counter("sluice_kafka_sent_bytes_total", "Bytes written to Kafka clients", labels),
      {}};
  for (const char* reason :
       {"client", "error", "bad_frame", "broker", "idle", "no_request", "too_many", "tls"}) {
    Metrics::Labels with_reason = labels;
    with_reason["reason"] = reason;
    out.closed[reason] = &metrics.counter("sluice_kafka_connections_closed_total",
                                          "Kafka connections closed, by reason", with_reason);
  }
  return out;
}

}  // namespace

Listener::Listener(env::AsioExecutor& executor, env::Clock& clock, Metrics& metrics,
                   handlers::kafka::Dispatcher& dispatcher, ListenerOptions options)
    : ClientListener(executor, clock, base_of(options), metrics_of(options, metrics)),
      dispatcher_(dispatcher),
      options_(std::move(options)),
      mutes_(metrics.counter("sluice_kafka_connection_mutes_total",
                             "Pauses that quotas made in reading from Kafka clients",
                             labels_of(options_))) {}

Listener::~Listener() {
  stop();
}

std::shared_ptr<ClientConnection> Listener::make_connection(boost::asio::ip::tcp::socket socket) {
  return std::make_shared<Connection>(*this, std::move(socket));
}

}  // namespace broker::server::kafka
