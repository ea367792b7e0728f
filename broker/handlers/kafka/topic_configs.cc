#include "broker/handlers/kafka/topic_configs.h"

#include <algorithm>
#include <charconv>

#include "broker/model/compression.h"
#include "broker/partition/producers.h"

namespace broker::handlers::kafka {
namespace {

enum class Kept {
  kField,   // of StreamConfig
  kByName,  // in StreamConfig.kafka
  kBirth,   // a field of StreamConfig that is fixed when the topic is created
  kFixed,   // has one value
};

struct Setting {
  std::string_view name;
  std::string_view broker_name;  // Kafka's name of the default
  ConfigType type;
  Kept kept;
  std::string_view fallback;  // the default; of a fixed one the value
  int64_t lowest = INT64_MIN;
  int64_t highest = INT64_MAX;
  std::string_view documentation;
};

#define SL_NEUTRAL "Kept and shown; it has no effect here: "
constexpr std::string_view kForEver = "9223372036854775807";
constexpr int64_t kInt = INT32_MAX;
constexpr std::string_view kDurability = "sluice.durability";

// By name.
constexpr Setting kSettings[] = {
    {"cleanup.policy", "log.cleanup.policy", ConfigType::kList, Kept::kFixed, "delete", 0, 0,
     "What happens to old records: they are deleted. Compaction comes later."},
    {"compression.gzip.level", "compression.gzip.level", ConfigType::kInt, Kept::kByName, "-1", -1,
     9, SL_NEUTRAL "compression.type compresses at the codec's usual level."},
    {"compression.lz4.level", "compression.lz4.level", ConfigType::kInt, Kept::kByName, "9", 1, 17,
     SL_NEUTRAL "compression.type compresses at the codec's usual level."},
    {"compression.type", "compression.type", ConfigType::kString, Kept::kByName, "producer", 0, 0,
     "Batches are kept as their producers compressed them (producer), or the leader compresses again "
     "those that came otherwise (uncompressed, gzip, snappy, lz4, zstd)."},
    {"compression.zstd.level", "compression.zstd.level", ConfigType::kInt, Kept::kByName, "3",
     -131072, 22, SL_NEUTRAL "compression.type compresses at the codec's usual level."},
    {"delete.retention.ms", "log.cleaner.delete.retention.ms", ConfigType::kLong, Kept::kByName,
     "86400000", 0, INT64_MAX, SL_NEUTRAL "it is about compaction."},
    {"file.delete.delay.ms", "log.segment.delete.delay.ms", ConfigType::kLong, Kept::kByName,
     "60000", 0, INT64_MAX, SL_NEUTRAL "deleted records are gone at once, their files are reused."},
    {"flush.messages", "log.flush.interval.messages", ConfigType::kLong, Kept::kByName, kForEver, 1,
     INT64_MAX, SL_NEUTRAL "sluice.durability says when records are fsynced."},
    {"flush.ms", "log.flush.interval.ms", ConfigType::kLong, Kept::kByName, kForEver, 0, INT64_MAX,
     SL_NEUTRAL "sluice.durability says when records are fsynced."},
    {"follower.replication.throttled.replicas", "follower.replication.throttled.replicas",
     ConfigType::kList, Kept::kByName, "", 0, 0,
     SL_NEUTRAL "leader.replication.throttled.rate of a broker holds for all that it sends to replicas "
                "that are behind."},
    {"index.interval.bytes", "log.index.interval.bytes", ConfigType::kInt, Kept::kByName, "4096", 0,
     kInt, SL_NEUTRAL "the log has its own index."},
    {"leader.replication.throttled.replicas", "leader.replication.throttled.replicas",
     ConfigType::kList, Kept::kByName, "", 0, 0,
     SL_NEUTRAL "leader.replication.throttled.rate of a broker holds for all that it sends to replicas "
                "that are behind."},
    {"local.retention.bytes", "log.local.retention.bytes", ConfigType::kLong, Kept::kFixed, "-2", 0,
     0, "There is no remote storage; retention.bytes holds."},
    {"local.retention.ms", "log.local.retention.ms", ConfigType::kLong, Kept::kFixed, "-2", 0, 0,
     "There is no remote storage; retention.ms holds."},
    {"max.compaction.lag.ms", "log.cleaner.max.compaction.lag.ms", ConfigType::kLong, Kept::kByName,
     kForEver, 1, INT64_MAX, SL_NEUTRAL "it is about compaction."},
    {"max.message.bytes", "message.max.bytes", ConfigType::kInt, Kept::kField, "", 1, kInt,
     "The largest record batch that is accepted."},
    {"message.timestamp.after.max.ms", "log.message.timestamp.after.max.ms", ConfigType::kLong,
     Kept::kByName, "3600000", 0, INT64_MAX,
     "How far a record's timestamp may be ahead of the broker's clock."},
    {"message.timestamp.before.max.ms", "log.message.timestamp.before.max.ms", ConfigType::kLong,
     Kept::kByName, kForEver, 0, INT64_MAX,
     "How far a record's timestamp may be behind the broker's clock."},
    {"message.timestamp.type", "log.message.timestamp.type", ConfigType::kString, Kept::kByName,
     "CreateTime", 0, 0,
     "Whether records keep their producers' timestamps (CreateTime) or get the time of their append "
     "(LogAppendTime)."},
    {"min.cleanable.dirty.ratio", "log.cleaner.min.cleanable.ratio", ConfigType::kDouble,
     Kept::kByName, "0.5", 0, 1, SL_NEUTRAL "it is about compaction."},
    {"min.compaction.lag.ms", "log.cleaner.min.compaction.lag.ms", ConfigType::kLong, Kept::kByName,
     "0", 0, INT64_MAX, SL_NEUTRAL "it is about compaction."},
    {"min.insync.replicas", "min.insync.replicas", ConfigType::kInt, Kept::kField, "", 1, kInt,
     "How many replicas must have a record before it is committed; a majority always must."},
    {"preallocate", "log.preallocate", ConfigType::kBoolean, Kept::kByName, "false", 0, 0,
     SL_NEUTRAL "the log lays out its files by itself."},
    {"remote.log.copy.disable", "remote.log.copy.disable", ConfigType::kBoolean, Kept::kFixed,
     "false", 0, 0, "There is no remote storage."},
    {"remote.log.delete.on.disable", "remote.log.delete.on.disable", ConfigType::kBoolean,
     Kept::kFixed, "false", 0, 0, "There is no remote storage."},
    {"remote.storage.enable", "remote.storage.enable", ConfigType::kBoolean, Kept::kFixed, "false",
     0, 0, "There is no remote storage."},
    {"retention.bytes", "log.retention.bytes", ConfigType::kLong, Kept::kField, "", -1, INT64_MAX,
     "A partition's oldest records above this size are deleted; -1: never."},
    {"retention.ms", "log.retention.ms", ConfigType::kLong, Kept::kField, "", -1, INT64_MAX,
     "Records older than this are deleted; -1: never."},
    {"segment.bytes", "log.segment.bytes", ConfigType::kInt, Kept::kByName, "1073741824", 14, kInt,
     SL_NEUTRAL "the log lays out its files by itself."},
    {"segment.index.bytes", "log.index.size.max.bytes", ConfigType::kInt, Kept::kByName, "10485760",
     4, kInt, SL_NEUTRAL "the log has its own index."},
    {"segment.jitter.ms", "log.roll.jitter.ms", ConfigType::kLong, Kept::kByName, "0", 0, INT64_MAX,
     SL_NEUTRAL "the log lays out its files by itself."},
    {"segment.ms", "log.roll.ms", ConfigType::kLong, Kept::kByName, "604800000", 1, INT64_MAX,
     SL_NEUTRAL "the log lays out its files by itself."},
    {kDurability, kDurability, ConfigType::kString, Kept::kBirth, "synced", 0, 0,
     "What an acknowledgement says of the majority that has the record: it has fsynced it (synced), or "
     "has it in memory and fsyncs it soon after (memory). Fixed at the topic's creation."},
    {"unclean.leader.election.enable", "unclean.leader.election.enable", ConfigType::kBoolean,
     Kept::kFixed, "false", 0, 0, "A leader is only elected with every committed record."},
};

struct Throttle {
  std::string_view name, documentation;
};
constexpr Throttle kThrottles[] = {
    {"follower.replication.throttled.rate",
     SL_NEUTRAL "who sends sets the pace (leader.replication.throttled.rate)."},
    {kLeaderThrottle,
     "Bytes a second that this broker sends to replicas that are behind, all together, until it "
     "ends; never above --catch-up-bytes-per-s."},
    {"replica.alter.log.dirs.io.max.bytes.per.second",
     SL_NEUTRAL "a broker has one directory."},
};
#undef SL_NEUTRAL

const Setting* find_setting(std::string_view name) {
  for (const Setting& setting : kSettings) {
    if (setting.name == name) return &setting;
  }
  return nullptr;
}

// StreamConfig's name of a field.
std::string field_of(std::string_view name) {
  if (name == "retention.ms") return "retention_ms";
  if (name == "retention.bytes") return "retention_bytes";
  return name == "max.message.bytes" ? "record_bytes_max" : "min_insync";
}

int64_t field_value(const v1::StreamConfig& config, std::string_view name, const Options& options) {
  if (name == "retention.ms") return config.retention_ms() == 0 ? -1 : config.retention_ms();
  if (name == "retention.bytes") {
    return config.retention_bytes() == 0 ? -1 : config.retention_bytes();
  }
  if (name == "max.message.bytes") {
    return config.record_bytes_max() > 0 ? config.record_bytes_max() : options.batch_bytes_max;
  }
  return config.min_insync() > 0 ? config.min_insync() : config.replication() / 2 + 1;
}

void set_field(v1::StreamConfig& config, std::string_view name, int64_t value) {
  if (name == "retention.ms") {
    config.set_retention_ms(value);
  } else if (name == "retention.bytes") {
    config.set_retention_bytes(value);
  } else if (name == "max.message.bytes") {
    config.set_record_bytes_max(static_cast<int32_t>(value));
  } else {
    config.set_min_insync(static_cast<int32_t>(value));
  }
}

template <class Number>
std::optional<Number> parse_number(std::string_view text) {
  Number number = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

std::string_view type_name(ConfigType type) {
  switch (type) {
    case ConfigType::kInt:
      return "INT";
    case ConfigType::kLong:
      return "LONG";
    case ConfigType::kDouble:
      return "DOUBLE";
    case ConfigType::kBoolean:
      return "BOOLEAN";
    case ConfigType::kString:
      return "STRING";
    case ConfigType::kList:
      return "LIST";
  }
  return "STRING";
}

Status bad_value(const Setting& setting, std::string_view value, std::string_view why) {
  return Status(Code::kInvalidArgument, "Invalid value " + std::string(value) +
                                            " for configuration " + std::string(setting.name) +
                                            ": " + std::string(why));
}

std::vector<std::string> split_list(std::string_view text) {
  std::vector<std::string> items;
  while (!text.empty()) {
    size_t comma = std::min(text.find(','), text.size());
    if (comma > 0) items.emplace_back(text.substr(0, comma));
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  return items;
}

Status check_number(const Setting& setting, std::string_view value) {
  bool fits = false;
  if (setting.type == ConfigType::kDouble) {
    auto number = parse_number<double>(value);
    fits = number && *number >= static_cast<double>(setting.lowest) &&
           *number <= static_cast<double>(setting.highest);
    if (!number) return bad_value(setting, value, "Not a number of type DOUBLE");
  } else {
    auto number = parse_number<int64_t>(value);
    if (!number || (setting.type == ConfigType::kInt && *number != static_cast<int32_t>(*number))) {
      return bad_value(setting, value,
                       "Not a number of type " + std::string(type_name(setting.type)));
    }
    fits = *number >= setting.lowest && *number <= setting.highest;
    if (setting.name.starts_with("retention.") && *number == 0) {
      return bad_value(setting, value, "Value must be -1 or at least 1");
    }
  }
  if (fits) return {};
  return bad_value(setting, value, "Value must be at least " + std::to_string(setting.lowest) +
                                       (setting.highest < INT32_MAX
                                            ? " and at most " + std::to_string(setting.highest)
                                            : ""));
}

// Kafka's ThrottledReplicaListValidator.
Status check_replicas(const Setting& setting, std::string_view value) {
  if (value == "*") return {};
  for (const std::string& item : split_list(value)) {
    const size_t colon = std::min(item.find(':'), item.size());
    auto digits = [](std::string_view text) {
      return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
    };
    if (colon < item.size() && digits(std::string_view(item).substr(0, colon)) &&
        digits(std::string_view(item).substr(colon + 1))) {
      continue;
    }
    return bad_value(setting, value, "Must be '*' or [partitionId]:[brokerId],...");
  }
  return {};
}

Status check_value(const Setting& setting, std::string_view value) {
  switch (setting.type) {
    case ConfigType::kInt:
    case ConfigType::kLong:
    case ConfigType::kDouble:
      return check_number(setting, value);
    case ConfigType::kBoolean:
      if (value == "true" || value == "false") return {};
      return bad_value(setting, value, "Expected value to be either true or false");
    case ConfigType::kString:
      if (setting.name == kDurability) {
        if (value == "synced" || value == "memory") return {};
        return bad_value(setting, value, "String must be one of: synced, memory");
      }
      if (setting.name == "compression.type") {
        if (value == "producer" || parse_compression(value)) return {};
        return bad_value(setting, value,
                         "String must be one of: uncompressed, zstd, lz4, snappy, gzip, producer");
      }
      if (value == "CreateTime" || value == "LogAppendTime") return {};
      return bad_value(setting, value, "String must be one of: CreateTime, LogAppendTime");
    case ConfigType::kList:  // of throttled replicas: the others are fixed
      return check_replicas(setting, value);
  }
  return {};
}

void note_field(ConfigChange& change, std::string field) {
  if (std::find(change.fields.begin(), change.fields.end(), field) == change.fields.end()) {
    change.fields.push_back(std::move(field));
  }
}

Status unknown(std::string_view name) {
  return Status(Code::kInvalidArgument, "Unknown topic config name: " + std::string(name));
}

bool lists(const google::protobuf::RepeatedPtrField<std::string>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

std::optional<std::string> set_by_name(const v1::StreamConfig& config, std::string_view name) {
  if (config.kafka().empty()) return std::nullopt;
  auto it = config.kafka().find(std::string(name));
  if (it == config.kafka().end()) return std::nullopt;
  return it->second;
}

// The value that somebody has set for this topic.
std::optional<std::string> explicit_value(const v1::StreamConfig& config, const Setting& setting,
                                          const Options& options) {
  if (setting.kept == Kept::kByName) return set_by_name(config, setting.name);
  if (setting.kept == Kept::kBirth) {
    const bool memory = config.durability() == v1::DURABILITY_MEMORY;
    return memory ? std::optional<std::string>("memory") : std::nullopt;
  }
  if (setting.kept != Kept::kField || lists(config.defaulted(), field_of(setting.name))) {
    return std::nullopt;
  }
  if (setting.name == "min.insync.replicas" && config.min_insync() == 0) return std::nullopt;
  return std::to_string(field_value(config, setting.name, options));
}

}  // namespace

Status set_topic_config(std::string_view name, const std::optional<std::string>& value,
                        ConfigChange& change) {
  const Setting* setting = find_setting(name);
  if (!setting) return unknown(name);
  if (!value) {
    return Status(Code::kInvalidArgument,
                  "Null value not supported for topic configs: " + std::string(name));
  }
  if (setting->kept == Kept::kFixed) {
    if (*value == setting->fallback) return {};
    return bad_value(*setting, *value,
                     "only '" + std::string(setting->fallback) + "' is offered. " +
                         std::string(setting->documentation));
  }
  RETURN_IF_ERROR(check_value(*setting, *value));
  if (setting->kept == Kept::kField) {
    set_field(change.config, name, *parse_number<int64_t>(*value));
    note_field(change, field_of(name));
  } else if (setting->kept == Kept::kBirth) {
    change.config.set_durability(*value == "memory" ? v1::DURABILITY_MEMORY
                                                    : v1::DURABILITY_SYNCED);
    note_field(change, "durability");
  } else {
    (*change.config.mutable_kafka())[std::string(name)] = *value;
    note_field(change, "kafka");
  }
  return {};
}

Status reset_topic_config(std::string_view name, ConfigChange& change) {
  const Setting* setting = find_setting(name);
  if (!setting) return unknown(name);
  if (setting->kept == Kept::kField) {
    set_field(change.config, name, 0);
    note_field(change, field_of(name));
  } else if (setting->kept == Kept::kByName) {
    (*change.config.mutable_kafka())[std::string(name)] = "";
    note_field(change, "kafka");
  } else if (setting->kept == Kept::kBirth) {
    return set_topic_config(name, std::string(setting->fallback), change);
  }
  return {};
}

Status drop_what_is_so_already(const v1::StreamConfig& now, ConfigChange& change) {
  auto field = std::find(change.fields.begin(), change.fields.end(), "durability");
  if (field == change.fields.end()) return {};
  if (change.config.durability() != now.durability()) {
    return Status(Code::kInvalidArgument,
                  std::string(kDurability) + " is fixed at a topic's creation: create another topic "
                  "with the wanted one and copy the records");
  }
  change.fields.erase(field);
  return {};
}

Status edit_topic_config(std::string_view name, const std::optional<std::string>& value, bool adds,
                         const v1::StreamConfig& now, ConfigChange& change) {
  const Setting* setting = find_setting(name);
  if (!setting) return unknown(name);
  if (setting->type != ConfigType::kList) {
    return Status(Code::kInvalidArgument, "Can't " + std::string(adds ? "APPEND" : "SUBTRACT") +
                                              " to key " + std::string(name) +
                                              " because its type is not LIST.");
  }
  std::vector<std::string> items = split_list(
      set_by_name(now, name).value_or(std::string(setting->fallback)));
  for (const std::string& item : split_list(value.value_or(""))) {
    auto at = std::find(items.begin(), items.end(), item);
    if (adds && at == items.end()) items.push_back(item);
    if (!adds && at != items.end()) items.erase(at);
  }
  std::string text;
  for (const std::string& item : items) text += (text.empty() ? "" : ",") + item;
  return set_topic_config(name, text, change);
}

void reset_other_topic_configs(const v1::StreamConfig& now, std::span<const std::string> named,
                               ConfigChange& change) {
  for (const Setting& setting : kSettings) {
    if (std::find(named.begin(), named.end(), setting.name) != named.end()) continue;
    if (setting.kept == Kept::kByName && !set_by_name(now, setting.name)) continue;
    if (setting.kept == Kept::kBirth) continue;
    reset_topic_config(setting.name, change).ignore_error("every name here is known");
  }
}

std::vector<ConfigValue> topic_configs(const v1::StreamConfig& config, const Options& options) {
  std::vector<ConfigValue> all;
  for (const Setting& setting : kSettings) {
    ConfigValue value{std::string(setting.name), std::string(setting.fallback), setting.type,
                      ConfigSource::kDefault, setting.documentation,
                      setting.kept == Kept::kFixed || setting.kept == Kept::kBirth, {}};
    if (setting.kept == Kept::kField) {
      value.value = std::to_string(field_value(config, setting.name, options));
    }
    if (auto set = explicit_value(config, setting, options)) {
      value.value = *set;
      value.source = ConfigSource::kTopic;
      value.synonyms.push_back({value.name, *set, ConfigSource::kTopic});
    }
    // What the default of a field is once it is set, only the coordinator knows.
    if (setting.kept != Kept::kField || value.source == ConfigSource::kDefault) {
      std::string fallback =
          setting.kept == Kept::kField ? value.value : std::string(setting.fallback);
      value.synonyms.push_back(
          {std::string(setting.broker_name), std::move(fallback), ConfigSource::kDefault});
    }
    all.push_back(std::move(value));
  }
  return all;
}

bool is_throttle(std::string_view name) {
  return std::any_of(std::begin(kThrottles), std::end(kThrottles),
                     [&](const Throttle& throttle) { return throttle.name == name; });
}

Result<int64_t> parse_throttle(std::string_view name, const std::optional<std::string>& value) {
  auto number = parse_number<int64_t>(value.value_or(""));
  if (number && *number >= 0) return *number;
  return Status(Code::kInvalidArgument, "Invalid value " + value.value_or("null") +
                                            " for configuration " + std::string(name) +
                                            ": bytes a second, at least 0");
}

std::vector<ConfigValue> broker_configs(const Context& context) {
  const Services& services = context.services;
  const Options& options = services.options;
  std::vector<ConfigValue> all;
  auto add = [&](std::string name, std::string value, ConfigType type, std::string_view text,
                 ConfigSource source = ConfigSource::kStaticBroker) {
    ConfigValue config{name, value, type, source, text, true, {}};
    config.synonyms.push_back({std::move(name), std::move(value), source});
    all.push_back(std::move(config));
  };
  const v1::Broker* self = services.metadata.find_broker(services.self);
  std::string listener = self ? "PLAINTEXT://" + self->kafka().host() + ":" +
                                    std::to_string(self->kafka().port())
                              : "";
  add("advertised.listeners", listener, ConfigType::kString, "Where clients reach this broker.");
  add("auto.create.topics.enable", options.auto_create_topics ? "true" : "false",
      ConfigType::kBoolean, "Whether asking for a topic by name creates it.");
  add("broker.id", std::to_string(services.self.value), ConfigType::kInt,
      "The number of this broker.");
  add("broker.rack", self ? self->zone() : "", ConfigType::kString, "The broker's zone.");
  add("connections.max.idle.ms", std::to_string(options.idle_close_ms), ConfigType::kLong,
      "A connection without requests is closed after this time.");
  add("delete.topic.enable", "true", ConfigType::kBoolean, "Topics can be deleted.");
  add("fetch.max.bytes", std::to_string(options.fetch_bytes_max), ConfigType::kInt,
      "The most bytes of records in a fetch response.");
  add("max.incremental.fetch.session.cache.slots", std::to_string(options.fetch_sessions_max),
      ConfigType::kInt, "How many incremental fetch sessions are kept.");
  add("message.max.bytes", std::to_string(options.batch_bytes_max), ConfigType::kInt,
      "The largest record batch where a topic says nothing.");
  add("node.id", std::to_string(services.self.value), ConfigType::kInt,
      "The number of this broker.");
  add("num.partitions", std::to_string(options.num_partitions), ConfigType::kInt, "Partitions of a topic that does not say how many.");
  add("producer.id.expiration.ms", std::to_string(partition::kProducerIdExpirationMs),
      ConfigType::kInt, "How long a silent idempotent producer is remembered.");
  add("socket.request.max.bytes", std::to_string(options.request_bytes_max), ConfigType::kInt,
      "The largest request.");
  for (const Throttle& throttle : kThrottles) {
    ConfigValue config{std::string(throttle.name), std::string(kForEver), ConfigType::kLong,
                       ConfigSource::kDefault, throttle.documentation, false, {}};
    auto set = context.throttles.find(config.name);
    if (set != context.throttles.end()) {
      config.value = std::to_string(set->second);
      config.source = ConfigSource::kBroker;
      config.synonyms.push_back({config.name, config.value, ConfigSource::kBroker});
    }
    config.synonyms.push_back({config.name, std::string(kForEver), ConfigSource::kDefault});
    all.push_back(std::move(config));
  }
  return all;
}

TimestampRules timestamp_rules(const v1::StreamConfig& config) {
  TimestampRules rules;
  if (config.kafka().empty()) return rules;
  rules.log_append_time = set_by_name(config, "message.timestamp.type") == "LogAppendTime";
  auto number = [&](std::string_view name, int64_t fallback) {
    auto text = set_by_name(config, name);
    return text ? parse_number<int64_t>(*text).value_or(fallback) : fallback;
  };
  rules.before_max_ms = number("message.timestamp.before.max.ms", rules.before_max_ms);
  rules.after_max_ms = number("message.timestamp.after.max.ms", rules.after_max_ms);
  return rules;
}

}  // namespace broker::handlers::kafka
