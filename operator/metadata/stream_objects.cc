#include "operator/metadata/stream_objects.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "broker/base/crc32c.h"
#include "broker/coordination/file_store.h"

namespace sluice_operator::metadata {

namespace v1 = ::sluice::v1;
using broker::Code;
using broker::Result;
using broker::Status;
using broker::coordination::StreamDeclaration;
using kube::Json;

const kube::ResourceType& stream_clusters() {
  static const kube::ResourceType type{api::kGroup, "v1alpha1", "streamclusters", "StreamCluster"};
  return type;
}
const kube::ResourceType& streams() {
  static const kube::ResourceType type{api::kGroup, "v1alpha1", "streams", "Stream"};
  return type;
}
const kube::ResourceType& shard_maps() {
  static const kube::ResourceType type{api::kGroup, "v1alpha1", "shardmaps", "ShardMap"};
  return type;
}

const kube::ResourceType& stream_users() {
  static const kube::ResourceType type{api::kGroup, "v1alpha1", "streamusers", "StreamUser"};
  return type;
}

StreamDeclaration declaration_of(const api::Stream& stream) {
  const auto& spec = stream.spec;
  StreamDeclaration declaration;
  declaration.name = spec.name;
  auto& config = declaration.config;
  bool elastic = spec.mode == api::StreamMode::kElastic;
  config.set_mode(elastic ? v1::STREAM_MODE_ELASTIC : v1::STREAM_MODE_PARTITIONED);
  config.set_partitions(spec.partitions);
  config.set_replication(spec.replication.value_or(0));
  config.set_min_insync(spec.min_insync.value_or(0));
  const bool memory = spec.durability == api::Durability::kMemory;
  config.set_durability(memory ? v1::DURABILITY_MEMORY : v1::DURABILITY_SYNCED);
  config.set_retention_ms(spec.retention.ms);
  config.set_retention_bytes(spec.retention.bytes);
  config.set_record_bytes_max(static_cast<int32_t>(spec.max_record_bytes.value_or(0)));
  for (const auto& [name, value] : spec.kafka_configs) (*config.mutable_kafka())[name] = value;
  if (elastic) {
    auto scaling = spec.autoscaling.value_or(api::StreamSpec::Autoscaling{});
    config.set_partitions(scaling.min_shards);
    config.set_shards_min(scaling.min_shards);
    config.set_shards_max(scaling.max_shards);
  }
  return declaration;
}

std::string resource_name_for(const std::string& cluster, const std::string& stream,
                              bool qualified) {
  std::string name;
  for (char c : stream) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    bool legal = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.';
    name += legal ? c : '-';
  }
  auto at_edge = [](char c) { return c == '-' || c == '.'; };
  while (!name.empty() && at_edge(name.back())) name.pop_back();
  while (!name.empty() && at_edge(name.front())) name.erase(0, 1);
  // "..", ".-" and the like are not DNS names either.
  bool dotted = name.find("..") != std::string::npos || name.find(".-") != std::string::npos ||
                name.find("-.") != std::string::npos;
  if (name == stream && !qualified && !dotted && name.size() <= 200) return name;
  std::erase(name, '.');
  if (name.size() > 200) name.resize(200);
  char hash[16];
  std::snprintf(hash, sizeof hash, "%08x", broker::crc32c(cluster + "/" + stream));
  return (name.empty() ? "stream" : name) + "-" + hash;
}

namespace {
// A field that nobody has set stays out of the resource: null takes it out of an existing one.
template <class T>
Json or_absent(const v1::StreamConfig& config, std::string_view field, T value) {
  const auto& names = config.defaulted();
  bool absent = value == T{} || std::find(names.begin(), names.end(), field) != names.end();
  return absent ? Json(nullptr) : Json(value);
}

void drop_nulls(Json& object) {
  for (auto it = object.begin(); it != object.end();) {
    if (it->is_object()) drop_nulls(*it);
    it = it->is_null() || (it->is_object() && it->empty()) ? object.erase(it) : std::next(it);
  }
}
}  // namespace

Json spec_patch(const StreamDeclaration& declaration) {
  const auto& config = declaration.config;
  Json spec = Json::object();
  bool elastic = config.mode() == v1::STREAM_MODE_ELASTIC;
  if (!elastic && config.partitions() > 0) spec["partitions"] = config.partitions();
  if (config.replication() > 0) spec["replication"] = config.replication();
  spec["minInsync"] = or_absent(config, "min_insync", config.min_insync());
  spec["maxRecordBytes"] = or_absent(config, "record_bytes_max", config.record_bytes_max());
  spec["retention"]["ms"] = or_absent(config, "retention_ms", config.retention_ms());
  spec["retention"]["hours"] = nullptr;  // one or the other
  spec["retention"]["bytes"] = or_absent(config, "retention_bytes", config.retention_bytes());
  // A list, because it is replaced as a whole: a setting that is gone is gone.
  spec["kafkaConfigs"] = nullptr;
  std::map<std::string, std::string> kafka(config.kafka().begin(), config.kafka().end());
  for (const auto& [name, value] : kafka) {
    if (spec["kafkaConfigs"].is_null()) spec["kafkaConfigs"] = Json::array();
    spec["kafkaConfigs"].push_back({{"name", name}, {"value", value}});
  }
  if (elastic && config.shards_min() > 0) spec["autoscaling"]["minShards"] = config.shards_min();
  if (elastic && config.shards_max() > 0) spec["autoscaling"]["maxShards"] = config.shards_max();
  return spec;
}

Json stream_object(const StreamDeclaration& declaration, const std::string& ns,
                   const std::string& cluster, const std::string& resource_name) {
  const auto& config = declaration.config;
  Json spec = spec_patch(declaration);
  drop_nulls(spec);
  spec["cluster"] = cluster;
  if (resource_name != declaration.name) spec["name"] = declaration.name;
  bool elastic = config.mode() == v1::STREAM_MODE_ELASTIC;
  spec["mode"] = elastic ? "Elastic" : "Partitioned";
  if (config.durability() == v1::DURABILITY_MEMORY) spec["durability"] = "memory";
  // Whoever deletes a topic through a client means its records.
  spec["deletionPolicy"] = "Delete";
  return Json{{"apiVersion", api::kApiVersion},
              {"kind", "Stream"},
              {"metadata",
               {{"name", resource_name},
                {"namespace", ns},
                {"labels", {{kClusterLabel, cluster}}}}},
              {"spec", spec}};
}

Result<Json> shard_map_object(const v1::ShardMap& map, const std::string& ns,
                              const std::string& cluster, const Owner& owner,
                              const std::string& resource_version) {
  ASSIGN_OR_RETURN(std::string text, broker::coordination::shard_map_to_json(map));
  Json object{{"apiVersion", api::kApiVersion},
              {"kind", "ShardMap"},
              {"metadata",
               {{"name", owner.name},
                {"namespace", ns},
                {"labels",
                 {{kClusterLabel, cluster},
                  {"app.kubernetes.io/name", "sluice"},
                  {"app.kubernetes.io/managed-by", "sluice-operator"}}}}},
              {"spec", Json::parse(text)}};
  if (!owner.uid.empty()) {
    object["metadata"]["ownerReferences"] = Json::array({{{"apiVersion", api::kApiVersion},
                                                          {"kind", "Stream"},
                                                          {"name", owner.name},
                                                          {"uid", owner.uid},
                                                          {"controller", true},
                                                          {"blockOwnerDeletion", true}}});
  }
  if (!resource_version.empty()) object["metadata"]["resourceVersion"] = resource_version;
  return object;
}

Result<broker::coordination::StoredMap> stored_map_of(const Json& object) {
  if (!object.contains("spec")) return Status(Code::kCorruption, "a ShardMap without spec");
  ASSIGN_OR_RETURN(auto map, broker::coordination::shard_map_from_json(object["spec"].dump()));
  return broker::coordination::StoredMap{std::move(map),
                                         kube::metadata_text(object, "resourceVersion")};
}

}  // namespace sluice_operator::metadata
