#pragma once
// From a request frame to its handler: reads the header, checks API and version, decodes the body,
// counts and times. Called by the Kafka server on the reactor.
#include <functional>
#include <map>
#include <memory>
#include <span>

#include "broker/handlers/kafka/context.h"

namespace broker::handlers::kafka {

struct Handler {
  ApiKey key;
  // Decodes the body and handles it. False when the body is malformed.
  bool (*run)(Context&, const ExchangePtr&, wire::Reader&);
};
// Every API that is served; what ApiVersions advertises.
std::span<const Handler> handlers();

class Dispatcher {
 public:
  explicit Dispatcher(Services services);
  // Handles one frame (without its length). Answers come through the exchange, perhaps before this
  // returns. A frame that no answer exists for (unknown API, malformed) closes the connection, as
  // Apache Kafka does.
  void dispatch(ExchangePtr exchange);

 private:
  struct ApiMetrics {
    prometheus::Counter& requests;
    prometheus::Counter& errors;
    prometheus::Histogram& seconds;
  };
  void count(Exchange& exchange, const wire::ApiInfo& api);
  void take_raw_token(Exchange& exchange);
  void refuse(Exchange& exchange, std::string_view why);

  Context context_;
  std::map<int16_t, ApiMetrics> metrics_;
  prometheus::Counter& refused_;
};

}  // namespace broker::handlers::kafka
