// IncrementalAlterConfigs, and AlterConfigs, which replaces all of a resource's settings: of topics,
// of this broker's log, and the throttles of its moves. Brokers' other settings come from their command
// line or the StreamCluster resource, and are refused by name.
#include <algorithm>
#include <set>

#include "broker/base/log.h"
#include "broker/handlers/kafka/admin_batch.h"
#include "broker/handlers/kafka/config_resources.h"
#include "broker/handlers/kafka/authorize.h"
#include "broker/handlers/kafka/handlers.h"
#include "broker/handlers/kafka/topic_configs.h"
#include "broker/handlers/kafka/topics.h"

namespace broker::handlers::kafka {

std::string log_level_name() {
  if (log_enabled(LogLevel::kDebug)) return "DEBUG";
  if (log_enabled(LogLevel::kInfo)) return "INFO";
  return log_enabled(LogLevel::kWarn) ? "WARN" : "ERROR";
}

namespace {

enum class Operation : int8_t { kSet = 0, kDelete = 1, kAppend = 2, kSubtract = 3 };
constexpr int32_t kTimeoutMs = 30'000;  // the APIs carry none

struct Refusal {
  Error error = Error::kNone;
  std::string message;
};

Status apply(const wire::IncrementalAlterConfigsRequest::Resource::Config& config,
             const v1::StreamConfig& now, ConfigChange& change) {
  switch (static_cast<Operation>(config.config_operation)) {
    case Operation::kSet:
      return set_topic_config(config.name, config.value, change);
    case Operation::kDelete:
      return reset_topic_config(config.name, change);
    case Operation::kAppend:
    case Operation::kSubtract:
      return edit_topic_config(config.name, config.value,
                               config.config_operation == static_cast<int8_t>(Operation::kAppend),
                               now, change);
  }
  return Status(Code::kUnsupported,
                "Unknown operation type " + std::to_string(config.config_operation));
}

// What a resource of either request is to change in a topic.
Status to_change(const wire::IncrementalAlterConfigsRequest::Resource& asked,
                 const v1::StreamConfig& now, ConfigChange& change) {
  std::set<std::string_view> names;
  for (const auto& config : asked.configs) {
    if (!names.insert(config.name).second) {
      return Status(Code::kInvalidArgument, "Error due to duplicate config keys");
    }
    RETURN_IF_ERROR(apply(config, now, change));
  }
  return {};
}

Status to_change(const wire::AlterConfigsRequest::Resource& asked, const v1::StreamConfig& now,
                 ConfigChange& change) {
  std::vector<std::string> names;
  for (const auto& config : asked.configs) {
    RETURN_IF_ERROR(set_topic_config(config.name, config.value, change));
    names.push_back(config.name);
  }
  reset_other_topic_configs(now, names, change);
  return {};
}

bool is_set(const wire::IncrementalAlterConfigsRequest::Resource::Config& config) {
  return config.config_operation == static_cast<int8_t>(Operation::kSet);
}
bool is_set(const wire::AlterConfigsRequest::Resource::Config&) {
  return true;
}

bool replaces(const wire::IncrementalAlterConfigsRequest::Resource&) {
  return false;
}
bool replaces(const wire::AlterConfigsRequest::Resource&) {
  return true;
}

// Of a broker's settings clients can change the throttles. Taking back another, which nobody can have
// set, changes nothing.
template <class Resource>
Refusal alter_broker(Context& context, const Resource& asked, bool validate_only) {
  const Services& services = context.services;
  if (!asked.resource_name.empty()) {
    if (auto refusal = check_broker_resource(services, asked.resource_name)) {
      return {Error::kInvalidRequest, *refusal};
    }
  }
  std::map<std::string, int64_t> throttles;
  if (!replaces(asked)) throttles = context.throttles;
  for (const auto& config : asked.configs) {
    if (!is_set(config)) {
      throttles.erase(config.name);
    } else if (is_throttle(config.name) && !asked.resource_name.empty()) {
      auto bytes_per_s = parse_throttle(config.name, config.value);
      if (!bytes_per_s.ok()) return {Error::kInvalidConfig, bytes_per_s.status().message()};
      throttles[config.name] = *bytes_per_s;
    } else {
      return {Error::kInvalidConfig,
              "Cannot update '" + config.name +
                  "': brokers take their settings from the StreamCluster resource, or from their "
                  "command line and configuration file"};
    }
  }
  // What all brokers share is not kept here.
  if (validate_only || asked.resource_name.empty() || throttles == context.throttles) return {};
  context.throttles = std::move(throttles);
  auto limit = context.throttles.find(std::string(kLeaderThrottle));
  const bool set = limit != context.throttles.end();
  log_info("kafka", "moves are throttled by a client",
           {{"bytes_per_s", set ? std::to_string(limit->second) : "no longer"}});
  services.limit_catch_up(set ? std::optional<int64_t>(limit->second) : std::nullopt);
  return {};
}

template <class Resource>
Refusal alter_logger(const Services& services, const Resource& asked, bool validate_only) {
  if (auto refusal = check_broker_resource(services, asked.resource_name)) {
    return {Error::kInvalidRequest, *refusal};
  }
  for (const auto& config : asked.configs) {
    if (config.name != "root") {
      return {Error::kInvalidConfig, "Logger " + config.name + " does not exist; there is 'root'"};
    }
    std::string level = is_set(config) ? config.value.value_or("") : "info";
    std::transform(level.begin(), level.end(), level.begin(),
                   [](unsigned char c) { return std::tolower(c); });
    static const std::set<std::string> levels{"debug", "info", "warn", "error"};
    if (!levels.contains(level)) {
      return {Error::kInvalidConfig, "a log level is DEBUG, INFO, WARN or ERROR"};
    }
    if (!validate_only) set_log_level(level);
  }
  return {};
}

template <class Response, class Resource>
Refusal alter_topic(const Services& services, AdminBatch<Response>& batch, const Resource& asked,
                    bool validate_only, size_t at) {
  TopicRef topic = find_topic(services, batch.exchange(), security::Operation::kAlterConfigs, asked.resource_name);
  if (!topic.stream) return {topic.error, "no such topic"};
  const v1::StreamConfig& now = topic.stream->map.config();
  ConfigChange change;
  Status status = to_change(asked, now, change);
  if (status.ok()) status = drop_what_is_so_already(now, change);
  if (!status.ok()) {
    return {status.code() == Code::kUnsupported ? Error::kInvalidRequest : Error::kInvalidConfig,
            status.message()};
  }
  if (change.config.min_insync() > now.replication()) {
    return {Error::kInvalidConfig, "min.insync.replicas is above the topic's replication factor"};
  }
  if (validate_only || change.fields.empty()) return {};
  v1::AdminRequest ask;
  v1::UpdateStream& update = *ask.mutable_update_stream();
  update.set_name(asked.resource_name);
  *update.mutable_config() = std::move(change.config);
  for (std::string& field : change.fields) update.add_fields(std::move(field));
  batch.ask(std::move(ask), [b = &batch, at](const Result<v1::AdminResponse>& answer) {
    if (answer.ok()) return;
    auto& result = b->response.responses[at];
    bool bad = answer.code() == Code::kInvalidArgument;
    result.error_code =
        b->exchange().fail(bad ? Error::kInvalidConfig : admin_error(answer.code()));
    result.error_message = answer.status().message();
  });
  return {};
}

template <class Response, class Request>
void alter(Context& context, const ExchangePtr& exchange, const Request& request) {
  const Services& services = context.services;
  auto batch = std::make_shared<AdminBatch<Response>>(services, exchange, kTimeoutMs);
  std::set<std::pair<int8_t, std::string_view>> seen, twice;
  for (const auto& asked : request.resources) {
    std::pair<int8_t, std::string_view> key{asked.resource_type, asked.resource_name};
    if (!seen.insert(key).second) twice.insert(key);
    auto& result = batch->response.responses.emplace_back();
    result.resource_type = asked.resource_type;
    result.resource_name = asked.resource_name;
  }
  for (size_t i = 0; i < request.resources.size(); ++i) {
    const auto& asked = request.resources[i];
    Refusal refusal;
    if (twice.contains({asked.resource_type, asked.resource_name})) {
      refusal = {Error::kInvalidRequest, "Error due to duplicate config resources"};
    } else if (asked.resource_type != static_cast<int8_t>(ConfigResource::kTopic) &&
               !allowed_on_cluster(services, *exchange, security::Operation::kAlterConfigs)) {
      refusal = {Error::kClusterAuthorizationFailed, "not authorized"};
    } else if (asked.resource_type == static_cast<int8_t>(ConfigResource::kTopic)) {
      refusal = alter_topic(services, *batch, asked, request.validate_only, i);
    } else if (asked.resource_type == static_cast<int8_t>(ConfigResource::kBroker)) {
      refusal = alter_broker(context, asked, request.validate_only);
    } else if (asked.resource_type == static_cast<int8_t>(ConfigResource::kBrokerLogger)) {
      refusal = alter_logger(services, asked, request.validate_only);
    } else {
      refusal = {Error::kInvalidRequest,
                 "configurations exist of topics (2), brokers (4) and their logs (8)"};
    }
    if (refusal.error == Error::kNone) continue;
    auto& result = batch->response.responses[i];
    result.error_code = exchange->fail(refusal.error);
    result.error_message = refusal.message;
  }
  batch->finish();
}

}  // namespace

void handle(Context& context, const ExchangePtr& exchange,
            wire::IncrementalAlterConfigsRequest request) {
  alter<wire::IncrementalAlterConfigsResponse>(context, exchange, request);
}

void handle(Context& context, const ExchangePtr& exchange, wire::AlterConfigsRequest request) {
  alter<wire::AlterConfigsResponse>(context, exchange, request);
}

}  // namespace broker::handlers::kafka
