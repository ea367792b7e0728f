// From JSON; to JSON: json_write.cc.
#include "operator/api/json.h"

#include <limits>
#include <nlohmann/json.hpp>

#include "operator/api/words.h"

namespace sluice_operator::api {

using broker::Code;
using broker::Result;
using broker::Status;
using Json = nlohmann::json;

namespace {

// Reads the fields of one JSON object; the first that is of another kind is remembered.
class Fields {
 public:
  Fields(const Json& object, std::string path, Status& failure)
      : object_(object), path_(std::move(path)), failure_(failure) {
    if (!object_.is_object() && !object_.is_null()) fail("", "an object");
  }
  bool has(const char* name) const { return find(name) != nullptr; }
  Fields child(const char* name) const {
    static const Json none;
    const Json* value = find(name);
    return Fields(value ? *value : none, path_ + "." + name, failure_);
  }
  void read(const char* name, std::string& out) const {
    const Json* value = find(name);
    if (!value) return;
    if (value->is_string()) out = value->get<std::string>();
    else fail(name, "text");
  }
  void read(const char* name, bool& out) const {
    const Json* value = find(name);
    if (!value) return;
    if (value->is_boolean()) out = value->get<bool>();
    else fail(name, "true or false");
  }
  template <std::integral T>
  void read(const char* name, T& out) const {
    const Json* value = find(name);
    if (!value) return;
    if (!value->is_number_integer()) return fail(name, "an integer");
    const int64_t number = value->get<int64_t>();
    if (number < std::numeric_limits<T>::min() || number > std::numeric_limits<T>::max()) {
      return fail(name, "a smaller number");
    }
    out = static_cast<T>(number);
  }
  void read(const char* name, double& out) const {
    const Json* value = find(name);
    if (!value) return;
    if (value->is_number()) out = value->get<double>();
    else fail(name, "a number");
  }
  template <class T>
  void read(const char* name, std::optional<T>& out) const {
    if (!has(name)) return;
    T value{};
    read(name, value);
    out = value;
  }
  // Numbers become text: quantities may be either.
  void read(const char* name, std::map<std::string, std::string>& out) const {
    const Json* value = find(name);
    if (!value) return;
    if (!value->is_object()) return fail(name, "an object");
    out.clear();
    for (const auto& [key, item] : value->items()) {
      out[key] = item.is_string() ? item.get<std::string>() : item.dump();
    }
  }
  // An object that is kept as text.
  void read_json(const char* name, std::string& out, std::string (*text)(const Json&)) const {
    const Json* value = find(name);
    if (!value) return;
    if (!value->is_object()) return fail(name, "an object");
    out = text(*value);
  }
  void read(const char* name, std::vector<std::string>& out) const {
    each(name, [&](const Json& item) {
      if (item.is_string()) out.push_back(item.get<std::string>());
      else fail(name, "a list of texts");
    });
  }
  void read(const char* name, std::vector<int32_t>& out) const {
    each(name, [&](const Json& item) {
      if (item.is_number_integer()) out.push_back(item.get<int32_t>());
      else fail(name, "a list of integers");
    });
  }
  template <class Read>
  void each(const char* name, Read read_item) const {
    const Json* value = find(name);
    if (!value) return;
    if (!value->is_array()) return fail(name, "a list");
    for (const auto& item : *value) read_item(item);
  }
  template <class Read>
  void each_object(const char* name, Read read_item) const {
    each(name, [&](const Json& item) { read_item(Fields(item, path_ + "." + name, failure_)); });
  }
  // One word of a few.
  template <class T>
  void read_word(const char* name, T& out,
                 std::initializer_list<std::pair<const char*, T>> words) const {
    std::string word;
    read(name, word);
    if (!has(name)) return;
    for (const auto& [text, value] : words) {
      if (word == text) {
        out = value;
        return;
      }
    }
    fail(name, "one of its words");
  }

 private:
  const Json* find(const char* name) const {
    if (!object_.is_object()) return nullptr;
    auto it = object_.find(name);
    return it == object_.end() || it->is_null() ? nullptr : &*it;
  }
  void fail(const std::string& name, const char* expected) const {
    if (!failure_.ok()) return;
    failure_ = Status(Code::kInvalidArgument,
                      path_ + (name.empty() ? "" : "." + name) + ": expected " + expected);
  }
  const Json& object_;
  const std::string path_;
  Status& failure_;
};

void read_metadata_fields(const Fields& fields, Metadata& out) {
  fields.read("namespace", out.ns);
  fields.read("name", out.name);
  fields.read("uid", out.uid);
  fields.read("resourceVersion", out.resource_version);
  fields.read("generation", out.generation);
  out.deleting = fields.has("deletionTimestamp");
  fields.read("labels", out.labels);
  fields.read("annotations", out.annotations);
  fields.read("finalizers", out.finalizers);
}

void read_conditions(const Fields& status, std::vector<Condition>& out) {
  status.each_object("conditions", [&](const Fields& fields) {
    Condition condition;
    fields.read("type", condition.type);
    fields.read("status", condition.status);
    fields.read("reason", condition.reason);
    fields.read("message", condition.message);
    fields.read("lastTransitionTime", condition.last_transition_time);
    fields.read("observedGeneration", condition.observed_generation);
    out.push_back(std::move(condition));
  });
}

Decision read_decision(const Fields& fields) {
  Decision decision;
  fields.read("time", decision.time);
  fields.read("action", decision.action);
  fields.read("shards", decision.shards);
  fields.read("reason", decision.reason);
  fields.read("message", decision.message);
  fields.read("inputs", decision.inputs);
  return decision;
}

MeteringStatus read_metering(const Fields& fields) {
  MeteringStatus out;
  fields.read("since", out.since);
  fields.read("asOf", out.as_of);
  fields.read("putPayloadUnits", out.put_units);
  fields.read("records", out.records);
  fields.read("bytes", out.bytes);
  fields.read("shardHours", out.shard_hours);
  fields.read("extendedRetentionShardHours", out.extended_shard_hours);
  fields.read("longTermRetentionGBMonths", out.long_term_gb_months);
  fields.read("brokerHours", out.broker_hours);
  Fields zones = fields.child("crossZoneBytes");
  zones.read("replicated", out.replicated_bytes);
  zones.read("forwarded", out.forwarded_bytes);
  zones.read("fetched", out.fetched_bytes);
  Fields cost = fields.child("cost");
  cost.read("currency", out.currency);
  cost.read("pricesAsOf", out.prices_as_of);
  cost.read("items", out.costs);
  if (cost.has("total")) cost.read("total", out.costs["total"]);
  return out;
}

// What says nothing is left out, as the API server leaves it out of pods: else it would be written again
// and again.
std::string pod_text(const Json& pod) {
  Json out = Json::object();
  for (const auto& [name, value] : pod.items()) {
    if (value.is_null() || value.empty() || value == "") continue;
    out[name] = value;
  }
  if (out.contains("tolerations") && out["tolerations"].is_array()) {
    for (auto& toleration : out["tolerations"]) {
      Json kept = Json::object();
      for (const auto& [name, value] : toleration.items()) {
        if (!value.is_null() && value != "") kept[name] = value;
      }
      toleration = std::move(kept);
    }
  }
  return out.empty() ? "" : out.dump();
}

void read_spec(const Fields& spec, StreamClusterSpec& out) {
  spec.read("brokers", out.brokers);
  spec.read("image", out.image);
  spec.read("imagePullPolicy", out.image_pull_policy);
  if (spec.has("resources")) {
    // Given resources replace the default as a whole, as the definition's default does.
    out.requests.clear();
    spec.child("resources").read("requests", out.requests);
    spec.child("resources").read("limits", out.limits_of_pod);
  }
  spec.read_json("pod", out.pod, pod_text);
  Fields storage = spec.child("storage");
  storage.read("size", out.storage.size);
  storage.read("storageClassName", out.storage.storage_class);
  storage.read_word("deletionPolicy", out.storage.deletion_policy, kDeletionPolicies);
  storage.read("deletionDelaySeconds", out.storage.deletion_delay_seconds);
  spec.read("drain", out.drain);
  spec.child("rebalancing").read("paused", out.rebalancing.paused);
  spec.child("rebalancing").read_word("mode", out.rebalancing.mode, kRebalancingModes);
  spec.child("zones").read("topologyKey", out.zone_key);
  spec.child("replication").read("factor", out.replication.factor);
  spec.child("replication").read("minInsync", out.replication.min_insync);
  Fields limits = spec.child("limits");
  limits.read("shardWriteBytesPerSecond", out.limits.shard_write_bytes_per_second);
  limits.read("shardWriteRecordsPerSecond", out.limits.shard_write_records_per_second);
  limits.read("maxRecordBytes", out.limits.max_record_bytes);
  spec.child("kafka").read("autoCreateTopics", out.kafka.auto_create_topics);
  spec.child("kafka").read("numPartitions", out.kafka.num_partitions);
  spec.child("kinesis").read("credentialsSecret", out.kinesis.credentials_secret);
  spec.child("kinesis").read("tls", out.kinesis.tls);
  spec.child("metering").read("intervalSeconds", out.metering.interval_seconds);
  if (spec.has("prices")) {
    Fields fields = spec.child("prices");
    auto& prices = out.prices.emplace();
    fields.read("currency", prices.currency);
    fields.read("asOf", prices.as_of);
    fields.read("shardHour", prices.shard_hour);
    fields.read("millionPutUnits", prices.million_put_units);
    fields.read("extendedRetentionShardHour", prices.extended_retention_shard_hour);
    fields.read("longTermRetentionGBMonth", prices.long_term_retention_gb_month);
    fields.read("brokerHour", prices.broker_hour);
    fields.read("crossZoneGB", prices.cross_zone_gb);
  }
  spec.each_object("listeners", [&](const Fields& fields) {
    StreamClusterSpec::Listener listener;
    fields.read("name", listener.name);
    fields.read("port", listener.port);
    fields.read("tls", listener.tls);
    fields.read_word("authentication", listener.authentication, kListenerAuthentications);
    fields.read_word("type", listener.type, kListenerTypes);
    fields.read("host", listener.host_template);
    fields.read("bootstrapHost", listener.bootstrap_host);
    fields.read("advertisedPort", listener.advertised_port);
    fields.read("ingressClassName", listener.ingress_class);
    fields.read("annotations", listener.annotations);
    Fields gateway = fields.child("gateway");
    gateway.read("namespace", listener.gateway.ns);
    gateway.read("name", listener.gateway.name);
    gateway.read("sectionName", listener.gateway.section);
    out.listeners.push_back(std::move(listener));
  });
  spec.child("tls").read("certificateSecret", out.tls.certificate_secret);
  spec.child("tls").read("caSecret", out.tls.ca_secret);
  spec.child("authorization").read("enabled", out.authorization.enabled);
  spec.child("authorization").read("superUsers", out.authorization.super_users);
  spec.child("autoscaling").child("prometheus").read("url", out.autoscaling.prometheus_url);
  spec.child("autoscaling").read("intervalSeconds", out.autoscaling.interval_seconds);
  Fields prometheus = spec.child("autoscaling").child("prometheus");
  prometheus.read("caBundle", out.autoscaling.prometheus_ca);
  prometheus.read("queries", out.autoscaling.queries);
  prometheus.child("tokenSecret").read("name", out.autoscaling.token_secret);
  prometheus.child("tokenSecret").read("key", out.autoscaling.token_key);
  if (!spec.child("autoscaling").has("brokers")) return;
  Fields brokers = spec.child("autoscaling").child("brokers");
  auto& scaling = out.autoscaling.brokers.emplace();
  brokers.read("min", scaling.min);
  brokers.read("max", scaling.max);
  brokers.read("targetUtilizationPercent", scaling.target_utilization_percent);
  brokers.read("spaceTargetPercent", scaling.space_target_percent);
  brokers.read("scaleUpStabilizationSeconds", scaling.scale_up_stabilization_seconds);
  brokers.read("scaleDownStabilizationSeconds", scaling.scale_down_stabilization_seconds);
  brokers.read("cooldownSeconds", scaling.cooldown_seconds);
  brokers.read("networkBytesPerSecond", scaling.network_bytes_per_second);
  brokers.read("diskBytesPerSecond", scaling.disk_bytes_per_second);
  brokers.read("pricePerHour", scaling.price_per_hour);
  brokers.read("budgetPerHour", scaling.budget_per_hour);
  brokers.read("produceP99Milliseconds", scaling.produce_p99_milliseconds);
  brokers.read_word("mode", scaling.mode, kScalingModes);
}

void read_proposal(const Fields& fields, RebalanceProposal& out) {
  fields.read("id", out.id);
  fields.read("createdAt", out.created_at);
  fields.read("state", out.state);
  fields.each_object("moves", [&](const Fields& item) {
    auto& move = out.moves.emplace_back();
    item.read("stream", move.stream);
    item.read("shard", move.shard);
    item.read("from", move.from);
    item.read("to", move.to);
    item.read("bytes", move.bytes);
    item.read("reason", move.reason);
  });
  fields.each_object("brokers", [&](const Fields& item) {
    auto& load = out.brokers.emplace_back();
    item.read("id", load.broker);
    item.read("replicasBefore", load.replicas_before);
    item.read("replicasAfter", load.replicas_after);
    item.read("bytesBefore", load.bytes_before);
    item.read("bytesAfter", load.bytes_after);
  });
}

void read_status(const Fields& status, StreamClusterStatus& out) {
  status.read("observedGeneration", out.observed_generation);
  read_conditions(status, out.conditions);
  status.read("brokers", out.brokers);
  status.read("readyBrokers", out.ready_brokers);
  status.read("updatedBrokers", out.updated_brokers);
  status.read("selector", out.selector);
  status.read("version", out.version);
  status.read("image", out.image);
  status.each_object("brokerStates", [&](const Fields& fields) {
    BrokerState state;
    fields.read("id", state.id);
    fields.read("pod", state.pod);
    fields.read("node", state.node);
    fields.read("zone", state.zone);
    fields.read("ready", state.ready);
    fields.read("shards", state.shards);
    fields.read("leaders", state.leaders);
    fields.read("state", state.state);
    fields.read("directory", state.directory);
    fields.read("bytes", state.bytes);
    fields.read("updated", state.updated);
    out.broker_states.push_back(std::move(state));
  });
  status.each_object("listeners", [&](const Fields& fields) {
    ListenerStatus listener;
    fields.read("name", listener.name);
    fields.read("bootstrapServers", listener.bootstrap_servers);
    out.listeners.push_back(std::move(listener));
  });
  Fields rebalance = status.child("rebalance");
  rebalance.read("state", out.rebalance.state);
  rebalance.read("reason", out.rebalance.reason);
  rebalance.read("message", out.rebalance.message);
  rebalance.read("movesTotal", out.rebalance.moves_total);
  rebalance.read("movesDone", out.rebalance.moves_done);
  rebalance.read("bytesTotal", out.rebalance.bytes_total);
  rebalance.read("bytesDone", out.rebalance.bytes_done);
  rebalance.read("secondsLeft", out.rebalance.seconds_left);
  rebalance.read("startedAt", out.rebalance.started_at);
  rebalance.read("finishedAt", out.rebalance.finished_at);
  if (status.has("rebalanceProposal")) {
    read_proposal(status.child("rebalanceProposal"), out.rebalance_proposal.emplace());
  }
  if (status.has("lastDecision")) out.last_decision = read_decision(status.child("lastDecision"));
  status.each_object("decisions",
                     [&](const Fields& fields) { out.decisions.push_back(read_decision(fields)); });
  if (status.has("metering")) out.metering = read_metering(status.child("metering"));
}

void read_spec(const Fields& spec, StreamSpec& out) {
  spec.read("cluster", out.cluster);
  spec.read("name", out.name);
  spec.read_word("mode", out.mode, {{"Partitioned", StreamMode::kPartitioned},
                                    {"Elastic", StreamMode::kElastic}});
  spec.read("partitions", out.partitions);
  spec.read("replication", out.replication);
  spec.read("minInsync", out.min_insync);
  spec.read_word("durability", out.durability,
                 {{"synced", Durability::kSynced}, {"memory", Durability::kMemory}});
  Fields retention = spec.child("retention");
  if (retention.has("hours")) {
    int64_t hours = 0;
    retention.read("hours", hours);
    out.retention.ms = hours * 3'600'000;
  }
  retention.read("ms", out.retention.ms);
  retention.read("bytes", out.retention.bytes);
  spec.read("maxRecordBytes", out.max_record_bytes);
  spec.each_object("kafkaConfigs", [&](const Fields& setting) {
    std::string name;
    setting.read("name", name);
    setting.read("value", out.kafka_configs[name]);
  });
  if (spec.has("autoscaling")) {
    Fields fields = spec.child("autoscaling");
    auto& scaling = out.autoscaling.emplace();
    fields.read("minShards", scaling.min_shards);
    fields.read("maxShards", scaling.max_shards);
    fields.read("targetUtilizationPercent", scaling.target_utilization_percent);
    fields.read("scaleUpStabilizationSeconds", scaling.scale_up_stabilization_seconds);
    fields.read("scaleDownStabilizationSeconds", scaling.scale_down_stabilization_seconds);
    fields.read("throttledPerMillion", scaling.throttled_per_million);
    fields.read("actionsPerShardPerHour", scaling.actions_per_shard_per_hour);
    fields.read_word("mode", scaling.mode, kScalingModes);
    fields.child("warmThroughput").read("bytesPerSecond", scaling.warm_bytes_per_second);
    fields.child("warmThroughput").read("recordsPerSecond", scaling.warm_records_per_second);
    fields.each_object("schedules", [&](const Fields& item) {
      auto& schedule = scaling.schedules.emplace_back();
      item.read("days", schedule.days);
      item.read("from", schedule.from);
      item.read("to", schedule.to);
      item.read("minShards", schedule.min_shards);
    });
  }
  if (spec.has("partitionScaling")) {
    Fields fields = spec.child("partitionScaling");
    auto& scaling = out.partition_scaling.emplace();
    fields.read("maxPartitions", scaling.max_partitions);
    fields.read("acceptKeyMovement", scaling.accept_key_movement);
    fields.read("targetUtilizationPercent", scaling.target_utilization_percent);
    fields.read("scaleUpStabilizationSeconds", scaling.scale_up_stabilization_seconds);
    fields.read("cooldownSeconds", scaling.cooldown_seconds);
    fields.read_word("mode", scaling.mode, kScalingModes);
  }
  spec.read_word("deletionPolicy", out.deletion_policy, kDeletionPolicies);
}

void read_status(const Fields& status, StreamStatus& out) {
  status.read("observedGeneration", out.observed_generation);
  read_conditions(status, out.conditions);
  status.read("streamId", out.stream_id);
  status.read("durability", out.durability);
  status.read("openShards", out.open_shards);
  status.read("closedShards", out.closed_shards);
  if (status.has("metering")) out.metering = read_metering(status.child("metering"));
  status.each_object("decisions",
                     [&](const Fields& fields) { out.decisions.push_back(read_decision(fields)); });
}

void read_spec(const Fields& spec, StreamUserSpec& out) {
  spec.read("cluster", out.cluster);
  spec.read("name", out.name);
  spec.read("secretName", out.secret_name);
  spec.child("authentication")
      .read_word("type", out.authentication,
                 {{"Scram", StreamUserSpec::Authentication::kScram},
                  {"AccessKey", StreamUserSpec::Authentication::kAccessKey},
                  {"Tls", StreamUserSpec::Authentication::kTls}});
  Fields quotas = spec.child("quotas");
  quotas.read("producerByteRate", out.quotas.producer_byte_rate);
  quotas.read("consumerByteRate", out.quotas.consumer_byte_rate);
  quotas.read("requestPercentage", out.quotas.request_percentage);
  quotas.read("controllerMutationRate", out.quotas.controller_mutation_rate);
  if (spec.has("passwordFrom")) {
    out.password_from.emplace();
    spec.child("passwordFrom").read("secret", out.password_from->secret);
    spec.child("passwordFrom").read("key", out.password_from->key);
  }
  spec.each_object("acls", [&](const Fields& fields) {
    StreamUserSpec::Rule rule;
    fields.read("resource", rule.resource);
    fields.read("name", rule.name);
    fields.read("prefix", rule.prefix);
    fields.read("operations", rule.operations);
    fields.read_word("effect", rule.deny, {{"Allow", false}, {"Deny", true}});
    fields.read("host", rule.host);
    out.acls.push_back(std::move(rule));
  });
}

void read_status(const Fields& status, StreamUserStatus& out) {
  status.read("observedGeneration", out.observed_generation);
  read_conditions(status, out.conditions);
  status.read("secret", out.secret);
  status.read("certificateExpiresAt", out.certificate_expires_at);
  status.read("certificateIssuer", out.certificate_issuer);
}

template <class Resource>
Result<Resource> read_resource(const Json& object) {
  Status failure;
  Resource out;
  Fields root(object, "object", failure);
  read_metadata_fields(root.child("metadata"), out.metadata);
  read_spec(root.child("spec"), out.spec);
  read_status(root.child("status"), out.status);
  if (!failure.ok()) return failure;
  return out;
}

}  // namespace

Result<Metadata> read_metadata(const Json& object) {
  Status failure;
  Metadata out;
  read_metadata_fields(Fields(object, "object", failure).child("metadata"), out);
  if (!failure.ok()) return failure;
  return out;
}

Result<StreamCluster> read_stream_cluster(const Json& object) {
  return read_resource<StreamCluster>(object);
}

Result<Stream> read_stream(const Json& object) {
  auto stream = read_resource<Stream>(object);
  if (stream.ok() && stream->spec.name.empty()) stream->spec.name = stream->metadata.name;
  return stream;
}

Result<StreamUser> read_stream_user(const Json& object) {
  auto user = read_resource<StreamUser>(object);
  if (!user.ok()) return user;
  if (user->spec.name.empty()) user->spec.name = user->metadata.name;
  if (user->spec.secret_name.empty()) user->spec.secret_name = user->metadata.name;
  return user;
}

}  // namespace sluice_operator::api
