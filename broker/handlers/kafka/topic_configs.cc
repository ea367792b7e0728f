#include "broker/handlers/kafka/topic_configs.h"

#include <charconv>

namespace broker::handlers::kafka {
namespace {

// Configurations with one value here.
struct Fixed {
  std::string_view name, value;
  ConfigType type;
  std::string_view documentation;
};
constexpr Fixed kFixed[] = {
    {"cleanup.policy", "delete", ConfigType::kList,
     "What happens to old records: they are deleted. Compaction is not offered yet."},
    {"compression.type", "producer", ConfigType::kString,
     "Batches are kept as their producers compressed them."},
    {"message.timestamp.type", "CreateTime", ConfigType::kString,
     "Records keep their producers' timestamps."},
    {"unclean.leader.election.enable", "false", ConfigType::kBoolean,
     "A leader is only elected with every committed record."},
    {"remote.storage.enable", "false", ConfigType::kBoolean, "There is no remote storage."},
};

std::optional<int64_t> parse_number(std::string_view text) {
  int64_t number = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

Status bad_value(std::string_view name, std::string_view value, std::string_view wanted) {
  return Status(Code::kInvalidArgument, "Invalid value " + std::string(value) +
                                            " for configuration " + std::string(name) + ": " +
                                            std::string(wanted));
}

Status set_number(std::string_view name, std::string_view value, v1::StreamConfig& config) {
  std::optional<int64_t> number = parse_number(value);
  if (!number) return bad_value(name, value, "not a number");
  if (name == "retention.ms" || name == "retention.bytes") {
    if (*number < -1 || *number == 0) return bad_value(name, value, "must be -1 or at least 1");
    name == "retention.ms" ? config.set_retention_ms(*number) : config.set_retention_bytes(*number);
    return {};
  }
  if (*number < 1 || *number > INT32_MAX) return bad_value(name, value, "must be at least 1");
  name == "max.message.bytes" ? config.set_record_bytes_max(static_cast<int32_t>(*number))
                              : config.set_min_insync(static_cast<int32_t>(*number));
  return {};
}

ConfigValue number(std::string name, int64_t value, ConfigType type, bool is_set,
                   std::string_view documentation) {
  return {std::move(name), std::to_string(value), type,
          is_set ? ConfigSource::kTopic : ConfigSource::kDefault, documentation};
}

}  // namespace

Status set_topic_config(std::string_view name, const std::optional<std::string>& value,
                        v1::StreamConfig& config) {
  if (!value) {
    return Status(Code::kInvalidArgument, "configuration " + std::string(name) + " has no value");
  }
  if (name == "retention.ms" || name == "retention.bytes" || name == "max.message.bytes" ||
      name == "min.insync.replicas") {
    return set_number(name, *value, config);
  }
  for (const Fixed& fixed : kFixed) {
    if (fixed.name != name) continue;
    if (*value == fixed.value) return {};
    return bad_value(name, *value, "only " + std::string(fixed.value) + " is offered");
  }
  return Status(Code::kInvalidArgument, "Unknown topic config name: " + std::string(name) +
                                            " (settable: retention.ms, retention.bytes, "
                                            "max.message.bytes, min.insync.replicas)");
}

std::vector<ConfigValue> topic_configs(const v1::StreamConfig& config, const Options& options) {
  std::vector<ConfigValue> all;
  int32_t majority = config.replication() / 2 + 1;
  all.push_back(number("retention.ms", config.retention_ms() == 0 ? -1 : config.retention_ms(),
                       ConfigType::kLong, config.retention_ms() != 0,
                       "Records older than this are deleted; -1: never."));
  all.push_back(number("retention.bytes",
                       config.retention_bytes() == 0 ? -1 : config.retention_bytes(),
                       ConfigType::kLong, config.retention_bytes() != 0,
                       "A partition's oldest records above this size are deleted; -1: never."));
  all.push_back(
      number("max.message.bytes",
             config.record_bytes_max() > 0 ? config.record_bytes_max() : options.batch_bytes_max,
             ConfigType::kInt, config.record_bytes_max() > 0,
             "The largest record batch that is accepted."));
  all.push_back(number("min.insync.replicas", std::max(config.min_insync(), majority),
                       ConfigType::kInt, config.min_insync() > 0,
                       "How many replicas must have a record before it is committed; at least a "
                       "majority."));
  for (const Fixed& fixed : kFixed) {
    all.push_back({std::string(fixed.name), std::string(fixed.value), fixed.type,
                   ConfigSource::kDefault, fixed.documentation, true});
  }
  return all;
}

std::vector<ConfigValue> broker_configs(const Options& options) {
  auto fixed = [](std::string name, std::string value, ConfigType type, std::string_view text) {
    return ConfigValue{
        std::move(name), std::move(value), type, ConfigSource::kStaticBroker, text, true};
  };
  return {
      fixed("auto.create.topics.enable", "false", ConfigType::kBoolean,
            "Topics are created by CreateTopics or as Stream resources."),
      fixed("message.max.bytes", std::to_string(options.batch_bytes_max), ConfigType::kInt,
            "The largest record batch where a topic says nothing."),
      fixed("socket.request.max.bytes", std::to_string(options.request_bytes_max), ConfigType::kInt,
            "The largest request."),
      fixed("fetch.max.bytes", std::to_string(options.fetch_bytes_max), ConfigType::kInt,
            "The most bytes of records in a fetch response."),
      fixed("connections.max.idle.ms", std::to_string(options.idle_close_ms), ConfigType::kLong,
            "A connection without requests is closed after this time."),
      fixed("max.incremental.fetch.session.cache.slots", std::to_string(options.fetch_sessions_max),
            ConfigType::kInt, "How many incremental fetch sessions are kept."),
  };
}

}  // namespace broker::handlers::kafka
