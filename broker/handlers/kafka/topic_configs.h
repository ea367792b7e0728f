#pragma once
// Kafka's topic settings against our StreamConfig. Each is one of: a field of StreamConfig; kept by
// name and acted on; kept by name without effect here (Kafka's storage engine, compaction); fixed at
// the topic's creation; or fixed: readable, and may be "set" to just its value. Unknown names are
// refused. Used by the
// topic and configuration handlers.
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

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
enum class ConfigSource : int8_t {
  kTopic = 1,
  kBroker = 2,
  kStaticBroker = 4,
  kDefault = 5,
  kBrokerLogger = 6,
};

// What UpdateStream is to change.
struct ConfigChange {
  v1::StreamConfig config;
  std::vector<std::string> fields;
};
// Sets one setting; kInvalidArgument says what is wrong. No value is refused.
Status set_topic_config(std::string_view name, const std::optional<std::string>& value,
                        ConfigChange& change);
// Back to the default.
Status reset_topic_config(std::string_view name, ConfigChange& change);
// Adds to, or takes from, a setting that is a list (`adds`: else takes) and is as in `now`.
Status edit_topic_config(std::string_view name, const std::optional<std::string>& value, bool adds,
                         const v1::StreamConfig& now, ConfigChange& change);
// Takes out of a change what is fixed at creation and is so already; kInvalidArgument: it is not.
Status drop_what_is_so_already(const v1::StreamConfig& now, ConfigChange& change);
// Resets everything that `now` has set and `named` does not name.
void reset_other_topic_configs(const v1::StreamConfig& now, std::span<const std::string> named,
                               ConfigChange& change);

struct ConfigValue {
  std::string name;
  std::string value;
  ConfigType type;
  ConfigSource source;
  std::string_view documentation;
  bool read_only = false;
  // The names and values behind it, in order of precedence.
  struct Synonym {
    std::string name, value;
    ConfigSource source;
  };
  std::vector<Synonym> synonyms;
};
// All settings of a topic with the values in force, by name.
std::vector<ConfigValue> topic_configs(const v1::StreamConfig& config, const Options& options);
// The broker's own, of which clients can change the throttles.
std::vector<ConfigValue> broker_configs(const Context& context);

// Kafka's limits for moves of replicas, which its tools set of every broker that takes part.
inline constexpr std::string_view kLeaderThrottle = "leader.replication.throttled.rate";
bool is_throttle(std::string_view name);
Result<int64_t> parse_throttle(std::string_view name, const std::optional<std::string>& value);

// How a topic's records are stamped.
struct TimestampRules {
  bool log_append_time = false;  // stamped by the partition
  int64_t before_max_ms = INT64_MAX;  // how far behind the broker's clock a record may be
  int64_t after_max_ms = 3'600'000;   // and before it; Kafka's default
};
TimestampRules timestamp_rules(const v1::StreamConfig& config);

}  // namespace broker::handlers::kafka
