#pragma once
// Inside of the coordinator, shared by the files of this folder that each hold one role:
//   core.cc       start, settling after every input      writes.cc     the write pipeline of a map
//   sessions.cc   brokers' sessions, pushes              elections.cc  terms and winners
//   leadership.cc transfers: stop, drain, balance        membership.cc moves of replicas
//   reshard.cc    split, merge, retile                   streams.cc    create, change, delete
//   assignment.cc wished ensembles and leaders
//   admin.cc      requests                               drain.cc      what the operator asks
//   acls.cc       what clients change of users: rights, passwords
//   metering.cc   what streams and brokers used
//   safety.cc     what stopping or removing a broker costs
//   proposal.cc   balancing that waits for approval
// Every input changes state, marks streams dirty and ends in settle(), which looks at what each
// dirty map says and does the next step: nothing is remembered that a restart could not find again.
#include <deque>
#include <list>
#include <map>
#include <set>

#include "broker/coordination/coordinator.h"
#include "broker/metering/ledger.h"

namespace broker::coordination {

// One proposal is looked at by a person: what is left comes in the next.
inline constexpr int kProposedMovesMax = 100;
inline constexpr int64_t kLevelsMs = 500;  // between two looks at what there is to be metered

struct Session {
  SessionId id = 0;
  int32_t broker = -1;  // -1: not registered
  std::string directory;
  std::string process;
  int64_t registered_ms = 0;
  int64_t heard_ms = 0;
  bool silent = false;
  bool stopping = false;
  std::set<int32_t> hears;
};

// A broker that is or was here, is expected, or is named by a map.
struct Peer {
  sluice::v1::Broker info;
  bool registered = false;  // since the coordinator started
  SessionId session = 0;    // 0: none
  std::string process;      // last seen
  bool expected = false;
  bool draining = false;
  std::string zone;  // the operator's word; empty: as the broker says
  std::map<std::string, sluice::v1::Endpoint> listeners;  // the operator's word, by name
  std::map<std::pair<std::string, int32_t>, int64_t> shard_bytes;  // as last told
  int64_t disk_bytes = 0, disk_free_bytes = 0;
  sluice::v1::Certificates certificates;  // of this process, as last told
};

// Changes a map, or refuses and leaves it alone. Applied again after a conflict, so it looks at
// what the map says now.
struct Edit {
  std::string what;
  std::function<Status(ShardMap&)> apply;
  std::function<void(const Status&)> done;  // when durable, or refused
};

struct Vote {
  sluice::v1::NewTermResult result;
  std::string process;
};
struct Election {
  int32_t term = -1;
  std::string reason;
  int64_t started_ms = 0;
  int64_t majority_ms = -1;                                // when a majority had answered
  std::map<int32_t, Vote> votes;                           // by broker
  std::map<int32_t, std::pair<SessionId, int64_t>> asked;  // by broker: in which session, when
};

struct Transfer {
  int32_t term = -1;
  int32_t target = -1;
  std::string reason;
  int64_t started_ms = 0;
  bool ready = false;
};

// What is known of a shard beside its map; all of it can be lost.
struct Live {
  bool busy = false;           // an edit of this shard waits or is being written
  int32_t disowned_term = -2;  // the leader's process of that term is gone
  int64_t leader_since_ms = 0;
  int unclaimed = 0;  // elections in a row because no report came
  int64_t unheard_since_ms = -1;  // the leader is here, but a majority does not hear it
  std::optional<sluice::v1::LeaderReport> report;
  std::optional<Election> election;
  std::string reason;      // of the election to come
  int32_t preferred = -1;  // its wanted winner
  int32_t elected_by_admin =
      -1;  // the broker that a client wanted (ElectPreferred): not balanced away
  std::optional<Transfer> transfer;
  int transfer_failures = 0;
  int64_t transfer_after_ms = 0;
  std::optional<Move> move;
  int64_t learner_gone_ms = -1;
};

struct Stream {
  std::string name;
  ShardMap map;          // as stored; generation 0 until the first write
  std::string version;   // empty until then
  ShardMap next;         // being written
  bool writing = false;  // a write, read or removal is under way
  bool reading = false;
  int64_t retry_ms = -1;  // when to read again after a failure
  int failures = 0;
  std::vector<Edit> queued, inflight;
  std::map<int32_t, Live> live;
  bool dirty = true;
  bool withdrawn = false, keep_data = false, removing = false;
  bool adopting = false;       // its declaration is being given another replication
  int64_t adopt_again_ms = 0;  // not before
  int64_t deleting_since_ms = -1;
  // Told by leaders and brokers, and not in the map yet.
  std::map<int32_t, sluice::v1::ShardUsage> usage;         // by shard
  std::map<std::string, sluice::v1::ZoneTraffic> traffic;  // by data directory
  int64_t metered_ms = -1;                                 // when usage was last written
  bool stored() const { return !version.empty(); }
};

// A change of term that evaluation wants: an election, planned or not, perhaps with the begin of a
// membership change.
struct TermChange {
  int32_t index = 0;
  int32_t from = 0;
  int32_t to = 0;
  std::string reason;
  int32_t preferred = -1;
  bool joint = false;
  std::optional<Replica> add, remove;
};
struct Decision {
  int32_t index = 0;
  int32_t term = 0;
  int32_t leader = 0;
  int64_t started_ms = 0;
};
struct Wanted {
  std::vector<TermChange> terms;
  std::vector<Decision> leaders;
};

struct PendingAdmin {
  enum Kind { kCreate, kUpdate, kDelete, kReshard, kElect, kAcls, kScram };
  Kind kind = kCreate;
  uint64_t id = 0;
  std::string stream;     // name
  std::string stream_id;  // once known
  std::vector<int32_t> shards;  // kReshard: that are replaced; kElect: one
  StreamConfig config;    // kUpdate: as it will be
  // kAcls: what was given or taken away, by user; what the answer says of it.
  std::vector<std::pair<std::string, sluice::v1::Acl>> acls;
  bool acls_given = false;
  std::vector<sluice::v1::DeletedAcls> deleted;
  sluice::v1::AlterScram scram;  // kScram
  int64_t deadline_ms = 0;
  Coordinator::AdminDone done;
};

class Core {
 public:
  Core(CoordinatorOptions options, env::Clock& clock, env::Random& random, MetadataStore& store,
       Outbox& outbox, Observer* observer);
  ~Core();

  void start();
  int64_t tick();
  void set_wake_callback(std::function<void()> wake) { wake_ = std::move(wake); }
  bool loaded() const { return loaded_; }
  const Status& load_error() const { return load_error_; }

  void on_connect(SessionId session);
  void on_message(SessionId session, const sluice::v1::BrokerMessage& message);
  void on_disconnect(SessionId session);

  void stream_declared(const StreamDeclaration& declaration);
  void stream_withdrawn(const std::string& name, bool keep_data);
  void set_defaults(const StreamDefaults& defaults);
  void set_security(const sluice::v1::Security& security);
  void set_prices(const sluice::v1::Prices* prices);
  const sluice::v1::Prices* prices() const;
  int64_t metered_ms(const std::string& stream) const;
  void set_metering_interval(int64_t ms);
  sluice::v1::Bill bill(int64_t now_ms) const;
  const std::optional<sluice::v1::Security>& security() const { return security_; }
  void set_expected_brokers(const std::vector<ExpectedBroker>& brokers);
  void set_draining(int32_t broker, bool draining);
  DrainProgress drain_progress(int32_t broker) const;
  Status forget_broker(int32_t broker);
  std::string stop_risk(const std::set<int32_t>& brokers);
  std::string removal_risk(const std::set<int32_t>& brokers) const;
  void set_moves_paused(bool paused);
  void set_balancing(const Balancing& balancing);
  const std::optional<std::vector<PlannedMove>>& proposed_moves() const { return proposed_; }
  std::optional<int> approved_moves_left() const { return approved_left_; }
  int64_t bytes_to_move() const { return bytes_in_flight() + planned_bytes_; }
  // Settled by the caller.
  void admin(const sluice::v1::AdminRequest& request, Coordinator::AdminDone done);
  void settle();

  const std::string& cluster_id() const { return cluster_id_; }
  std::vector<const ShardMap*> maps() const;
  const ShardMap* map_of(const std::string& stream) const;
  std::string stream_problem(const std::string& stream) const;
  bool stream_waits(const std::string& stream) const;
  std::vector<BrokerView> broker_views() const;
  std::vector<MoveView> move_views() const;
  int planned_moves() const;
  int session_count() const;
  void set_change_callback(std::function<void()> changed) { changed_ = std::move(changed); }

 private:
  // core.cc
  void load();
  void step();
  // An input has come: time alone decides again when a scan and a plan have looked at what it changed.
  void heard_something();
  int64_t next_tick_ms() const;
  void loaded_contents(StoreContents contents);
  Stream& take_in(StoredMap stored);
  void evaluate(Stream& stream);
  void evaluate_led(Stream& stream, const Shard& shard, Live& live, Wanted& wanted);
  void mark_all_dirty();
  int64_t now() const { return clock_.mono_ms(); }
  Stream* find_stream(const std::string& name);  // not being deleted
  const Stream* find_stream(const std::string& name) const;
  Stream* find_stream_by_id(const std::string& id);
  void disturbed() { calm_since_ms_ = now(); }

  // writes.cc
  void queue(Stream& stream, Edit edit);
  void flush(Stream& stream);
  void written(const std::string& id, Result<std::string> version);
  void read_again(Stream& stream);
  void read_back(const std::string& id, Result<std::optional<StoredMap>> stored);
  void accepted(Stream& stream, std::string version);
  void map_vanished(Stream& stream);
  void retry_reads();

  // sessions.cc
  void on_register(Session& session, const sluice::v1::Register& message);
  void on_heartbeat(Session& session, const sluice::v1::Heartbeat& message);
  void on_reports(Session& session, const sluice::v1::LeaderReports& message);
  Status admissible(const Session& session, const sluice::v1::Register& message);
  void process_replaced(int32_t broker);
  void forget_reports(int32_t broker);
  void end_session(SessionId id);
  void watch_silence();
  void set_alive(Peer& peer, bool alive);
  void push_map(const Stream& stream);
  void push_broker(const Peer& peer);
  void push_client_quotas();
  void add_client_quotas(sluice::v1::MetadataUpdate& update) const;
  void push_removed(const std::string& stream_id);
  void push_full(Session& session);
  void push_to_all(const sluice::v1::CoordinatorMessage& message);
  sluice::v1::Broker broker_message(const Peer& peer) const;
  Session* session_of(int32_t broker);
  // The session of this very incarnation, heard from of late; null otherwise.
  Session* live_session(const Replica& replica);
  Peer* find_peer(int32_t broker);

  // elections.cc
  bool may_elect();  // the grace period is over
  bool voters_reachable(const Shard& shard);
  bool heard(const Shard& shard, int32_t broker);
  bool isolated(const Shard& shard, Live& live);
  const Replica* leader_replica(const Shard& shard) const;
  std::string reason_to_elect(Stream& stream, const Shard& shard, Live& live);
  void step_election(Stream& stream, const Shard& shard, Live& live, Wanted& wanted);
  void ask_voters(Stream& stream, const Shard& shard, Election& election);
  bool has_vote(const Election& election, const Replica& replica);
  // It has answered with its log's end, whether or not that is all that it ever acknowledged.
  bool has_head(const Election& election, const Replica& replica);
  bool only_survivors(const Stream& stream, const Shard& shard, const Election& election);
  static bool in_memory(const Stream& stream) {
    return stream.map.config().durability() == sluice::v1::DURABILITY_MEMORY;
  }
  int32_t choose_winner(const Shard& shard, const Live& live, bool from_survivors);
  void on_votes(Session& session, const sluice::v1::NewTermResults& message);
  static bool resigns(const Stream& stream, const Session& session,
                      const sluice::v1::NewTermResult& result);
  void queue_terms(Stream& stream, std::vector<TermChange> changes);
  void queue_leaders(Stream& stream, std::vector<Decision> decisions);
  void send_new_terms();
  std::map<int32_t, int> leader_counts() const;

  // leadership.cc
  bool step_transfer(Stream& stream, const Shard& shard, Live& live, Wanted& wanted);
  bool start_transfer(Stream& stream, const Shard& shard, Live& live,
                      const std::vector<Replica>& candidates, const std::string& reason);
  void transfer_failed(Live& live);
  void on_transfer_ready(Session& session, const sluice::v1::TransferReady& message);
  bool leaves_leadership(int32_t broker);  // stops or drains
  bool can_be_transferred(const Shard& shard, const Live& live);
  void answer_stopping(Session& session);
  void balance_leaders();
  std::map<int32_t, int> leader_counts_to_come() const;
  static std::map<int32_t, int> stream_leaders_to_come(const Stream& stream);
  int transfers_in_flight() const;
  bool may_leave();
  void resume_leaving();

  // membership.cc
  void step_membership(Stream& stream, const Shard& shard, Live& live, Wanted& wanted);
  void step_learner(Stream& stream, const Shard& shard, Live& live, Wanted& wanted);
  void step_joint(Stream& stream, const Shard& shard, Live& live);
  void give_up_learner(Stream& stream, const Shard& shard, Live& live);
  bool learner_lost(const Replica& learner, Live& live);
  void plan();
  void begin_move(const Move& move);
  bool can_move(const Move& move);
  std::vector<BrokerInfo> broker_infos() const;
  int moves_in_flight() const;
  bool calm();

  // proposal.cc
  void hold_back(MovePlan& plan, bool looked);
  bool stands(const std::vector<PlannedMove>& moves) const;
  std::set<int32_t> brokers_that_take() const;
  void add_approved(MovePlan& plan);
  bool is_being_made(const Stream& stream, const Shard& shard, const PlannedMove& move) const;

  // safety.cc
  bool may_come_back(const Shard& shard) const;
  std::string cost_of_stop(const Stream& stream, const Shard& shard,
                           const google::protobuf::RepeatedPtrField<Replica>& ensemble,
                           const std::set<int32_t>& brokers);
  void take_holdings(Peer& peer, const sluice::v1::Holdings& holdings);
  void take_certificates(int32_t broker, const sluice::v1::Certificates& told);
  int64_t bytes_on(int32_t broker, const std::string& stream_id, int32_t shard) const;
  ShardSizes shard_sizes() const;
  int64_t bytes_in_flight() const;
  int64_t learner_bytes_left(const Stream& stream, const Shard& shard) const;

  // reshard.cc
  void step_sealing(Stream& stream, const Shard& shard);
  void queue_split(Stream& stream, const sluice::v1::SplitShard& request, PendingAdmin pending);
  void queue_reshard(Stream& stream, std::function<Status(ShardMap&)> intend, PendingAdmin pending);
  void queue_merge(Stream& stream, const sluice::v1::MergeShards& request, PendingAdmin pending);
  void queue_retile(Stream& stream, const sluice::v1::RetileShards& request, PendingAdmin pending);

  // assignment.cc
  void admin_reassign(Stream& stream, const sluice::v1::ReassignShard& request,
                      PendingAdmin pending);
  // Where all shards have been given another number of copies, the stream takes it over: the
  // declaration first, which is the truth.
  void adopt_copies(Stream& stream);
  void admin_elect_preferred(Stream& stream, const sluice::v1::ElectPreferred& request,
                             PendingAdmin pending);

  // metering.cc
  void on_usage(Session& session, const sluice::v1::UsageReports& message);
  void write_usage();
  void queue_usage(Stream& stream);
  void follow_levels();
  bool fold_into_ledger(const Stream& stream);
  void write_ledger();
  void ledger_written(Result<std::string> version);
  void read_ledger_again();
  void ledger_changed();

  // streams.cc
  void reconcile_streams();
  void reconcile_stream(const StreamDeclaration& declaration);
  bool brokers_known() const;
  StreamConfig resolve(const StreamConfig& wanted, const ShardMap* existing) const;
  Status create_map(const StreamDeclaration& declaration, const StreamConfig& config);
  Status change_map(Stream& stream, const StreamConfig& config);
  void step_deletion(Stream& stream);
  void remove_map(Stream& stream);
  void forget_stream(const std::string& id);

  // acls.cc
  void admin_create_acls(const sluice::v1::CreateAcls& request, PendingAdmin pending);
  void admin_delete_acls(const sluice::v1::DeleteAcls& request, PendingAdmin pending);
  void admin_alter_scram(const sluice::v1::AlterScram& request, PendingAdmin pending);
  const sluice::v1::User* find_served_user(const std::string& name) const;
  bool acls_are_in_force(const PendingAdmin& pending) const;
  bool scram_is_in_force(const sluice::v1::AlterScram& change) const;

  // admin.cc
  void on_admin(Session& session, const sluice::v1::AdminRequest& request);
  void admin_create(const sluice::v1::CreateStream& request, PendingAdmin pending);
  void admin_delete(const sluice::v1::DeleteStream& request, PendingAdmin pending);
  void admin_update(const sluice::v1::UpdateStream& request, PendingAdmin pending);
  void admin_client_quotas(const sluice::v1::AlterClientQuotas& request, PendingAdmin pending);
  void admin_producer_ids(const sluice::v1::AllocateProducerIds& request, PendingAdmin pending);
  void admin_attributes(Stream& stream, const sluice::v1::SetAttributes& request,
                        PendingAdmin pending);
  void answer(const PendingAdmin& pending, const Status& status,
              const std::vector<int32_t>& shards = {});
  void await(PendingAdmin pending);
  void check_pending();
  bool finished(const PendingAdmin& pending, Status& status, std::vector<int32_t>& shards);
  bool is_serving(Stream& stream, const Shard& shard);

  const CoordinatorOptions options_;
  env::Clock& clock_;
  env::Random& random_;
  MetadataStore& store_;
  Outbox& outbox_;
  Observer* observer_;
  Observer silent_observer_;
  StreamDefaults defaults_;
  std::optional<sluice::v1::Security> security_;
  sluice::v1::ClientQuotas client_quotas_;  // as stored

  bool loaded_ = false;
  bool loading_ = false;
  int64_t load_again_ms_ = 0;
  Status load_error_;
  std::string cluster_id_;
  int64_t started_ms_ = 0;
  bool grace_over_ = false;
  int64_t last_tick_ms_ = -1;
  int64_t heard_ms_ = 0;  // the latest input
  bool stepping_ = false;  // what is called now is no input
  bool waits_ = false;     // no tick is needed for a while
  std::function<void()> wake_;
  int64_t last_scan_ms_ = 0;
  int64_t last_plan_ms_ = 0;
  int64_t calm_since_ms_ = 0;

  // The ledger as it is now; as it is in the store, and is being written.
  sluice::v1::MeterLedger ledger_, stored_ledger_, next_ledger_;
  std::string ledger_version_;
  bool ledger_dirty_ = false, ledger_urgent_ = false, ledger_busy_ = false;
  int64_t ledger_written_ms_ = -1, ledger_look_ms_ = 0, ledger_retry_ms_ = -1;
  std::set<int32_t> metered_brokers_;
  int64_t next_usage_write_ms_ = 0;
  int64_t metering_interval_ms_;
  std::optional<sluice::v1::Prices> prices_;

  std::map<SessionId, Session> sessions_;
  std::map<int32_t, Peer> peers_;
  std::map<std::string, Stream> streams_;  // by id
  std::map<std::string, StreamDeclaration> declared_;
  struct Problem {
    std::string text;
    bool waits = false;  // it goes by itself when brokers come
    bool operator==(const Problem&) const = default;
  };
  std::map<std::string, Problem> problems_;  // by stream name
  bool streams_dirty_ = false;
  bool store_declares_ = false;  // the store keeps declarations apart from maps
  std::map<SessionId, sluice::v1::NewTerms> new_terms_;
  int term_writes_ = 0;  // raised terms being written: their questions go out together
  int64_t new_terms_since_ms_ = -1;
  int leaving_ = 0;  // transfers under way: counted at times, and those begun since
  bool leaving_counted_ = false;  // in this settle()
  bool leaving_waits_ = false;    // somebody, for fewer of them
  std::map<int32_t, int> undecided_leaders_;  // chosen, not yet written
  std::list<PendingAdmin> pending_;
  std::map<int32_t, std::string> drain_blocked_;
  int planned_moves_ = 0;
  int64_t planned_bytes_ = 0;
  bool moves_paused_ = false;
  Balancing balancing_;
  std::optional<std::vector<PlannedMove>> proposed_;
  std::optional<int> approved_left_;
  int64_t proposed_ms_ = 0;               // when, and between which brokers
  std::set<int32_t> proposed_between_;
  bool evens_bytes_ = false;  // disks are being evened out: until they are even, not just better
  bool something_changed_ = false;
  std::function<void()> changed_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace broker::coordination
