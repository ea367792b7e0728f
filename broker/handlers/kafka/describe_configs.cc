// DescribeConfigs of topics and of this broker: the values in force.
#include <algorithm>

#include "broker/handlers/kafka/handlers.h"
#include "broker/handlers/kafka/topic_configs.h"
#include "broker/handlers/kafka/topics.h"

namespace broker::handlers::kafka {
namespace {

using Request = wire::DescribeConfigsRequest;
using Entry = wire::DescribeConfigsResponse::Result;
constexpr int8_t kTopic = 2, kBroker = 4;

void add(const ConfigValue& value, const Request& request, Entry& result) {
  auto& config = result.configs.emplace_back();
  config.name = value.name;
  config.value = value.value;
  config.read_only = value.read_only;
  config.config_source = static_cast<int8_t>(value.source);
  config.config_type = static_cast<int8_t>(value.type);
  if (request.include_documentation) config.documentation = std::string(value.documentation);
  if (request.include_synonyms) {
    auto& synonym = config.synonyms.emplace_back();
    synonym.name = value.name;
    synonym.value = value.value;
    synonym.source = static_cast<int8_t>(value.source);
  }
}

void fail(Exchange& exchange, Entry& result, Error error, std::string message) {
  result.error_code = exchange.fail(error);
  result.error_message = std::move(message);
}

void describe(const Services& services, Exchange& exchange, const Request& request,
              const Request::Resource& asked, Entry& result) {
  result.resource_type = asked.resource_type;
  result.resource_name = asked.resource_name;
  std::vector<ConfigValue> values;
  if (asked.resource_type == kTopic) {
    TopicRef topic = find_topic(services.metadata, asked.resource_name, {}, false);
    if (!topic.stream) return fail(exchange, result, topic.error, "no such topic");
    values = topic_configs(topic.stream->map.config(), services.options);
  } else if (asked.resource_type == kBroker) {
    if (!asked.resource_name.empty() &&
        asked.resource_name != std::to_string(services.self.value)) {
      return fail(exchange, result, Error::kInvalidRequest,
                  "this is broker " + std::to_string(services.self.value) + "; ask broker " +
                      asked.resource_name + " itself");
    }
    values = broker_configs(services.options);
  } else {
    return fail(exchange, result, Error::kInvalidRequest,
                "configurations exist of topics (2) and brokers (4)");
  }
  for (const ConfigValue& value : values) {
    const auto& keys = asked.configuration_keys;
    if (!keys || std::find(keys->begin(), keys->end(), value.name) != keys->end()) {
      add(value, request, result);
    }
  }
}

}  // namespace

void handle(Context& context, const ExchangePtr& exchange, Request request) {
  wire::DescribeConfigsResponse response;
  for (const auto& asked : request.resources) {
    describe(context.services, *exchange, request, asked, response.results.emplace_back());
  }
  respond(*exchange, response);
}

}  // namespace broker::handlers::kafka
