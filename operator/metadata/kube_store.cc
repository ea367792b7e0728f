#include "operator/metadata/kube_store.h"

#include <nlohmann/json.hpp>

#include "broker/base/log.h"
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

std::string ids_name(const ClusterRef& cluster) { return cluster.name + "-producer-ids"; }

std::string quotas_name(const ClusterRef& cluster) { return cluster.name + "-client-quotas"; }

Result<v1::ClientQuotas> quotas_of(const Json& object) {
  auto data = object.find("data");
  if (data == object.end() || !data->contains(kQuotas)) return v1::ClientQuotas();
  auto quotas = broker::coordination::client_quotas_from_json((*data)[kQuotas].get<std::string>());
  if (quotas.ok()) return quotas;
  return quotas.status().with_context("ConfigMap " + kube::key_of(object).to_string());
}
std::string ledger_name(const ClusterRef& cluster) { return cluster.name + "-metering"; }
constexpr const char* kLedger = "ledger";
constexpr const char* kLedgerCluster = "clusterUid";

// A conflict is a conflict whether the object was there already or had moved.
Status as_swap(const Status& status) {
  return status.code() == Code::kAlreadyExists ? Status(Code::kConflict, status.message()) : status;
}

}  // namespace

KubeStore::KubeStore(kube::Client& client, broker::env::Executor& executor,
                     broker::env::IoQueue& io, ClusterRef cluster)
    : client_(client), executor_(executor), io_(io), cluster_(std::move(cluster)) {}

KubeStore::~KubeStore() { *alive_ = false; }

template <class T>
void KubeStore::run(std::function<Result<T>()> work, Done<T> done) {
  auto result = std::make_shared<std::optional<Result<T>>>();
  io_.submit(
      [work = std::move(work), result] {
        *result = work();
        return Status();
      },
      [done = std::move(done), result, alive = alive_](Status) {
        if (*alive) done(std::move(**result));
      });
}

void KubeStore::run_status(std::function<Status()> work, StatusDone done) {
  io_.submit(std::move(work), [done = std::move(done), alive = alive_](Status status) {
    if (*alive) done(status);
  });
}

Owner KubeStore::owner_of(const std::string& stream) const {
  auto it = known_.find(stream);
  if (it != known_.end()) return {it->second.resource, it->second.uid};
  return {resource_name_for(cluster_.name, stream, false), ""};
}

void KubeStore::stream_seen(const std::string& resource,
                            const std::shared_ptr<const api::Stream>& stream) {
  if (!stream) {
    auto it = resources_.find(resource);
    if (it == resources_.end()) return;
    std::string name = it->second;
    bool keep = known_[name].keep_data;
    resources_.erase(it);
    known_.erase(name);
    if (listener_) listener_->stream_withdrawn(name, keep);
    return;
  }
  const std::string& name = stream->spec.name;
  auto other = known_.find(name);
  if (other != known_.end() && other->second.resource != resource) return;  // a second claim
  Known& known = known_[name];
  known = {resource, stream->metadata.uid, stream->metadata.deleting,
           stream->spec.deletion_policy == api::DeletionPolicy::kRetain,
           stream->metadata.finalizers};
  resources_[resource] = name;
  if (!stream->metadata.deleting) {
    if (listener_) listener_->stream_declared(declaration_of(*stream));
    return;
  }
  if (listener_) listener_->stream_withdrawn(name, known.keep_data);
}

void KubeStore::load(Done<StoreContents> done) {
  run<StoreContents>(
      [this]() -> Result<StoreContents> {
        StoreContents contents;
        contents.cluster_id = cluster_.uid;
        ASSIGN_OR_RETURN(contents.ledger, get_ledger());
        kube::Selection selection;
        selection.ns = cluster_.ns;
        selection.label_selector = std::string(kClusterLabel) + "=" + cluster_.name;
        ASSIGN_OR_RETURN(auto maps, client_.list(shard_maps(), selection));
        for (const auto& object : maps.items) {
          auto map = stored_map_of(object);
          if (!map.ok()) {
            return map.status().with_context("ShardMap " + kube::key_of(object).to_string());
          }
          contents.maps.push_back(std::move(*map));
        }
        ASSIGN_OR_RETURN(contents.client_quotas, read_client_quotas());
        kube::Selection everything;
        everything.ns = cluster_.ns;
        ASSIGN_OR_RETURN(auto objects, client_.list(streams(), everything));
        contents.declarations.emplace();
        for (const auto& object : objects.items) {
          auto stream = api::read_stream(object);
          if (!stream.ok() || stream->spec.cluster != cluster_.name) continue;
          if (!stream->metadata.deleting) contents.declarations->push_back(declaration_of(*stream));
        }
        return contents;
      },
      std::move(done));
}

// That of an earlier cluster of this name is none; it is written over.
Result<std::optional<StoredLedger>> KubeStore::get_ledger() {
  auto object = client_.get(kube::config_maps(), cluster_.ns, ledger_name(cluster_));
  if (object.code() == Code::kNotFound) return std::optional<StoredLedger>();
  if (!object.ok()) return object.status();
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

void KubeStore::read_ledger(Done<std::optional<StoredLedger>> done) {
  run<std::optional<StoredLedger>>([this] { return get_ledger(); }, std::move(done));
}

void KubeStore::write_ledger(const v1::MeterLedger& ledger, const std::string& expected_version,
                             Done<std::string> done) {
  auto json = broker::coordination::ledger_to_json(ledger);
  if (!json.ok()) {
    executor_.post([done = std::move(done), status = json.status()] { done(status); });
    return;
  }
  const Json owner{{"apiVersion", api::kApiVersion},
                   {"kind", "StreamCluster"},
                   {"name", cluster_.name},
                   {"uid", cluster_.uid}};
  Json object{{"apiVersion", "v1"},
              {"kind", "ConfigMap"},
              {"metadata",
               {{"name", ledger_name(cluster_)},
                {"namespace", cluster_.ns},
                {"labels", {{kClusterLabel, cluster_.name}}},
                {"ownerReferences", Json::array({owner})}}},
              {"data", {{kLedger, *json}, {kLedgerCluster, cluster_.uid}}}};
  if (!expected_version.empty()) object["metadata"]["resourceVersion"] = expected_version;
  auto shared = std::make_shared<Json>(std::move(object));
  run<std::string>(
      [this, shared, create = expected_version.empty()]() -> Result<std::string> {
        auto written = create ? client_.create(kube::config_maps(), *shared)
                              : client_.replace(kube::config_maps(), *shared);
        if (!written.ok()) return as_swap(written.status());
        return kube::metadata_text(*written, "resourceVersion");
      },
      std::move(done));
}

void KubeStore::read_map(const std::string&, const std::string& stream,
                         Done<std::optional<StoredMap>> done) {
  run<std::optional<StoredMap>>(
      [this, name = owner_of(stream).name]() -> Result<std::optional<StoredMap>> {
        auto object = client_.get(shard_maps(), cluster_.ns, name);
        if (object.code() == Code::kNotFound) return std::optional<StoredMap>();
        if (!object.ok()) return object.status();
        ASSIGN_OR_RETURN(auto map, stored_map_of(*object));
        return std::optional<StoredMap>(std::move(map));
      },
      std::move(done));
}

void KubeStore::write_map(const v1::ShardMap& map, const std::string& expected_version,
                          Done<std::string> done) {
  auto object = shard_map_object(map, cluster_.ns, cluster_.name, owner_of(map.stream()),
                                 expected_version);
  if (!object.ok()) {
    executor_.post([done = std::move(done), status = object.status()] { done(status); });
    return;
  }
  auto shared = std::make_shared<Json>(std::move(*object));
  run<std::string>(
      [this, shared, create = expected_version.empty()]() -> Result<std::string> {
        auto written = create ? client_.create(shard_maps(), *shared)
                              : client_.replace(shard_maps(), *shared);
        if (!written.ok()) return as_swap(written.status());
        return kube::metadata_text(*written, "resourceVersion");
      },
      std::move(done));
}

void KubeStore::remove_map(const std::string&, const std::string& stream,
                           const std::string& expected_version, StatusDone done) {
  kube::DeleteOptions options;
  options.resource_version = expected_version;
  run_status(
      [this, name = owner_of(stream).name, options] {
        Status status = client_.remove(shard_maps(), {cluster_.ns, name}, options);
        return status.code() == Code::kNotFound ? Status() : status;
      },
      [this, stream, done = std::move(done)](Status status) {
        if (status.ok()) release(stream);
        done(status);
      });
}

// Lets a Stream that is being deleted go: nothing of it is left.
void KubeStore::release(const std::string& stream) {
  auto it = known_.find(stream);
  if (it == known_.end() || !it->second.deleting) return;
  Json finalizers = Json::array();
  for (const auto& name : it->second.finalizers) {
    if (name != api::kFinalizer) finalizers.push_back(name);
  }
  Json patch{{"metadata", {{"finalizers", finalizers}}}};
  auto shared = std::make_shared<Json>(std::move(patch));
  run_status(
      [this, resource = it->second.resource, shared] {
        return client_.merge_patch(streams(), {cluster_.ns, resource}, *shared).status();
      },
      [stream](Status status) {
        if (status.ok() || status.code() == Code::kNotFound) return;
        broker::log_warn("metadata", "a deleted Stream's finalizer stays for now",
                         {{"stream", stream}, {"error", status.to_string()}});
      });
}

void KubeStore::create_stream(const StreamDeclaration& declaration, StatusDone done) {
  if (known_.contains(declaration.name)) {
    executor_.post([done = std::move(done), name = declaration.name] {
      done(Status(Code::kAlreadyExists, "stream '" + name + "' exists"));
    });
    return;
  }
  run_status(
      [this, declaration] {
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
      },
      std::move(done));
}

void KubeStore::update_stream(const StreamDeclaration& declaration, StatusDone done) {
  auto patch = std::make_shared<Json>(Json{{"spec", spec_patch(declaration)}});
  run_status(
      [this, resource = owner_of(declaration.name).name, patch] {
        return client_.merge_patch(streams(), {cluster_.ns, resource}, *patch).status();
      },
      std::move(done));
}

void KubeStore::delete_stream(const std::string& name, StatusDone done) {
  run_status(
      [this, resource = owner_of(name).name] {
        // Whoever deletes through a client means the records, whatever the resource says.
        Json patch{{"spec", {{"deletionPolicy", "Delete"}}}};
        RETURN_IF_ERROR(
            client_.merge_patch(streams(), {cluster_.ns, resource}, patch).status());
        return client_.remove(streams(), {cluster_.ns, resource});
      },
      std::move(done));
}

Result<v1::ClientQuotas> KubeStore::read_client_quotas() {
  auto object = client_.get(kube::config_maps(), cluster_.ns, quotas_name(cluster_));
  if (object.code() == Code::kNotFound) return v1::ClientQuotas();
  if (!object.ok()) return object.status();
  return quotas_of(*object);
}

Result<v1::ClientQuotas> KubeStore::change_client_quotas(const v1::AlterClientQuotas& change) {
  Status last;
  for (int attempt = 0; attempt < kQuotaAttempts; attempt++) {
    auto object = client_.get(kube::config_maps(), cluster_.ns, quotas_name(cluster_));
    const bool create = object.code() == Code::kNotFound;
    if (!object.ok() && !create) return object.status();
    Json next = create ? Json{{"apiVersion", "v1"},
                              {"kind", "ConfigMap"},
                              {"metadata",
                               {{"name", quotas_name(cluster_)},
                                {"namespace", cluster_.ns},
                                {"labels", {{kClusterLabel, cluster_.name}}},
                                {"ownerReferences",
                                 {{{"apiVersion", api::kApiVersion},
                                   {"kind", "StreamCluster"},
                                   {"name", cluster_.name},
                                   {"uid", cluster_.uid}}}}}}}
                       : *object;
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

void KubeStore::alter_client_quotas(const v1::AlterClientQuotas& change,
                                    Done<v1::ClientQuotas> done) {
  run<v1::ClientQuotas>([this, change] { return change_client_quotas(change); }, std::move(done));
}

void KubeStore::allocate_producer_ids(int32_t count, Done<int64_t> done) {
  run<int64_t>(
      [this, count]() -> Result<int64_t> {
        Status last;
        for (int attempt = 0; attempt < kIdAttempts; attempt++) {
          auto object = client_.get(kube::config_maps(), cluster_.ns, ids_name(cluster_));
          bool create = object.code() == Code::kNotFound;
          if (!object.ok() && !create) return object.status();
          Json next = create ? Json{{"apiVersion", "v1"},
                                    {"kind", "ConfigMap"},
                                    {"metadata",
                                     {{"name", ids_name(cluster_)},
                                      {"namespace", cluster_.ns},
                                      {"labels", {{kClusterLabel, cluster_.name}}}}},
                                    {"data", {{kNextId, "0"}}}}
                             : *object;
          int64_t first = std::strtoll(
              next.at("data").value(kNextId, std::string("0")).c_str(), nullptr, 10);
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
      },
      std::move(done));
}

}  // namespace sluice_operator::metadata
