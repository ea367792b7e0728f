#pragma once
// What KubeStore asks of the API server: blocking calls, made by jobs on its I/O queue, which may
// outlive the store. Holds nothing that changes; any thread.
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "broker/coordination/metadata_store.h"
#include "operator/kube/client/client.h"
#include "operator/metadata/stream_objects.h"

namespace sluice_operator::metadata {

struct ClusterRef {
  std::string ns;
  std::string name;
  std::string uid;
};

// Which version of a Stream resource: its generation counts changes of the spec of one uid.
struct StreamVersion {
  std::string uid;
  int64_t generation = 0;
};

class KubeRequests {
 public:
  KubeRequests(kube::Client& client, ClusterRef cluster)
      : client_(client), cluster_(std::move(cluster)) {}

  // `known`: the cluster's Streams as a watch has shown them; it may lag, so a stream that has a map and
  // is not among them is asked for by name. Nobody's data is given up because of a cache.
  broker::Result<broker::coordination::StoreContents> load(
      const std::vector<std::shared_ptr<const api::Stream>>& known) const;
  // Of the ShardMap resource `name`.
  broker::Result<std::optional<broker::coordination::StoredMap>> read_map(
      const std::string& name) const;
  broker::Status remove_map(const std::string& name, const kube::DeleteOptions& options) const;
  // The new resourceVersion; kConflict: it is there already, or has moved.
  broker::Result<std::string> swap(const kube::ResourceType& type, const kube::Json& object,
                                   bool create) const;
  broker::Status release(const std::string& stream, const kube::Json& patch) const;
  broker::Status create_stream(const broker::coordination::StreamDeclaration& declaration) const;
  // The resource as it is with the patch.
  broker::Result<StreamVersion> update_stream(const std::string& resource,
                                              const kube::Json& patch) const;
  broker::Status delete_stream(const std::string& resource) const;
  broker::Result<sluice::v1::ClientQuotas> change_client_quotas(
      const sluice::v1::AlterClientQuotas& change) const;
  broker::Result<int64_t> allocate_producer_ids(int32_t count) const;
  // In kube_users.cc.
  broker::Status create_acls(const sluice::v1::CreateAcls& change) const;
  broker::Result<std::vector<sluice::v1::DeletedAcls>> delete_acls(
      const sluice::v1::DeleteAcls& change) const;
  broker::Status alter_scram(const sluice::v1::AlterScram& change) const;
  broker::Result<std::optional<broker::coordination::StoredLedger>> read_ledger() const;
  kube::Json ledger_object(const std::string& ledger, const std::string& expected_version) const;

 private:
  // A ConfigMap of the cluster's; nothing where there is none, kAlreadyExists where it is another's.
  broker::Result<std::optional<kube::Json>> find_own(const std::string& name) const;
  kube::Json own_config_map(const std::string& name, bool goes_with_the_cluster) const;
  broker::Result<sluice::v1::ClientQuotas> read_client_quotas() const;
  // What the Stream resource of that name declares; nothing where it does not, or is being deleted.
  broker::Result<std::optional<broker::coordination::StreamDeclaration>> read_declaration(
      const std::string& resource) const;
  // A StreamUser resource of the cluster.
  struct KnownUser;
  // By the name that they log in with; of two that claim it, the one that is served.
  broker::Result<std::map<std::string, KnownUser>> read_users() const;
  broker::Result<KnownUser> find_user(const std::string& name) const;
  // The Secret's version with the change; kPolicyViolation: it is somebody else's.
  broker::Result<std::string> write_scram(const KnownUser& user,
                                          const sluice::v1::AlterScram& change) const;
  // Notes the Secret's version on the user's resource: Secrets are not watched, StreamUsers are.
  broker::Status note_secret(KnownUser user, const std::string& version) const;
  broker::Status delete_acls_of(KnownUser user, const sluice::v1::DeleteAcls& change,
                                std::vector<sluice::v1::Acl>& gone) const;

  kube::Client& client_;
  const ClusterRef cluster_;
};

}  // namespace sluice_operator::metadata
