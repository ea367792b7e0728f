#pragma once
// What configurations belong to, and the names of those that can be addressed. Used by the handlers
// that describe, alter and list configurations, on the reactor.
#include <optional>
#include <string>

#include "broker/handlers/kafka/context.h"

namespace broker::handlers::kafka {

// Numbers of Kafka's ConfigResource.Type.
enum class ConfigResource : int8_t {
  kTopic = 2,
  kBroker = 4,
  kBrokerLogger = 8,
  kClientMetrics = 16,
  kGroup = 32,
};

// Why `name` is not this broker; nothing when it is.
inline std::optional<std::string> check_broker_resource(const Services& services,
                                                        const std::string& name) {
  if (name == std::to_string(services.self.value)) return std::nullopt;
  return "this is broker " + std::to_string(services.self.value) + "; ask broker '" + name +
         "' itself";
}

// "INFO"
std::string log_level_name();

}  // namespace broker::handlers::kafka
