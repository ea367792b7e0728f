#pragma once
// Kafka's topic configurations against our StreamConfig: those that can be set, and those that have
// one value here, which may be asked for and may be "set" to just that value. Everything else is
// refused by name. Used by CreateTopics and DescribeConfigs.
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "broker/base/status.h"
#include "broker/handlers/kafka/context.h"
#include "broker/proto/metadata.pb.h"

namespace broker::handlers::kafka {

// Numbers of DescribeConfigs.
enum class ConfigType : int8_t {
  kBoolean = 1,
  kString = 2,
  kInt = 3,
  kLong = 5,
  kDouble = 6,
  kList = 7,
};
enum class ConfigSource : int8_t { kTopic = 1, kStaticBroker = 4, kDefault = 5 };

// Sets one configuration; kInvalidArgument says what is wrong with it. No value is refused.
Status set_topic_config(std::string_view name, const std::optional<std::string>& value,
                        v1::StreamConfig& config);

struct ConfigValue {
  std::string name;
  std::string value;
  ConfigType type;
  ConfigSource source;
  std::string_view documentation;
  bool read_only = false;
};
// All configurations of a topic with the values in force.
std::vector<ConfigValue> topic_configs(const v1::StreamConfig& config, const Options& options);
// The broker's own, none of which can be changed by clients.
std::vector<ConfigValue> broker_configs(const Options& options);

}  // namespace broker::handlers::kafka
