#pragma once
// MetadataStore in a folder, for clusters without Kubernetes and for --dev:
//   DIR/cluster.json              cluster id, producer id counter
//   DIR/client-quotas.json        ClientQuotas as proto3 JSON; missing: there are none
//   DIR/metering.json             the meter ledger as proto3 JSON
//   DIR/streams/STREAM_ID.json    a ShardMap as proto3 JSON; its generation is the version
// Files are replaced atomically (write, fsync, rename, fsync of the folder) on the I/O queue. One
// process at a time owns the folder: the caller holds a lock on it. Executor's thread only.
#include <map>
#include <memory>

#include "broker/coordination/metadata_store.h"
#include "broker/env/env.h"

namespace broker::coordination {

// The JSON form of a ShardMap, in files and in the custom resource.
Result<std::string> shard_map_to_json(const sluice::v1::ShardMap& map);
// kCorruption with the reason; unknown fields are refused.
Result<sluice::v1::ShardMap> shard_map_from_json(const std::string& json);

// The JSON form of client quotas, in a file and in a ConfigMap.
Result<std::string> client_quotas_to_json(const sluice::v1::ClientQuotas& quotas);
Result<sluice::v1::ClientQuotas> client_quotas_from_json(const std::string& json);
Result<std::string> ledger_to_json(const sluice::v1::MeterLedger& ledger);
Result<sluice::v1::MeterLedger> ledger_from_json(const std::string& json);

class FileStore : public MetadataStore {
 public:
  // Jobs on `io` use the store: its thread ends first.
  FileStore(env::FileSystem& fs, env::IoQueue& io, env::Random& random, std::string dir);
  ~FileStore() override;

  void set_listener(Listener*) override {}  // nobody else declares streams in files
  void load(Done<StoreContents> done) override;
  void read_map(const std::string& stream_id, const std::string& stream,
                Done<std::optional<StoredMap>> done) override;
  void write_map(const sluice::v1::ShardMap& map, const std::string& expected_version,
                 Done<std::string> done) override;
  void remove_map(const std::string& stream_id, const std::string& stream,
                  const std::string& expected_version, StatusDone done) override;
  void create_stream(const StreamDeclaration& declaration, StatusDone done) override;
  void update_stream(const StreamDeclaration& declaration, StatusDone done) override;
  void delete_stream(const std::string& name, StatusDone done) override;
  void alter_client_quotas(const sluice::v1::AlterClientQuotas& change,
                           Done<sluice::v1::ClientQuotas> done) override;
  // kPolicyViolation: the users file is the administrator's.
  void create_acls(const sluice::v1::CreateAcls& change, StatusDone done) override;
  void delete_acls(const sluice::v1::DeleteAcls& change,
                   Done<std::vector<sluice::v1::DeletedAcls>> done) override;
  void alter_scram(const sluice::v1::AlterScram& change, StatusDone done) override;
  void allocate_producer_ids(int32_t count, Done<int64_t> done) override;
  void write_ledger(const sluice::v1::MeterLedger& ledger, const std::string& expected_version,
                    Done<std::string> done) override;
  void read_ledger(Done<std::optional<StoredLedger>> done) override;

 private:
  struct Cluster {
    std::string id;
    int64_t producer_ids_reserved = 0;  // every id below may have been given away
  };
  // On the I/O queue.
  Status load_all(StoreContents& contents, Cluster& cluster);
  Result<Cluster> load_cluster();
  Status store_cluster(const Cluster& cluster);
  Result<sluice::v1::ClientQuotas> load_client_quotas();
  Result<std::optional<StoredMap>> read_file_of(const std::string& stream_id);
  Result<std::optional<StoredLedger>> load_ledger();
  std::string path_of(const std::string& stream_id) const;
  void answer(StatusDone done);
  void refuse(StatusDone done);

  env::FileSystem& fs_;
  env::IoQueue& io_;
  env::Random& random_;
  const std::string dir_;
  Cluster cluster_;
  int64_t next_producer_id_ = 0;
  int64_t durable_reserved_ = 0;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace broker::coordination
