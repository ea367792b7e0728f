#pragma once
// Where the coordinator keeps what it decides: Kubernetes objects or files. Implemented here over
// files and in the operator over ShardMap and Stream resources; called by the coordinator only.
// Calls return at once; every callback runs later on the executor's thread, exactly once. Writes
// of one map are never concurrent: the coordinator waits for the answer of the last.
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "broker/base/status.h"
#include "broker/proto/coordination.pb.h"
#include "broker/proto/metadata.pb.h"
#include "broker/proto/metering.pb.h"

namespace broker::coordination {

// A map and the version to give to the next compare-and-swap (a resourceVersion in Kubernetes).
struct StoredMap {
  sluice::v1::ShardMap map;
  std::string version;
};

// A stream that somebody wants: the Stream resource. Zero fields take the cluster's defaults.
struct StreamDeclaration {
  std::string name;
  sluice::v1::StreamConfig config;
  // Of the stream's first map; said once, by whoever creates it.
  std::map<std::string, std::string> attributes = {};
};

struct StoredLedger {
  sluice::v1::MeterLedger ledger;
  std::string version;
};

struct StoreContents {
  std::string cluster_id;
  std::vector<StoredMap> maps;
  sluice::v1::ClientQuotas client_quotas;
  std::optional<StoredLedger> ledger;
  // Where the store keeps declarations apart from maps (Kubernetes): all of them, and streams
  // without one are deleted. Absent where the map is the declaration.
  std::optional<std::vector<StreamDeclaration>> declarations;
};

class MetadataStore {
 public:
  // Streams that others declare, change or withdraw.
  class Listener {
   public:
    virtual ~Listener() = default;
    // New or changed; may be said again.
    virtual void stream_declared(const StreamDeclaration& declaration) = 0;
    // With keep_data the brokers stop serving the stream and leave its files alone.
    virtual void stream_withdrawn(const std::string& name, bool keep_data) = 0;
  };
  template <class T>
  using Done = std::function<void(Result<T>)>;
  using StatusDone = std::function<void(Status)>;

  virtual ~MetadataStore() = default;
  // Null ends the reports.
  virtual void set_listener(Listener* listener) = 0;
  virtual void load(Done<StoreContents> done) = 0;
  // Nothing when there is no such map. Where names are unique (Kubernetes) it may be the map of another
  // stream that has the name.
  virtual void read_map(const std::string& stream_id, const std::string& stream,
                        Done<std::optional<StoredMap>> done) = 0;
  // Creates (expected_version empty) or replaces a map and gives its new version. kConflict: the
  // stored version is another one. kTimeout: nobody knows whether it was written.
  virtual void write_map(const sluice::v1::ShardMap& map, const std::string& expected_version,
                         Done<std::string> done) = 0;
  // kNotFound counts as done.
  virtual void remove_map(const std::string& stream_id, const std::string& stream,
                          const std::string& expected_version, StatusDone done) = 0;

  // Declares a stream for a client (its Stream resource); kAlreadyExists when it is there. Where
  // maps are the declarations this has nothing to do.
  virtual void create_stream(const StreamDeclaration& declaration, StatusDone done) = 0;
  virtual void update_stream(const StreamDeclaration& declaration, StatusDone done) = 0;
  virtual void delete_stream(const std::string& name, StatusDone done) = 0;

  // Changes the stored client quotas (broker/quotas: apply) and gives all of them; durable before the
  // answer. The same change again changes nothing, so that one whose outcome is unknown may be repeated.
  virtual void alter_client_quotas(const sluice::v1::AlterClientQuotas& change,
                                   Done<sluice::v1::ClientQuotas> done) = 0;

  // Changes what users' resources declare (coordination.proto says how); durable before the answer.
  // The same change again changes nothing. kPolicyViolation where users are declared elsewhere.
  virtual void create_acls(const sluice::v1::CreateAcls& change, StatusDone done) = 0;
  virtual void delete_acls(const sluice::v1::DeleteAcls& change,
                           Done<std::vector<sluice::v1::DeletedAcls>> done) = 0;

  // Changes the credential of a user whose password the store keeps; durable before the answer. The
  // same change again changes nothing. kPolicyViolation where it is kept elsewhere.
  virtual void alter_scram(const sluice::v1::AlterScram& change, StatusDone done) = 0;

  // The first of `count` ids that nobody else has got or will get; durable before the answer.
  virtual void allocate_producer_ids(int32_t count, Done<int64_t> done) = 0;

  // The cluster's meter ledger, as write_map and read_map; one write at a time.
  virtual void write_ledger(const sluice::v1::MeterLedger& ledger,
                            const std::string& expected_version, Done<std::string> done) = 0;
  virtual void read_ledger(Done<std::optional<StoredLedger>> done) = 0;
};

}  // namespace broker::coordination
