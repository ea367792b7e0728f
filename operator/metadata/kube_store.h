#pragma once
// MetadataStore over Kubernetes: a ShardMap resource per stream, Stream resources as declarations,
// StreamUser resources for ACLs, a ConfigMap for producer ids, others for client quotas and for the
// meter ledger. Compare-and-swap is the API server's resourceVersion. Calls come and answers go on
// the coordinator's executor; requests run on an I/O queue, one at a time, and may outlive the
// store: they are made all the same, and nobody is answered. The client outlives the queue. One
// store per StreamCluster, made by reconcile/.
#include <map>
#include <memory>
#include <string>

#include "broker/coordination/metadata_store.h"
#include "broker/env/env.h"
#include "operator/metadata/kube_requests.h"

namespace sluice_operator::metadata {

class KubeStore : public broker::coordination::MetadataStore {
 public:
  KubeStore(kube::Client& client, broker::env::Executor& executor, broker::env::IoQueue& io,
            ClusterRef cluster);
  ~KubeStore() override;

  // A Stream resource of this cluster as the watch shows it; null: it is gone. Reports to the
  // listener. All that the watch has shown are to be told before load(). Streams being deleted are withdrawn; their finalizer goes when their map has gone.
  void stream_seen(const std::string& resource, const std::shared_ptr<const api::Stream>& stream);

  void set_listener(Listener* listener) override { listener_ = listener; }
  void load(Done<broker::coordination::StoreContents> done) override;
  void read_map(const std::string& stream_id, const std::string& stream,
                Done<std::optional<broker::coordination::StoredMap>> done) override;
  void write_map(const sluice::v1::ShardMap& map, const std::string& expected_version,
                 Done<std::string> done) override;
  void remove_map(const std::string& stream_id, const std::string& stream,
                  const std::string& expected_version, StatusDone done) override;
  void create_stream(const broker::coordination::StreamDeclaration& declaration,
                     StatusDone done) override;
  void update_stream(const broker::coordination::StreamDeclaration& declaration,
                     StatusDone done) override;
  void delete_stream(const std::string& name, StatusDone done) override;
  void alter_client_quotas(const sluice::v1::AlterClientQuotas& change,
                           Done<sluice::v1::ClientQuotas> done) override;
  void create_acls(const sluice::v1::CreateAcls& change, StatusDone done) override;
  void delete_acls(const sluice::v1::DeleteAcls& change,
                   Done<std::vector<sluice::v1::DeletedAcls>> done) override;
  void alter_scram(const sluice::v1::AlterScram& change, StatusDone done) override;
  void allocate_producer_ids(int32_t count, Done<int64_t> done) override;
  void write_ledger(const sluice::v1::MeterLedger& ledger, const std::string& expected_version,
                    Done<std::string> done) override;
  void read_ledger(Done<std::optional<broker::coordination::StoredLedger>> done) override;

 private:
  // Runs `work` on the I/O queue and `done` with its result on the executor.
  template <class T>
  void run(std::function<broker::Result<T>()> work, Done<T> done);
  void run_status(std::function<broker::Status()> work, StatusDone done);
  void swap(const kube::ResourceType& type, kube::Json object, bool create, Done<std::string> done);
  Owner owner_of(const std::string& stream) const;
  void release(const std::string& stream);

  broker::env::Executor& executor_;
  broker::env::IoQueue& io_;
  const ClusterRef cluster_;
  const std::shared_ptr<const KubeRequests> requests_;
  Listener* listener_ = nullptr;
  std::map<std::string, std::shared_ptr<const api::Stream>> known_;  // by stream name
  std::map<std::string, std::string> resources_;  // resource name -> stream name
  std::map<std::string, StreamVersion> updated_;  // by stream name, until the watch shows it
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace sluice_operator::metadata
