#include "operator/metadata/kube_store.h"

#include <nlohmann/json.hpp>

#include "broker/base/log.h"
#include "broker/coordination/file_store.h"

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

bool keeps_data(const api::Stream& stream) {
  return stream.spec.deletion_policy == api::DeletionPolicy::kRetain;
}

}  // namespace

KubeStore::KubeStore(kube::Client& client, broker::env::Executor& executor,
                     broker::env::IoQueue& io, ClusterRef cluster)
    : executor_(executor),
      io_(io),
      cluster_(std::move(cluster)),
      requests_(std::make_shared<KubeRequests>(client, cluster_)) {}

KubeStore::~KubeStore() {
  *alive_ = false;
}

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
  if (it != known_.end()) return {it->second->metadata.name, it->second->metadata.uid};
  return {resource_name_for(cluster_.name, stream, false), ""};
}

void KubeStore::stream_seen(const std::string& resource,
                            const std::shared_ptr<const api::Stream>& stream) {
  if (!stream) {
    auto it = resources_.find(resource);
    if (it == resources_.end()) return;
    std::string name = it->second;
    const bool keep = keeps_data(*known_[name]);
    resources_.erase(it);
    known_.erase(name);
    updated_.erase(name);
    if (listener_) listener_->stream_withdrawn(name, keep);
    return;
  }
  const std::string& name = stream->spec.name;
  auto other = known_.find(name);
  if (other != known_.end() && other->second->metadata.name != resource) return;  // a second claim
  // The watch may lag behind a change that was made from here, and would take it back for a moment.
  auto updated = updated_.find(name);
  if (updated != updated_.end()) {
    if (updated->second.uid == stream->metadata.uid &&
        stream->metadata.generation < updated->second.generation) {
      return;
    }
    updated_.erase(updated);
  }
  // Looked at again, and as it was: the coordinator need not be woken for that.
  const bool known = other != known_.end() && !stream->metadata.resource_version.empty() &&
                     other->second->metadata.uid == stream->metadata.uid &&
                     other->second->metadata.resource_version == stream->metadata.resource_version;
  known_[name] = stream;  // in any case: who calls keeps this one, and two would be one too many
  resources_[resource] = name;
  if (known && !stream->metadata.deleting) return;
  if (!stream->metadata.deleting) {
    if (listener_) listener_->stream_declared(declaration_of(*stream));
    return;
  }
  if (listener_) listener_->stream_withdrawn(name, keeps_data(*stream));
}

void KubeStore::load(Done<StoreContents> done) {
  std::vector<std::shared_ptr<const api::Stream>> declared;
  for (const auto& [name, stream] : known_) declared.push_back(stream);
  run<StoreContents>([requests = requests_, declared] { return requests->load(declared); },
                     std::move(done));
}

void KubeStore::read_ledger(Done<std::optional<StoredLedger>> done) {
  run<std::optional<StoredLedger>>([requests = requests_] { return requests->read_ledger(); },
                                   std::move(done));
}

void KubeStore::write_ledger(const v1::MeterLedger& ledger, const std::string& expected_version,
                             Done<std::string> done) {
  auto json = broker::coordination::ledger_to_json(ledger);
  if (!json.ok()) {
    executor_.post([done = std::move(done), status = json.status()] { done(status); });
    return;
  }
  swap(kube::config_maps(), requests_->ledger_object(*json, expected_version),
       expected_version.empty(), std::move(done));
}

void KubeStore::swap(const kube::ResourceType& type, Json object, bool create,
                     Done<std::string> done) {
  auto shared = std::make_shared<Json>(std::move(object));
  run<std::string>([requests = requests_, &type, shared,
                    create] { return requests->swap(type, *shared, create); },
                   std::move(done));
}

void KubeStore::read_map(const std::string&, const std::string& stream,
                         Done<std::optional<StoredMap>> done) {
  run<std::optional<StoredMap>>(
      [requests = requests_, name = owner_of(stream).name] { return requests->read_map(name); },
      std::move(done));
}

void KubeStore::write_map(const v1::ShardMap& map, const std::string& expected_version,
                          Done<std::string> done) {
  auto object =
      shard_map_object(map, cluster_.ns, cluster_.name, owner_of(map.stream()), expected_version);
  if (!object.ok()) {
    executor_.post([done = std::move(done), status = object.status()] { done(status); });
    return;
  }
  swap(shard_maps(), std::move(*object), expected_version.empty(), std::move(done));
}

void KubeStore::remove_map(const std::string&, const std::string& stream,
                           const std::string& expected_version, StatusDone done) {
  kube::DeleteOptions options;
  options.resource_version = expected_version;
  run_status([requests = requests_, name = owner_of(stream).name,
              options] { return requests->remove_map(name, options); },
             [this, stream, done = std::move(done)](Status status) {
               if (status.ok()) release(stream);
               done(status);
             });
}

// Lets a Stream that is being deleted go: nothing of it is left.
void KubeStore::release(const std::string& stream) {
  auto it = known_.find(stream);
  if (it == known_.end() || !it->second->metadata.deleting) return;
  Json finalizers = Json::array();
  for (const auto& name : it->second->metadata.finalizers) {
    if (name != api::kFinalizer) finalizers.push_back(name);
  }
  Json patch{{"metadata", {{"finalizers", finalizers}}}};
  auto shared = std::make_shared<Json>(std::move(patch));
  run_status([requests = requests_, resource = it->second->metadata.name,
              shared] { return requests->release(resource, *shared); },
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
  run_status([requests = requests_, declaration] { return requests->create_stream(declaration); },
             std::move(done));
}

void KubeStore::update_stream(const StreamDeclaration& declaration, StatusDone done) {
  auto patch = std::make_shared<Json>(Json{{"spec", spec_patch(declaration)}});
  run<StreamVersion>([requests = requests_, resource = owner_of(declaration.name).name,
                      patch] { return requests->update_stream(resource, *patch); },
                     [this, name = declaration.name,
                      done = std::move(done)](Result<StreamVersion> version) {
                       if (version.ok()) updated_[name] = *version;
                       done(version.status());
                     });
}

void KubeStore::delete_stream(const std::string& name, StatusDone done) {
  run_status([requests = requests_,
              resource = owner_of(name).name] { return requests->delete_stream(resource); },
             std::move(done));
}

void KubeStore::alter_client_quotas(const v1::AlterClientQuotas& change,
                                    Done<v1::ClientQuotas> done) {
  run<v1::ClientQuotas>(
      [requests = requests_, change] { return requests->change_client_quotas(change); },
      std::move(done));
}

void KubeStore::create_acls(const v1::CreateAcls& change, StatusDone done) {
  run_status([requests = requests_, change] { return requests->create_acls(change); },
             std::move(done));
}

void KubeStore::delete_acls(const v1::DeleteAcls& change, Done<std::vector<v1::DeletedAcls>> done) {
  run<std::vector<v1::DeletedAcls>>(
      [requests = requests_, change] { return requests->delete_acls(change); }, std::move(done));
}

void KubeStore::alter_scram(const v1::AlterScram& change, StatusDone done) {
  run_status([requests = requests_, change] { return requests->alter_scram(change); },
             std::move(done));
}

void KubeStore::allocate_producer_ids(int32_t count, Done<int64_t> done) {
  run<int64_t>([requests = requests_, count] { return requests->allocate_producer_ids(count); },
               std::move(done));
}

}  // namespace sluice_operator::metadata
