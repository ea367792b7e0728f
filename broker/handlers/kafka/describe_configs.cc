// DescribeConfigs of topics, of this broker and of its log: the values in force, where they come
// from and what they mean.
#include <algorithm>

#include "broker/base/log.h"
#include "broker/handlers/kafka/config_resources.h"
#include "broker/handlers/kafka/authorize.h"
#include "broker/handlers/kafka/handlers.h"
#include "broker/handlers/kafka/topic_configs.h"
#include "broker/handlers/kafka/topics.h"

namespace broker::handlers::kafka {
namespace {

using Request = wire::DescribeConfigsRequest;
using Entry = wire::DescribeConfigsResponse::Result;

void add(const ConfigValue& value, const Request& request, Entry& result) {
  auto& config = result.configs.emplace_back();
  config.name = value.name;
  config.value = value.value;
  config.read_only = value.read_only;
  config.config_source = static_cast<int8_t>(value.source);
  config.config_type = static_cast<int8_t>(value.type);
  if (request.include_documentation) config.documentation = std::string(value.documentation);
  if (!request.include_synonyms) return;
  for (const auto& s : value.synonyms) {
    config.synonyms.push_back({s.name, s.value, static_cast<int8_t>(s.source), {}});
  }
}

void fail(Exchange& exchange, Entry& result, Error error, std::string message) {
  result.error_code = exchange.fail(error);
  result.error_message = std::move(message);
}

void describe(const Context& context, Exchange& exchange, const Request& request,
              const Request::Resource& asked, Entry& result) {
  const Services& services = context.services;
  result.resource_type = asked.resource_type;
  result.resource_name = asked.resource_name;
  if (asked.resource_type != static_cast<int8_t>(ConfigResource::kTopic) &&
      !allowed_on_cluster(services, exchange, Operation::kDescribeConfigs)) {
    return fail(exchange, result, Error::kClusterAuthorizationFailed, "not authorized");
  }
  std::vector<ConfigValue> values;
  switch (static_cast<ConfigResource>(asked.resource_type)) {
    case ConfigResource::kTopic: {
      TopicRef topic = find_topic(services, exchange, security::Operation::kDescribeConfigs,
                                  asked.resource_name);
      if (!topic.stream) {
        return fail(exchange, result, topic.error,
                    topic.error == Error::kInvalidTopicException ? "no legal topic name"
                                                                 : "no such topic");
      }
      values = topic_configs(topic.stream->map.config(), services.options);
      break;
    }
    case ConfigResource::kBroker: {
      // Without a name: what all brokers share; nothing is set that way.
      if (asked.resource_name.empty()) return;
      if (auto refusal = check_broker_resource(services, asked.resource_name)) {
        return fail(exchange, result, Error::kInvalidRequest, *refusal);
      }
      values = broker_configs(context);
      break;
    }
    case ConfigResource::kBrokerLogger: {
      if (auto refusal = check_broker_resource(services, asked.resource_name)) {
        return fail(exchange, result, Error::kInvalidRequest, *refusal);
      }
      values.push_back({"root", log_level_name(), ConfigType::kString, ConfigSource::kBrokerLogger,
                        "The least level of lines in the log.", false, {}});
      break;
    }
    default:
      return fail(exchange, result, Error::kInvalidRequest,
                  "configurations exist of topics (2), brokers (4) and their logs (8)");
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
    describe(context, *exchange, request, asked, response.results.emplace_back());
  }
  respond(*exchange, response);
}

}  // namespace broker::handlers::kafka
