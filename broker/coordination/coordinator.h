#pragma once
// The coordinator of one cluster: who leads which shard in which term, who is in its ensemble,
// which shards a stream has. A state machine without I/O: inputs are its methods, outputs go to
// Outbox and MetadataStore. Run by sluice-operator (over Kubernetes or files), by sluice-broker
// --dev and by the simulator, on one executor's thread. Call tick() every kTickMs or so.
// Invariant: nothing is told to a broker that is not durable in the store.
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "broker/base/status.h"
#include "broker/coordination/metadata_store.h"
#include "broker/coordination/placement.h"
#include "broker/env/env.h"
#include "broker/proto/coordination.pb.h"

namespace broker::coordination {

using SessionId = uint64_t;
inline constexpr int64_t kTickMs = 20;
inline constexpr int64_t kNever = INT64_MAX;

// Where answers go. Messages of one session keep their order; both calls may be made from inside
// any input and must not call back into the coordinator.
class Outbox {
 public:
  virtual ~Outbox() = default;
  virtual void send(SessionId session, const sluice::v1::CoordinatorMessage& message) = 0;
  // Ends a session after what was sent; no on_disconnect is expected for it.
  virtual void close(SessionId session) = 0;
};

// What metrics are made of. All calls come from the coordinator's thread.
class Observer {
 public:
  virtual ~Observer() = default;
  virtual void election_started(std::string_view /*reason*/) {}
  virtual void election_done(double /*seconds*/) {}
  virtual void metadata_written(std::string_view /*result*/) {}
  virtual void move_done(std::string_view /*reason*/) {}
};

struct CoordinatorOptions {
  std::string cluster;
  int64_t grace_ms = 2000;  // after the start: no unplanned elections unless everybody is here
  int64_t heartbeat_ms = 200;
  int64_t silent_ms = 1000;    // without a heartbeat: not alive
  int64_t straggler_ms = 100;  // an election waits that long for answers beyond the majority
  int64_t isolated_ms = 2000;  // a leader that its followers do not hear for so long is replaced
  int64_t claim_ms = 1500;     // a broker reports what it leads within that, or loses it
  int64_t transfer_ms = 5000;
  int64_t learner_ms = 60000;  // a learner that is gone that long is given up
  int64_t steady_ms = 5000;    // balancing waits for that much calm
  int64_t admin_ms = 10000;    // a client waits that long for leaders
  int moves_max = 32;          // membership changes in flight
  int leader_moves_max = 4;    // balancing transfers in flight
  // Transfers in flight away from brokers that stop or drain: appends to a shard wait while it is
  // transferred, and the more go together the longer each of them takes.
  int leave_moves_max = 64;
  bool rebalance = true;
  // What streams used is written at most so often: once per stream, and kMeterWritesPerInterval
  // times in all. Nothing is lost by a long one.
  int64_t metering_interval_ms = 60'000;
};
inline constexpr int64_t kMeterWritesPerInterval = 60;

// What streams get that do not say otherwise.
struct StreamDefaults {
  int32_t replication = 0;  // 0: 3, or the number of brokers where that is less
  int32_t min_insync = 0;   // 0: a majority
  int32_t record_bytes_max = 1 << 20;
  int64_t retention_ms = 7LL * 24 * 3600 * 1000;
  int32_t shards_max = 16;
  bool operator==(const StreamDefaults&) const = default;
};

struct ExpectedBroker {
  int32_t id = 0;
  std::string zone;  // empty: as the broker says
  // Where clients from outside reach its listeners, by name; others are as the broker says.
  std::map<std::string, sluice::v1::Endpoint> listeners = {};
};

struct DrainProgress {
  int replicas_left = 0;
  int leaders_left = 0;
  int64_t bytes_left = 0;   // to be copied, as far as brokers have told
  std::string blocked;  // why it cannot go on; empty while it does
};

struct BrokerView {
  sluice::v1::Broker broker;  // as last registered (alive, draining, zone as decided here)
  bool registered = false;    // since the coordinator started
  int replicas = 0;
  int leaders = 0;
  int64_t bytes = 0;  // of its replicas, as last told
  int64_t disk_bytes = 0, disk_free_bytes = 0;
  sluice::v1::Certificates certificates;  // that its process has loaded, as last told
};

// A move of one replica, as people see it.
struct PlannedMove {
  std::string stream;
  int32_t shard = 0;
  int32_t from = -1;
  int32_t to = -1;
  int64_t bytes = 0;   // to be copied, as far as brokers have told
  std::string reason;  // zones or balance
};

// How long a proposal is not replaced by another that would do as well: somebody reads it.
inline constexpr int64_t kProposalStandsMs = 10 * 60 * 1000;

// Whether the cluster evens itself out, or waits until somebody approves the moves that would. Moves
// that drain a broker, replace a lost copy, or were asked for are made in either case.
struct Balancing {
  bool propose = false;
  std::vector<PlannedMove> approved;
  // What somebody is looking at, where that was proposed by a coordinator before this one: proposed
  // again, whatever else would do by now, as long as all of it can still be done and something is to
  // be evened out.
  std::vector<PlannedMove> standing;
};

struct MoveView {
  std::string stream;
  int32_t shard = 0;
  std::optional<Replica> learner;  // being filled
  bool joint = false;              // both ensembles hold
};

class Coordinator : public MetadataStore::Listener {
 public:
  Coordinator(CoordinatorOptions options, env::Clock& clock, env::Random& random,
              MetadataStore& store, Outbox& outbox, Observer* observer = nullptr);
  ~Coordinator() override;

  // Loads the store, again and again until that works; sessions are answered afterwards.
  void start();
  bool loaded() const;
  const Status& load_error() const;

  // ---- brokers' sessions ----
  void on_connect(SessionId session);
  void on_message(SessionId session, const sluice::v1::BrokerMessage& message);
  void on_disconnect(SessionId session);
  // Returns when the next one is needed, by the monotonic clock, unless an input comes before: then the
  // wake callback is called. 0: in kTickMs; kNever: only after an input. To call it more often does no
  // harm and changes nothing.
  int64_t tick();
  // Called from inside an input that ends such a wait; must not call back.
  void set_wake_callback(std::function<void()> wake);

  // ---- the store's reports ----
  void stream_declared(const StreamDeclaration& declaration) override;
  void stream_withdrawn(const std::string& name, bool keep_data) override;

  // ---- the operator's wishes; level-triggered, may be said again ----
  void set_defaults(const StreamDefaults& defaults);
  // Users and their rights, pushed to every broker.
  void set_security(const sluice::v1::Security& security);
  // As last told; nothing before.
  const std::optional<sluice::v1::Security>& security() const;
  void set_expected_brokers(const std::vector<ExpectedBroker>& brokers);
  // What usage costs, for the brokers' bills; checked by the caller. Null: nothing is known of money.
  void set_prices(const sluice::v1::Prices* prices);
  void set_draining(int32_t broker, bool draining);
  DrainProgress drain_progress(int32_t broker) const;
  // Why these brokers must not stop now, all at once: some shard would lose its majority, or the
  // in-sync copies that its writes wait for, or nobody knows. Empty: they may. A shard that cannot
  // do without any of its copies (it has one, say) is no reason, unless another one is away too.
  std::string stop_risk(const std::set<int32_t>& brokers);
  // Why these brokers cannot be drained: replication, or room. Empty: they can.
  std::string removal_risk(const std::set<int32_t>& brokers) const;
  // No move of a replica begins while it is set, those for a drain included; what is under way ends.
  void set_moves_paused(bool paused);
  void set_balancing(const Balancing& balancing);
  // With Balancing::propose: the moves that would even the cluster out. Nothing before it has looked.
  const std::optional<std::vector<PlannedMove>>& proposed_moves() const;
  // Approved moves that are not made yet and still can be; nothing before it has looked.
  std::optional<int> approved_moves_left() const;
  // Drops a broker that holds nothing; kConflict while it does or is connected.
  Status forget_broker(int32_t broker);
  // The same request that a broker's client makes; `done` runs when it is finished.
  using AdminDone = std::function<void(const sluice::v1::AdminResponse&)>;
  void admin(const sluice::v1::AdminRequest& request, AdminDone done);

  // ---- looking; valid until the next input ----
  const std::string& cluster_id() const;
  std::vector<const ShardMap*> maps() const;
  const ShardMap* map_of(const std::string& stream) const;
  // Why a stream is not as declared, or which shard of it is lost; empty when all is well.
  std::string stream_problem(const std::string& stream) const;
  // That problem goes by itself when brokers come.
  bool stream_waits(const std::string& stream) const;
  std::vector<BrokerView> brokers() const;
  std::vector<MoveView> moves() const;
  int planned_moves() const;  // moves that the plan still wants, those in flight not counted
  int64_t bytes_to_move() const;  // of both, as far as brokers have told
  int sessions() const;
  // The table in use; null: none.
  const sluice::v1::Prices* prices() const;
  // When usage of a stream (empty: of any, or of brokers) was last written; -1: never.
  int64_t metered_ms(const std::string& stream) const;
  void set_metering_interval(int64_t ms);
  // As of `now_ms`, from what is durable: no number of it ever goes back.
  sluice::v1::Bill bill(int64_t now_ms) const;
  // Run after anything above may have changed; must not call back synchronously.
  void set_change_callback(std::function<void()> changed);

 private:
  std::unique_ptr<class Core> core_;
};

}  // namespace broker::coordination
