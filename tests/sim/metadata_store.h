#pragma once
// The API server of the simulation: it outlives the coordinators over it. Requests and answers take
// time and go wrong in every way that a real one knows: refused, timed out with or without effect,
// with the effect after the time-out, in conflict with somebody else's write, slow.
#include <functional>
#include <map>
#include <memory>
#include <string>

#include <algorithm>

#include "broker/coordination/metadata_store.h"
#include "tests/sim/trace.h"
#include "tests/support/sim_env.h"

namespace broker::sim {

// What is stored.
struct StoredMetadata {
  std::map<std::string, coordination::StoredMap> maps;  // by stream id
  std::optional<coordination::StoredLedger> ledger;
  int64_t next_producer_id = 0;
  sluice::v1::ClientQuotas client_quotas;
  uint64_t versions = 0;
  uint64_t writes = 0;
  uint64_t asked_writes = 0;  // whatever became of them

  struct Faults {
    uint64_t one_in = 0;      // a request goes wrong
    uint64_t slow_one_in = 0;
    uint64_t crash_one_in = 0;  // the coordinator dies at a write: before it, or after it
    uint64_t crash_at_write = 0;  // at the one with this number, in the way of `crash_before`
    bool crash_before = false;
    bool down = false;
  } faults;
  std::function<void()> crash_coordinator;

  // Names are unique, as those of Kubernetes objects.
  std::map<std::string, coordination::StoredMap>::iterator find_by_name(const std::string& name) {
    return std::find_if(maps.begin(), maps.end(),
                        [&](const auto& entry) { return entry.second.map.stream() == name; });
  }
};

// One coordinator's connection to it.
class SimMetadataStore : public coordination::MetadataStore {
 public:
  SimMetadataStore(SimExecutor& executor, StoredMetadata& stored, Trace& trace)
      : executor_(executor), stored_(stored), trace_(trace) {}

  void set_listener(Listener*) override {}  // maps are the declarations
  void load(Done<coordination::StoreContents> done) override;
  void read_map(const std::string& stream_id, const std::string& stream,
                Done<std::optional<coordination::StoredMap>> done) override;
  void write_map(const sluice::v1::ShardMap& map, const std::string& expected_version,
                 Done<std::string> done) override;
  void remove_map(const std::string& stream_id, const std::string& stream,
                  const std::string& expected_version, StatusDone done) override;
  void create_stream(const coordination::StreamDeclaration&, StatusDone done) override;
  void update_stream(const coordination::StreamDeclaration&, StatusDone done) override;
  void delete_stream(const std::string&, StatusDone done) override;
  void alter_client_quotas(const sluice::v1::AlterClientQuotas& change,
                           Done<sluice::v1::ClientQuotas> done) override;
  void create_acls(const sluice::v1::CreateAcls&, StatusDone done) override;
  void delete_acls(const sluice::v1::DeleteAcls&,
                   Done<std::vector<sluice::v1::DeletedAcls>> done) override;
  void alter_scram(const sluice::v1::AlterScram&, StatusDone done) override;
  void allocate_producer_ids(int32_t count, Done<int64_t> done) override;
  void write_ledger(const sluice::v1::MeterLedger& ledger, const std::string& expected_version,
                    Done<std::string> done) override;
  void read_ledger(Done<std::optional<coordination::StoredLedger>> done) override;

 private:
  enum class Fault { kNone, kRefused, kLost, kTimeoutDone, kTimeoutLater, kConflict };
  static const char* name_of(Fault fault);
  Fault draw(bool write);
  // Runs `effect` at the server after a while; its answer reaches the caller after another.
  template <class T>
  void call(bool write, std::function<Result<T>()> effect, Done<T> done);
  int64_t delay_us();
  void foreign_write();

  SimExecutor& executor_;
  StoredMetadata& stored_;
  Trace& trace_;
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);  // for what is under way
};

}  // namespace broker::sim
