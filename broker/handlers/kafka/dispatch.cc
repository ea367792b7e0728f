#include "broker/handlers/kafka/dispatch.h"

#include "broker/base/log.h"
#include "broker/groups/groups.h"
#include "broker/handlers/kafka/authorize.h"
#include "broker/handlers/kafka/departed_brokers.h"
#include "broker/handlers/kafka/fetch_sessions.h"
#include "broker/handlers/kafka/handlers.h"
#include "broker/handlers/kafka/producer_ids.h"
#include "broker/handlers/kafka/sasl.h"
#include "broker/handlers/kafka/throttle.h"

namespace broker::handlers::kafka {
namespace {

// What an API as a whole asks of its client; the others look at each topic or group.
std::optional<Operation> cluster_operation(ApiKey key) {
  switch (key) {
    case ApiKey::kAlterPartitionReassignments:
    case ApiKey::kElectLeaders:
    case ApiKey::kAlterReplicaLogDirs:
      return Operation::kAlter;
    case ApiKey::kDescribeAcls:
    case ApiKey::kDescribeUserScramCredentials:
    case ApiKey::kListPartitionReassignments:
    case ApiKey::kDescribeLogDirs:
    case ApiKey::kDescribeQuorum:
      return Operation::kDescribe;
    case ApiKey::kListConfigResources:
    case ApiKey::kDescribeClientQuotas:
      return Operation::kDescribeConfigs;
    default:
      return std::nullopt;
  }
}

// Answers that the client may not do this; where the response has no room for it, ends the
// connection.
template <class Response>
void deny(Exchange& exchange) {
  Response response;
  if constexpr (requires { response.error_code; }) {
    response.error_code = exchange.fail(Error::kClusterAuthorizationFailed);
    if constexpr (requires { response.error_message; }) {
      response.error_message = "Cluster authorization failed.";
    }
    respond(exchange, response);
  } else {
    exchange.close();
  }
}

template <class Request, class Response>
bool run(Context& context, const ExchangePtr& exchange, wire::Reader& in) {
  auto request = wire::decode_body<Request>(in, exchange->version());
  if (!request.ok()) return false;
  auto operation = cluster_operation(static_cast<ApiKey>(Request::kApiKey));
  if (operation && !allowed_on_cluster(context.services, *exchange, *operation)) {
    deny<Response>(*exchange);
    return true;
  }
  handle(context, exchange, std::move(*request));
  return true;
}

const std::vector<Handler>& all_handlers() {
#define SL_HANDLER(Name) {ApiKey::k##Name, run<wire::Name##Request, wire::Name##Response>},
  static const std::vector<Handler> all{SL_KAFKA_FOR_EACH_API(SL_HANDLER)};
#undef SL_HANDLER
  return all;
}

const Handler* find_handler(ApiKey key) {
  for (const Handler& handler : all_handlers()) {
    if (handler.key == key) return &handler;
  }
  return nullptr;
}

// What a client may ask before it has authenticated.
bool opens_a_connection(ApiKey key) {
  return key == ApiKey::kApiVersions || key == ApiKey::kSaslHandshake ||
         key == ApiKey::kSaslAuthenticate;
}

const std::vector<double> kLatencyBuckets{0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
                                          0.1,    0.25,  0.5,    1,     2.5,  5,     10};

}  // namespace

std::span<const Handler> handlers() {
  return all_handlers();
}

namespace {

std::unique_ptr<groups::Groups> make_groups(const Services& services) {
  groups::Options options;
  options.settings.initial_rebalance_delay_ms = services.options.group_initial_rebalance_delay_ms;
  options.settings.group_size_max = services.options.group_size_max;
  return std::make_unique<groups::Groups>(
      groups::Parts{services.clock, services.executor, services.random, services.metrics,
                    services.metadata, services.find_partition, services.admin},
      options);
}

}  // namespace

Context::Context(Services s)
    : services(std::move(s)),
      producer_ids(std::make_unique<ProducerIds>(services)),
      fetch_sessions(std::make_unique<FetchSessions>(services)),
      groups(make_groups(services)),
      departed_brokers(std::make_unique<DepartedBrokers>(services.metadata, services.clock)) {}
Context::~Context() = default;

Dispatcher::Dispatcher(Services services)
    : context_(std::move(services)),
      refused_(context_.services.metrics.counter(
          "sluice_kafka_requests_refused_total",
          "Frames that ended their connection: unknown API or version, malformed")) {
  Metrics& metrics = context_.services.metrics;
  for (const Handler& handler : handlers()) {
    const wire::ApiInfo& api = *wire::find_api(static_cast<int16_t>(handler.key));
    Metrics::Labels labels{{"api", std::string(api.name)}};
    metrics_.emplace(
        static_cast<int16_t>(handler.key),
        ApiMetrics{
            metrics.counter("sluice_kafka_requests_total", "Kafka requests", labels),
            metrics.counter("sluice_kafka_request_errors_total",
                            "Kafka responses that carry an error", labels),
            metrics.histogram("sluice_kafka_request_seconds",
                              "From the whole request to its response", labels, kLatencyBuckets)});
  }
}

void Dispatcher::refuse(Exchange& exchange, std::string_view why) {
  refused_.Increment();
  log_warn("kafka", "request refused, connection closed",
           {{"why", why},
            {"api_key", exchange.header.api_key},
            {"version", exchange.header.api_version},
            {"client", exchange.header.client_id.value_or("")}});
  exchange.close();
}

// Wraps the exchange's answers so that they are counted and timed.
void Dispatcher::count(Exchange& exchange, const wire::ApiInfo& api) {
  ApiMetrics& m = metrics_.at(static_cast<int16_t>(api.key));
  m.requests.Increment();
  exchange.started_us = context_.services.clock.mono_us();
  exchange.reply = [this, &exchange, &m,
                    reply = std::move(exchange.reply)](std::vector<Buffer> pieces) {
    if (exchange.error != Error::kNone) m.errors.Increment();
    int64_t took_us = context_.services.clock.mono_us() - exchange.started_us;
    m.seconds.Observe(static_cast<double>(took_us) / 1e6);
    reply(std::move(pieces));
  };
}

// A bare token, as clients send them after SaslHandshake version 0.
void Dispatcher::take_raw_token(Exchange& exchange) {
  auto answer = take_sasl_token(context_.services, *exchange.client, exchange.frame.view());
  if (!answer.ok()) return refuse(exchange, answer.status().message());
  std::string length(4, '\0');
  store_be<int32_t>(length.data(), static_cast<int32_t>(answer->size()));
  exchange.reply({Buffer::from_string(length + *answer)});
}

void Dispatcher::dispatch(ExchangePtr exchange) {
  if (exchange->client->failed) return refuse(*exchange, "authentication has failed");
  if (exchange->client->raw_tokens) return take_raw_token(*exchange);
  wire::Reader in(exchange->frame);
  wire::RequestHeader& header = exchange->header;
  if (!wire::decode_header(in, header)) return refuse(*exchange, "malformed header");
  const wire::ApiInfo* api = wire::find_api(header.api_key);
  const Handler* handler = api ? find_handler(api->key) : nullptr;
  if (!handler) return refuse(*exchange, "unknown API");
  if (header.api_version < api->version_min || header.api_version > api->version_max) {
    if (api->key != ApiKey::kApiVersions) return refuse(*exchange, "unknown version");
    // The one API whose unknown versions have an answer: in version 0, which every client reads.
    count(*exchange, *api);
    header.api_version = -1;
    return handle(context_, exchange, wire::ApiVersionsRequest{});
  }
  if (!exchange->client->authenticated && !opens_a_connection(api->key)) {
    return refuse(*exchange, "not authenticated");
  }
  count(*exchange, *api);
  if (context_.services.quotas && !opens_a_connection(api->key)) {
    exchange->counts_work = &context_.services;
  }
  Working working(*exchange);
  if (!handler->run(context_, exchange, in)) refuse(*exchange, "malformed body");
}

}  // namespace broker::handlers::kafka
