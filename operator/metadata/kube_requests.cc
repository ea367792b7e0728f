#include "operator/metadata/kube_requests.h"

#include <nlohmann/json.hpp>
#include <set>

#include "broker/coordination/file_store.h"
#include "broker/quotas/entity.h"
#include "operator/api/json.h"

namespace sluice_operator::metadata {

namespace v1 = ::sluice::v1;
using broker::Code;
using broker::Result;
using broker::Status;
using broker::coordination::StoreContents;
using broker::coordination::StoredLedger;
using broker::coordination::StoredMap;
using broker::coordination::StreamDeclaration;
using kube::Json;

namespace {

constexpr int kIdAttempts = 5;
constexpr const char* kNextId = "nextProducerId";
constexpr int kQuotaAttempts = 5;
constexpr const char* kQuotas = "quotas.json";

std::string ids_name(const ClusterRef& cluster) {
  return cluster.name + "-producer-ids";
}

std::string quotas_name(const ClusterRef& cluster) {
  return cluster.name + "-client-quotas";
}

Result<v1::ClientQuotas> quotas_of(const Json& object) {
  auto data = object.find("data");
  if (data == object.end() || !data->contains(kQuotas)) return v1::ClientQuotas();
  auto quotas = broker::coordination::client_quotas_from_json((*data)[kQuotas].get<std::string>());
  if (quotas.ok()) return quotas;
  return quotas.status().with_context("ConfigMap " + kube::key_of(object).to_string());
}
std::string ledger_name(const ClusterRef& cluster) {
  return cluster.name + "-metering";
}
constexpr const char* kLedger = "ledger";
constexpr const char* kLedgerCluster = "clusterUid";

// A conflict is a conflict whether the object was there already or had moved.
Status as_swap(const Status& status) {
  return status.code() == Code::kAlreadyExists ? Status(Code::kConflict, status.message()) : status;
}

}  // namespace

Result<StoreContents> KubeRequests::load(
    const std::vector<std::shared_ptr<const api::Stream>>& known) const {
  StoreContents contents;
  contents.cluster_id = cluster_.uid;
  auto ledger = read_ledger();
  // Somebody else's of its name: streams are served without, and its writes say why they fail.
  if (!ledger.ok() && ledger.code() != Code::kAlreadyExists) return ledger.status();
  if (ledger.ok()) contents.ledger = std::move(*ledger);
  kube::Selection selection;
  selection.ns = cluster_.ns;
  selection.label_selector = std::string(kClusterLabel) + "=" + cluster_.name;
  contents.declarations.emplace();
  std::set<std::string> seen;
  for (const auto& stream : known) {
    if (!stream->metadata.deleting) contents.declarations->push_back(declaration_of(*stream));
    seen.insert(stream->spec.name);
  }
  ASSIGN_OR_RETURN(auto maps, client_.list(shard_maps(), selection));
  for (const auto& object : maps.items) {
    auto map = stored_map_of(object);
    if (!map.ok()) {
      return map.status().with_context("ShardMap " + kube::key_of(object).to_string());
    }
    if (!seen.contains(map->map.stream())) {
      ASSIGN_OR_RETURN(auto declaration, read_declaration(kube::metadata_text(object, "name")));
      if (declaration) contents.declarations->push_back(std::move(*declaration));
    }
    contents.maps.push_back(std::move(*map));
  }
  ASSIGN_OR_RETURN(contents.client_quotas, read_client_quotas());
  return contents;
}

Result<std::optional<StreamDeclaration>> KubeRequests::read_declaration(
    const std::string& resource) const {
  auto object = client_.get(streams(), cluster_.ns, resource);
  if (object.code() == Code::kNotFound) return std::optional<StreamDeclaration>();
  if (!object.ok()) return object.status();
  auto stream = api::read_stream(*object);
  if (!stream.ok() || stream->spec.cluster != cluster_.name || stream->metadata.deleting) {
    return std::optional<StreamDeclaration>();
  }
  return std::optional(declaration_of(*stream));
}

Result<std::optional<Json>> KubeRequests::find_own(const std::string& name) const {
  auto object = client_.get(kube::config_maps(), cluster_.ns, name);
  if (object.code() == Code::kNotFound) return std::optional<Json>();
  if (!object.ok()) return object.status();
  const Json labels = object->value("/metadata/labels"_json_pointer, Json::object());
  if (labels.value(kClusterLabel, std::string()) != cluster_.name) {
    return Status(Code::kAlreadyExists, "ConfigMap " + name +
                                            " belongs to something else, and is left alone; "
                                            "rename the StreamCluster or remove it");
  }
  return std::optional(std::move(*object));
}

Json KubeRequests::own_config_map(const std::string& name, bool goes_with_the_cluster) const {
  Json metadata{{"name", name},
                {"namespace", cluster_.ns},
                {"labels", {{kClusterLabel, cluster_.name}}}};
  if (goes_with_the_cluster) {
    metadata["ownerReferences"] = {{{"apiVersion", api::kApiVersion},
                                    {"kind", "StreamCluster"},
                                    {"name", cluster_.name},
                                    {"uid", cluster_.uid}}};
  }
  return {{"apiVersion", "v1"}, {"kind", "ConfigMap"}, {"metadata", std::move(metadata)}};
}

// That of an earlier cluster of this name is none; it is written over.
Result<std::optional<StoredLedger>> KubeRequests::read_ledger() const {
  ASSIGN_OR_RETURN(const auto object, find_own(ledger_name(cluster_)));
  if (!object) return std::optional<StoredLedger>();
  const Json data = object->value("data", Json::object());
  StoredLedger stored;
  stored.version = kube::metadata_text(*object, "resourceVersion");
  if (data.value(kLedgerCluster, std::string()) != cluster_.uid) return std::optional(stored);
  auto ledger = broker::coordination::ledger_from_json(data.value(kLedger, std::string("{}")));
  if (!ledger.ok()) {
    return ledger.status().with_context("ConfigMap " + ledger_name(cluster_) +
                                        " (delete it to begin a new ledger)");
  }
  stored.ledger = std::move(*ledger);
  return std::optional(std::move(stored));
}

Json KubeRequests::ledger_object(const std::string& ledger,
                                 const std::string& expected_version) const {
  Json object = own_config_map(ledger_name(cluster_), true);
  object["data"] = {{kLedger, ledger}, {kLedgerCluster, cluster_.uid}};
  if (!expected_version.empty()) object["metadata"]["resourceVersion"] = expected_version;
  return object;
}

Result<std::optional<StoredMap>> KubeRequests::read_map(const std::string& name) const {
  auto object = client_.get(shard_maps(), cluster_.ns, name);
  if (object.code() == Code::kNotFound) return std::optional<StoredMap>();
  if (!object.ok()) return object.status();
  ASSIGN_OR_RETURN(auto map, stored_map_of(*object));
  return std::optional<StoredMap>(std::move(map));
}

Result<std::string> KubeRequests::swap(const kube::ResourceType& type, const Json& object,
                                       bool create) const {
  auto written = create ? client_.create(type, object) : client_.replace(type, object);
  if (!written.ok()) return as_swap(written.status());
  return kube::metadata_text(*written, "resourceVersion");
}

Status KubeRequests::remove_map(const std::string& name, const kube::DeleteOptions& options) const {
  Status status = client_.remove(shard_maps(), {cluster_.ns, name}, options);
  return status.code() == Code::kNotFound ? Status() : status;
}

Status KubeRequests::release(const std::string& stream, const Json& patch) const {
  return client_.merge_patch(streams(), {cluster_.ns, stream}, patch).status();
}

Status KubeRequests::create_stream(const StreamDeclaration& declaration) const {
  Status status;
  for (bool qualified : {false, true}) {
    std::string name = resource_name_for(cluster_.name, declaration.name, qualified);
    auto object = stream_object(declaration, cluster_.ns, cluster_.name, name);
    object["metadata"]["finalizers"] = Json::array({api::kFinalizer});
    status = client_.create(streams(), object).status();
    if (status.code() != Code::kAlreadyExists) return status;
    auto existing = client_.get(streams(), cluster_.ns, name);
    if (!existing.ok()) return existing.status();
    auto stream = api::read_stream(*existing);
    bool same = stream.ok() && stream->spec.cluster == cluster_.name &&
                stream->spec.name == declaration.name;
    if (same) return status;
  }
  return status;
}

Result<StreamVersion> KubeRequests::update_stream(const std::string& resource,
                                                  const Json& patch) const {
  ASSIGN_OR_RETURN(Json object, client_.merge_patch(streams(), {cluster_.ns, resource}, patch));
  ASSIGN_OR_RETURN(auto stream, api::read_stream(object));
  return StreamVersion{stream.metadata.uid, stream.metadata.generation};
}

Status KubeRequests::delete_stream(const std::string& resource) const {
  // Whoever deletes through a client means the records, whatever the resource says.
  Json patch{{"spec", {{"deletionPolicy", "Delete"}}}};
  RETURN_IF_ERROR(client_.merge_patch(streams(), {cluster_.ns, resource}, patch).status());
  return client_.remove(streams(), {cluster_.ns, resource});
}

Result<v1::ClientQuotas> KubeRequests::read_client_quotas() const {
  auto object = find_own(quotas_name(cluster_));
  if (object.code() == Code::kAlreadyExists) return v1::ClientQuotas();  // a change says so
  if (!object.ok()) return object.status();
  return *object ? quotas_of(**object) : v1::ClientQuotas();
}

Result<v1::ClientQuotas> KubeRequests::change_client_quotas(
    const v1::AlterClientQuotas& change) const {
  Status last;
  for (int attempt = 0; attempt < kQuotaAttempts; attempt++) {
    ASSIGN_OR_RETURN(const auto found, find_own(quotas_name(cluster_)));
    const bool create = !found;
    Json next = found ? *found : own_config_map(quotas_name(cluster_), true);
    ASSIGN_OR_RETURN(v1::ClientQuotas quotas, quotas_of(next));
    broker::quotas::apply(change, quotas);
    ASSIGN_OR_RETURN(next["data"][kQuotas], broker::coordination::client_quotas_to_json(quotas));
    last = (create ? client_.create(kube::config_maps(), next)
                   : client_.replace(kube::config_maps(), next))
               .status();
    if (last.ok()) return quotas;
    // Whatever became of an ambiguous write: the change again on what is there now is the same.
    if (last.code() != Code::kConflict && last.code() != Code::kAlreadyExists &&
        last.code() != Code::kTimeout) {
      return last;
    }
  }
  return last;
}

Result<int64_t> KubeRequests::allocate_producer_ids(int32_t count) const {
  Status last;
  for (int attempt = 0; attempt < kIdAttempts; attempt++) {
    ASSIGN_OR_RETURN(const auto found, find_own(ids_name(cluster_)));
    const bool create = !found;
    // It outlives the cluster, as its records may.
    Json next = found ? *found : own_config_map(ids_name(cluster_), false);
    const Json data = next.value("data", Json::object());
    const int64_t first =
        std::strtoll(data.value(kNextId, std::string("0")).c_str(), nullptr, 10);
    next["data"][kNextId] = std::to_string(first + count);
    last = (create ? client_.create(kube::config_maps(), next)
                   : client_.replace(kube::config_maps(), next))
               .status();
    if (last.ok()) return first;
    // Whatever became of an ambiguous write, reading again skips what it took.
    if (last.code() != Code::kConflict && last.code() != Code::kAlreadyExists &&
        last.code() != Code::kTimeout) {
      return last;
    }
  }
  return last;
}

}  // namespace sluice_operator::metadata
