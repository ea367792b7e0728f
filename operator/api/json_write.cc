// To JSON; from JSON: json.cc.
#include <nlohmann/json.hpp>

#include "operator/api/json.h"
#include "operator/api/words.h"

namespace sluice_operator::api {

using Json = nlohmann::json;

namespace {

// Adds a field unless it has nothing to say.
template <class T>
void put(Json& object, const char* name, const T& value) {
  if constexpr (requires { value.empty(); }) {
    if (value.empty()) return;
  }
  object[name] = value;
}
template <class T>
void put(Json& object, const char* name, const std::optional<T>& value) {
  if (value) object[name] = *value;
}

template <class T>
const char* word_for(T value, const std::initializer_list<std::pair<const char*, T>>& words) {
  for (const auto& [text, known] : words) {
    if (known == value) return text;
  }
  return "";
}

Json to_json(const StreamClusterSpec::Listener& listener) {
  Json out = {{"name", listener.name},
              {"port", listener.port},
              {"tls", listener.tls},
              {"authentication", word_for(listener.authentication, kListenerAuthentications)},
              {"type", word_for(listener.type, kListenerTypes)}};
  put(out, "host", listener.host_template);
  put(out, "bootstrapHost", listener.bootstrap_host);
  if (listener.advertised_port != 0) out["advertisedPort"] = listener.advertised_port;
  put(out, "ingressClassName", listener.ingress_class);
  put(out, "annotations", listener.annotations);
  if (!listener.gateway.name.empty()) {
    out["gateway"]["name"] = listener.gateway.name;
    put(out["gateway"], "namespace", listener.gateway.ns);
    put(out["gateway"], "sectionName", listener.gateway.section);
  }
  return out;
}

Json to_json(const std::vector<Condition>& conditions) {
  Json list = Json::array();
  for (const auto& condition : conditions) {
    list.push_back({{"type", condition.type},
                    {"status", condition.status},
                    {"reason", condition.reason},
                    {"message", condition.message},
                    {"lastTransitionTime", condition.last_transition_time},
                    {"observedGeneration", condition.observed_generation}});
  }
  return list;
}

Json to_json(const Decision& decision) {
  Json out = {{"time", decision.time}, {"action", decision.action}};
  put(out, "shards", decision.shards);
  put(out, "reason", decision.reason);
  put(out, "message", decision.message);
  put(out, "inputs", decision.inputs);
  return out;
}

Json to_json(const MeteringStatus& metering) {
  Json out = {{"since", metering.since},
              {"asOf", metering.as_of},
              {"putPayloadUnits", metering.put_units},
              {"records", metering.records},
              {"bytes", metering.bytes},
              {"shardHours", metering.shard_hours},
              {"extendedRetentionShardHours", metering.extended_shard_hours},
              {"longTermRetentionGBMonths", metering.long_term_gb_months},
              {"brokerHours", metering.broker_hours},
              {"crossZoneBytes",
               {{"replicated", metering.replicated_bytes},
                {"forwarded", metering.forwarded_bytes},
                {"fetched", metering.fetched_bytes}}}};
  if (metering.currency.empty()) return out;
  Json items = metering.costs;
  items.erase("total");
  out["cost"] = {{"currency", metering.currency},
                 {"pricesAsOf", metering.prices_as_of},
                 {"total", metering.costs.at("total")},
                 {"items", items}};
  return out;
}

Json to_json(const BrokerState& state) {
  Json out = {{"id", state.id},         {"ready", state.ready},     {"shards", state.shards},
              {"leaders", state.leaders}, {"state", state.state}, {"bytes", state.bytes},
              {"updated", state.updated}};
  put(out, "directory", state.directory);
  put(out, "pod", state.pod);
  put(out, "node", state.node);
  put(out, "zone", state.zone);
  return out;
}

Json to_json(const RebalanceStatus& rebalance) {
  Json out = {{"state", rebalance.state},
              {"movesTotal", rebalance.moves_total},
              {"movesDone", rebalance.moves_done},
              {"bytesTotal", rebalance.bytes_total},
              {"bytesDone", rebalance.bytes_done}};
  if (rebalance.seconds_left >= 0) out["secondsLeft"] = rebalance.seconds_left;
  put(out, "reason", rebalance.reason);
  put(out, "message", rebalance.message);
  put(out, "startedAt", rebalance.started_at);
  put(out, "finishedAt", rebalance.finished_at);
  return out;
}

Json to_json(const RebalanceProposal& proposal) {
  Json out = {{"id", proposal.id},
              {"createdAt", proposal.created_at},
              {"state", proposal.state},
              {"moves", Json::array()},
              {"brokers", Json::array()}};
  for (const auto& move : proposal.moves) {
    out["moves"].push_back({{"stream", move.stream},
                            {"shard", move.shard},
                            {"from", move.from},
                            {"to", move.to},
                            {"bytes", move.bytes},
                            {"reason", move.reason}});
  }
  for (const auto& load : proposal.brokers) {
    out["brokers"].push_back({{"id", load.broker},
                              {"replicasBefore", load.replicas_before},
                              {"replicasAfter", load.replicas_after},
                              {"bytesBefore", load.bytes_before},
                              {"bytesAfter", load.bytes_after}});
  }
  return out;
}

const char* word(ScalingMode mode) {
  for (const auto& [text, value] : kScalingModes) {
    if (value == mode) return text;
  }
  return "Auto";
}

Json to_json(const StreamClusterSpec::BrokerScaling& scaling) {
  Json out{{"min", scaling.min},
           {"max", scaling.max},
           {"targetUtilizationPercent", scaling.target_utilization_percent},
           {"spaceTargetPercent", scaling.space_target_percent},
           {"scaleUpStabilizationSeconds", scaling.scale_up_stabilization_seconds},
           {"scaleDownStabilizationSeconds", scaling.scale_down_stabilization_seconds},
           {"cooldownSeconds", scaling.cooldown_seconds},
           {"mode", word(scaling.mode)}};
  auto put_positive = [&](const char* name, int64_t value) {
    if (value > 0) out[name] = value;
  };
  put_positive("networkBytesPerSecond", scaling.network_bytes_per_second);
  put_positive("diskBytesPerSecond", scaling.disk_bytes_per_second);
  put_positive("pricePerHour", scaling.price_per_hour);
  put_positive("budgetPerHour", scaling.budget_per_hour);
  put_positive("produceP99Milliseconds", scaling.produce_p99_milliseconds);
  return out;
}

const char* word(RebalancingMode mode) {
  return mode == RebalancingMode::kPropose ? "Propose" : "Automatic";
}

const char* word(DeletionPolicy policy) {
  return policy == DeletionPolicy::kDelete ? "Delete" : "Retain";
}

}  // namespace

Json spec_to_json(const StreamClusterSpec& spec) {
  Json out = {{"brokers", spec.brokers},
              {"imagePullPolicy", spec.image_pull_policy},
              {"resources", Json::object()},
              {"storage",
               {{"size", spec.storage.size},
                {"deletionPolicy", word(spec.storage.deletion_policy)},
                {"deletionDelaySeconds", spec.storage.deletion_delay_seconds}}},
              {"rebalancing",
               {{"paused", spec.rebalancing.paused}, {"mode", word(spec.rebalancing.mode)}}},
              {"zones", {{"topologyKey", spec.zone_key}}},
              {"replication", Json::object()},
              {"limits",
               {{"shardWriteBytesPerSecond", spec.limits.shard_write_bytes_per_second},
                {"shardWriteRecordsPerSecond", spec.limits.shard_write_records_per_second},
                {"maxRecordBytes", spec.limits.max_record_bytes}}},
              {"autoscaling", {{"intervalSeconds", spec.autoscaling.interval_seconds}}}};
  put(out, "image", spec.image);
  for (const auto& listener : spec.listeners) out["listeners"].push_back(to_json(listener));
  if (!spec.tls.certificate_secret.empty()) {
    out["tls"]["certificateSecret"] = spec.tls.certificate_secret;
  }
  if (!spec.tls.ca_secret.empty()) out["tls"]["caSecret"] = spec.tls.ca_secret;
  if (spec.authorization.enabled || !spec.authorization.super_users.empty()) {
    out["authorization"] = {{"enabled", spec.authorization.enabled},
                            {"superUsers", spec.authorization.super_users}};
  }
  if (spec.kafka != api::StreamClusterSpec::Kafka{}) {
    out["kafka"] = {{"autoCreateTopics", spec.kafka.auto_create_topics},
                    {"numPartitions", spec.kafka.num_partitions}};
  }
  if (!spec.kinesis.credentials_secret.empty()) {
    out["kinesis"]["credentialsSecret"] = spec.kinesis.credentials_secret;
  }
  if (spec.kinesis.tls) out["kinesis"]["tls"] = true;
  put(out, "drain", spec.drain);
  out["metering"] = {{"intervalSeconds", spec.metering.interval_seconds}};
  if (spec.prices) {
    auto& prices = out["prices"] = {{"currency", spec.prices->currency},
                                    {"asOf", spec.prices->as_of}};
    put(prices, "shardHour", spec.prices->shard_hour);
    put(prices, "millionPutUnits", spec.prices->million_put_units);
    put(prices, "extendedRetentionShardHour", spec.prices->extended_retention_shard_hour);
    put(prices, "longTermRetentionGBMonth", spec.prices->long_term_retention_gb_month);
    put(prices, "brokerHour", spec.prices->broker_hour);
    put(prices, "crossZoneGB", spec.prices->cross_zone_gb);
  }
  if (!spec.pod.empty()) out["pod"] = Json::parse(spec.pod);
  put(out["resources"], "requests", spec.requests);
  put(out["resources"], "limits", spec.limits_of_pod);
  put(out["storage"], "storageClassName", spec.storage.storage_class);
  put(out["replication"], "factor", spec.replication.factor);
  put(out["replication"], "minInsync", spec.replication.min_insync);
  if (!spec.autoscaling.prometheus_url.empty()) {
    auto& prometheus = out["autoscaling"]["prometheus"] = {{"url", spec.autoscaling.prometheus_url}};
    put(prometheus, "caBundle", spec.autoscaling.prometheus_ca);
    put(prometheus, "queries", spec.autoscaling.queries);
    if (!spec.autoscaling.token_secret.empty()) {
      prometheus["tokenSecret"] = {{"name", spec.autoscaling.token_secret},
                                   {"key", spec.autoscaling.token_key}};
    }
  }
  if (spec.autoscaling.brokers) out["autoscaling"]["brokers"] = to_json(*spec.autoscaling.brokers);
  return out;
}

Json spec_to_json(const StreamSpec& spec, const std::string& metadata_name) {
  const bool elastic = spec.mode == StreamMode::kElastic;
  Json out = {{"cluster", spec.cluster},
              {"mode", elastic ? "Elastic" : "Partitioned"},
              {"deletionPolicy", word(spec.deletion_policy)}};
  if (spec.retention.ms != 0) out["retention"]["ms"] = spec.retention.ms;
  if (spec.retention.bytes != 0) out["retention"]["bytes"] = spec.retention.bytes;
  if (spec.name != metadata_name) out["name"] = spec.name;
  if (!elastic) out["partitions"] = spec.partitions;
  put(out, "replication", spec.replication);
  put(out, "minInsync", spec.min_insync);
  if (spec.durability == Durability::kMemory) out["durability"] = "memory";
  put(out, "maxRecordBytes", spec.max_record_bytes);
  for (const auto& [name, value] : spec.kafka_configs) {
    out["kafkaConfigs"].push_back({{"name", name}, {"value", value}});
  }
  if (spec.autoscaling) {
    const auto& scaling = *spec.autoscaling;
    out["autoscaling"] = {
        {"minShards", scaling.min_shards},
        {"maxShards", scaling.max_shards},
        {"targetUtilizationPercent", scaling.target_utilization_percent},
        {"scaleUpStabilizationSeconds", scaling.scale_up_stabilization_seconds},
        {"scaleDownStabilizationSeconds", scaling.scale_down_stabilization_seconds},
        {"mode", word(scaling.mode)},
        {"throttledPerMillion", scaling.throttled_per_million},
        {"actionsPerShardPerHour", scaling.actions_per_shard_per_hour}};
    auto& fields = out["autoscaling"];
    if (scaling.warm_bytes_per_second > 0) {
      fields["warmThroughput"]["bytesPerSecond"] = scaling.warm_bytes_per_second;
    }
    if (scaling.warm_records_per_second > 0) {
      fields["warmThroughput"]["recordsPerSecond"] = scaling.warm_records_per_second;
    }
    for (const auto& schedule : scaling.schedules) {
      Json item{{"from", schedule.from}, {"to", schedule.to}, {"minShards", schedule.min_shards}};
      put(item, "days", schedule.days);
      fields["schedules"].push_back(std::move(item));
    }
  }
  if (spec.partition_scaling) {
    const auto& scaling = *spec.partition_scaling;
    out["partitionScaling"] = {
        {"maxPartitions", scaling.max_partitions},
        {"acceptKeyMovement", scaling.accept_key_movement},
        {"targetUtilizationPercent", scaling.target_utilization_percent},
        {"scaleUpStabilizationSeconds", scaling.scale_up_stabilization_seconds},
        {"cooldownSeconds", scaling.cooldown_seconds},
        {"mode", word(scaling.mode)}};
  }
  return out;
}

Json status_to_json(const StreamClusterStatus& status) {
  Json out = {{"observedGeneration", status.observed_generation},
              {"conditions", to_json(status.conditions)},
              {"brokers", status.brokers},
              {"readyBrokers", status.ready_brokers},
              {"updatedBrokers", status.updated_brokers},
              {"brokerStates", Json::array()}};
  put(out, "selector", status.selector);
  put(out, "version", status.version);
  put(out, "image", status.image);
  for (const auto& state : status.broker_states) out["brokerStates"].push_back(to_json(state));
  for (const auto& listener : status.listeners) {
    Json shown{{"name", listener.name}};
    put(shown, "bootstrapServers", listener.bootstrap_servers);
    out["listeners"].push_back(std::move(shown));
  }
  if (!status.rebalance.state.empty()) out["rebalance"] = to_json(status.rebalance);
  if (status.rebalance_proposal) out["rebalanceProposal"] = to_json(*status.rebalance_proposal);
  if (status.last_decision) out["lastDecision"] = to_json(*status.last_decision);
  for (const auto& decision : status.decisions) out["decisions"].push_back(to_json(decision));
  if (status.metering) out["metering"] = to_json(*status.metering);
  return out;
}

Json status_to_json(const StreamStatus& status) {
  Json out = {{"observedGeneration", status.observed_generation},
              {"conditions", to_json(status.conditions)},
              {"openShards", status.open_shards},
              {"closedShards", status.closed_shards},
              {"decisions", Json::array()}};
  put(out, "streamId", status.stream_id);
  if (status.metering) out["metering"] = to_json(*status.metering);
  put(out, "durability", status.durability);
  for (const auto& decision : status.decisions) out["decisions"].push_back(to_json(decision));
  return out;
}

Json status_to_json(const StreamUserStatus& status) {
  Json out = {{"observedGeneration", status.observed_generation},
              {"conditions", to_json(status.conditions)},
              {"secret", status.secret}};
  put(out, "certificateExpiresAt", status.certificate_expires_at);
  put(out, "certificateIssuer", status.certificate_issuer);
  return out;
}

}  // namespace sluice_operator::api
