#include <algorithm>
#include <ctime>

#include "operator/api/stream.h"
#include "operator/api/stream_cluster.h"

namespace sluice_operator::api {

bool Metadata::has_finalizer(const std::string& finalizer) const {
  return std::find(finalizers.begin(), finalizers.end(), finalizer) != finalizers.end();
}

bool Metadata::paused() const {
  auto it = annotations.find(kPausedAnnotation);
  return it != annotations.end() && it->second == "true";
}

void set_condition(std::vector<Condition>& conditions, Condition next, const std::string& now) {
  for (auto& condition : conditions) {
    if (condition.type != next.type) continue;
    next.last_transition_time =
        condition.status == next.status ? condition.last_transition_time : now;
    condition = std::move(next);
    return;
  }
  next.last_transition_time = now;
  conditions.push_back(std::move(next));
}

void drop_condition(std::vector<Condition>& conditions, const std::string& type) {
  std::erase_if(conditions, [&](const Condition& condition) { return condition.type == type; });
}

const Condition* find_condition(const std::vector<Condition>& conditions, const std::string& type) {
  for (const auto& condition : conditions) {
    if (condition.type == type) return &condition;
  }
  return nullptr;
}

std::string rfc3339(int64_t wall_ms) {
  std::time_t seconds = wall_ms / 1000;
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc);
  return text;
}

int64_t rfc3339_ms(const std::string& text) {
  std::tm utc{};
  const char* end = strptime(text.c_str(), "%Y-%m-%dT%H:%M:%SZ", &utc);
  return end && *end == 0 ? static_cast<int64_t>(timegm(&utc)) * 1000 : -1;
}

std::string to_string(const std::vector<FieldError>& errors) {
  std::string text;
  for (const auto& error : errors) {
    text += (text.empty() ? "" : "; ") + error.field + ": " + error.message;
  }
  return text;
}

int32_t default_replication(const StreamClusterSpec& spec) {
  return spec.replication.factor.value_or(std::min(3, spec.brokers));
}

bool has_tls_listener(const StreamClusterSpec& spec) {
  return spec.kinesis.tls || std::any_of(spec.listeners.begin(), spec.listeners.end(),
                                         [](const auto& listener) { return listener.tls; });
}

static void validate_listener(const std::string& cluster_name,
                              const StreamClusterSpec::Listener& listener,
                              std::vector<FieldError>& errors) {
  const std::string field = "spec.listeners[" + listener.name + "]";
  if (listener.authentication == ListenerAuthentication::kTls && !listener.tls) {
    errors.push_back({field + ".authentication", "Tls needs tls: true"});
  }
  if (listener.type != ListenerType::kInternal && cluster_name.size() + listener.name.size() > 58) {
    errors.push_back({field + ".name", "with the cluster's name at most 58 characters, a Service of "
                                       "each broker is named after both"});
  }
  const bool routed =
      listener.type == ListenerType::kIngress || listener.type == ListenerType::kTlsRoute;
  if (!routed) return;
  if (!listener.tls) errors.push_back({field + ".tls", "a route by TLS needs tls: true"});
  if (listener.host_template.find("{id}") == std::string::npos) {
    errors.push_back({field + ".host", "one host for each broker, with {id} in its place"});
  }
  if (listener.bootstrap_host.empty()) {
    errors.push_back({field + ".bootstrapHost", "the host that clients connect to first"});
  }
  if (listener.type == ListenerType::kTlsRoute && listener.gateway.name.empty()) {
    errors.push_back({field + ".gateway", "the Gateway that the routes belong to"});
  }
}

std::vector<FieldError> validate(const StreamCluster& cluster) {
  std::vector<FieldError> errors;
  const auto& spec = cluster.spec;
  if (cluster.metadata.name.size() > 52) {
    errors.push_back({"metadata.name", "at most 52 characters, pods and Services are named after it"});
  }
  if (spec.brokers < 1) errors.push_back({"spec.brokers", "at least 1"});
  const int32_t copies = default_replication(spec);
  if (copies > spec.brokers) {
    errors.push_back({"spec.replication.factor", std::to_string(copies) + " copies need " +
                                                     std::to_string(copies) + " brokers, there are " +
                                                     std::to_string(spec.brokers)});
  }
  if (spec.replication.min_insync.value_or(1) > copies) {
    errors.push_back({"spec.replication.minInsync",
                      "greater than the number of copies, " + std::to_string(copies)});
  }
  for (const auto& listener : spec.listeners) {
    validate_listener(cluster.metadata.name, listener, errors);
  }
  return errors;
}

int32_t effective_replication(const StreamSpec& spec, const StreamClusterSpec& cluster) {
  return spec.replication.value_or(default_replication(cluster));
}

int32_t effective_min_insync(const StreamSpec& spec, const StreamClusterSpec& cluster) {
  const int32_t copies = effective_replication(spec, cluster);
  if (spec.min_insync) return *spec.min_insync;
  // The cluster's default was made for its own number of copies.
  if (cluster.replication.min_insync) return std::min(*cluster.replication.min_insync, copies);
  return copies / 2 + 1;
}

int64_t effective_max_record_bytes(const StreamSpec& spec, const StreamClusterSpec& cluster) {
  return spec.max_record_bytes.value_or(cluster.limits.max_record_bytes);
}

void add_decision(StreamStatus& status, Decision decision) {
  status.decisions.insert(status.decisions.begin(), std::move(decision));
  if (status.decisions.size() > StreamStatus::kDecisionsMax) {
    status.decisions.resize(StreamStatus::kDecisionsMax);
  }
}

bool legal_stream_name(const std::string& name) {
  if (name.empty() || name.size() > 249 || name == "." || name == "..") return false;
  return std::all_of(name.begin(), name.end(), [](unsigned char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
  });
}

static void validate_alone(const StreamSpec& spec, std::vector<FieldError>& errors) {
  if (!legal_stream_name(spec.name)) {
    errors.push_back({"spec.name", "'" + spec.name + "' is not a legal name: letters, digits, '.', "
                                   "'_' and '-', at most 249"});
  }
  if (spec.mode == StreamMode::kPartitioned && spec.partitions < 1) {
    errors.push_back({"spec.partitions", "at least 1 in mode Partitioned"});
  }
  if (spec.mode == StreamMode::kPartitioned && spec.autoscaling) {
    errors.push_back({"spec.autoscaling", "only for mode Elastic; see partitionScaling"});
  }
  if (spec.mode == StreamMode::kElastic && spec.partition_scaling) {
    errors.push_back({"spec.partitionScaling", "only for mode Partitioned; see autoscaling"});
  }
  if (spec.partition_scaling && !spec.partition_scaling->accept_key_movement) {
    errors.push_back({"spec.partitionScaling.acceptKeyMovement",
                      "must be true: where partitions are added, keys move between them"});
  }
  if (spec.mode == StreamMode::kElastic && spec.partitions != 0) {
    errors.push_back({"spec.partitions", "only for mode Partitioned"});
  }
  if (spec.autoscaling && spec.autoscaling->min_shards > spec.autoscaling->max_shards) {
    errors.push_back({"spec.autoscaling.minShards", "greater than maxShards"});
  }
}

std::vector<FieldError> validate(const Stream& stream, const StreamClusterSpec* cluster) {
  std::vector<FieldError> errors;
  validate_alone(stream.spec, errors);
  if (!cluster) return errors;
  const int32_t copies = effective_replication(stream.spec, *cluster);
  if (copies > cluster->brokers) {
    errors.push_back({"spec.replication", std::to_string(copies) + " copies need " +
                                              std::to_string(copies) + " brokers, the cluster has " +
                                              std::to_string(cluster->brokers)});
  }
  if (effective_min_insync(stream.spec, *cluster) > copies) {
    errors.push_back({"spec.minInsync", "greater than the number of copies, " +
                                            std::to_string(copies)});
  }
  return errors;
}

}  // namespace sluice_operator::api
