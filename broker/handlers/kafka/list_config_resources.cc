// ListConfigResources: the topics, brokers and logs that have settings.
#include <algorithm>

#include "broker/handlers/kafka/config_resources.h"
#include "broker/handlers/kafka/handlers.h"
#include "broker/handlers/kafka/topics.h"

namespace broker::handlers::kafka {

void handle(Context& context, const ExchangePtr& exchange,
            wire::ListConfigResourcesRequest request) {
  const Services& services = context.services;
  wire::ListConfigResourcesResponse response;
  // Version 0 asks for client metrics subscriptions, which there are none of.
  if (exchange->version() == 0) return respond(*exchange, response);
  auto wanted = [&](ConfigResource type) {
    const auto& types = request.resource_types;
    return types.empty() ||
           std::find(types.begin(), types.end(), static_cast<int8_t>(type)) != types.end();
  };
  auto add = [&](std::string name, ConfigResource type) {
    response.config_resources.push_back({std::move(name), static_cast<int8_t>(type), {}});
  };
  for (int8_t type : request.resource_types) {
    static constexpr int8_t kKnown[] = {2, 4, 8, 16, 32};
    if (std::find(std::begin(kKnown), std::end(kKnown), type) == std::end(kKnown)) {
      response.error_code = exchange->fail(Error::kUnsupportedVersion);
      return respond(*exchange, response);
    }
  }
  if (wanted(ConfigResource::kTopic)) {
    for (const auto& stream : services.metadata.streams()) {
      add(stream->name(), ConfigResource::kTopic);
    }
  }
  for (ConfigResource type : {ConfigResource::kBroker, ConfigResource::kBrokerLogger}) {
    if (!wanted(type)) continue;
    for (const v1::Broker* broker : live_brokers(services.metadata)) {
      add(std::to_string(broker->id()), type);
    }
  }
  respond(*exchange, response);
}

}  // namespace broker::handlers::kafka
