#pragma once
// A cluster around the coordinator for its tests, on virtual time: brokers that keep the
// replication protocol's promises (terms, adoption, heads, seals, transfers) without its details,
// links that can be cut, processes that can be killed. After every step it checks that no term has
// two leaders and that no leader lacks what was committed. Single-threaded, deterministic.
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <set>

#include "broker/base/uuid.h"
#include "broker/coordination/coordinator.h"
#include "tests/support/memory_store.h"

namespace broker::coordination {

class WorldClock : public env::Clock {
 public:
  int64_t time_ms = 1'000'000;
  int64_t mono_ms() const override { return time_ms; }
  int64_t mono_us() const override { return time_ms * 1000; }
  int64_t wall_ms() const override { return 1'700'000'000'000 + time_ms; }
};

class WorldRandom : public env::Random {
 public:
  uint64_t next() override {
    return state_ = state_ * 6364136223846793005ULL + 1442695040888963407ULL;
  }

 private:
  uint64_t state_ = 42;
};

using ShardKey = std::pair<std::string, int32_t>;

// What a broker has of one shard.
struct WorldReplica {
  int32_t term = -1, adopted = -1;
  int64_t end = 0;
  int32_t fenced_term = -1;  // by this process
  bool leads = false;
  bool holds = false;  // a transfer is being prepared
  bool tail_lost = false;  // of a memory stream: stopped uncleanly
  bool sealed = false;
  int64_t sealed_end = 0;
  std::string told;  // last report
};

struct WorldBroker {
  int32_t id = 0;
  std::string directory, zone;
  int process = 0;
  bool up = false;
  bool connected = true;  // to the coordinator
  bool stopping = false, stop_allowed = false, votes = true, commits = true;
  SessionId session = 0;
  int64_t last_heartbeat = 0;
  std::map<ShardKey, WorldReplica> replicas;
  std::map<std::string, ShardMap> maps;  // as pushed, by stream id
  std::optional<sluice::v1::ClientQuotas> client_quotas;  // as pushed
  std::map<int32_t, sluice::v1::Broker> brokers;
  std::vector<sluice::v1::CoordinatorMessage> inbox;
  std::vector<sluice::v1::AdminResponse> answers;
  std::string refused;
  std::string vote_error;  // what keeps it from voting, its disk for example
  std::optional<sluice::v1::Holdings> holdings;  // told with every heartbeat
  std::optional<sluice::v1::Certificates> certificates;  // likewise
  int new_terms_messages = 0, full_updates = 0;
};

class World : public Outbox {
 public:
  explicit World(int brokers, int zones = 3) {
    options.cluster = "c";
    for (int id = 0; id < brokers; ++id) add_broker(id, "z" + std::to_string(id % zones));
    start_coordinator();
  }

  WorldBroker& add_broker(int32_t id, const std::string& zone) {
    WorldBroker& broker = brokers[id];
    broker.id = id;
    broker.zone = zone;
    broker.directory = new_directory();
    broker.up = true;
    return broker;
  }
  std::string new_directory() {
    uint64_t high = random.next();
    return Uuid::from_random(high, random.next()).to_string();
  }

  void start_coordinator() {
    coordinator = std::make_unique<Coordinator>(options, clock, random, store, *this);
    coordinator->set_wake_callback([this] { tick_due_ms = 0; });
    tick_due_ms = 0;
    coordinator->start();
  }
  // The process is gone: sessions end, answers under way are lost.
  void crash_coordinator() {
    coordinator.reset();
    store.drop_answers();
    for (auto& [id, broker] : brokers) broker.session = 0, broker.inbox.clear();
  }
  void kill(int32_t id) {
    WorldBroker& broker = brokers[id];
    broker.up = false;
    disconnect(broker);
    for (auto& [key, replica] : broker.replicas) {
      replica.leads = replica.holds = false;
      replica.fenced_term = -1;
      replica.told.clear();
    }
    broker.maps.clear();
  }
  // The records that only its memory had are gone with the process.
  void lose_tails(int32_t id, int64_t records) {
    for (auto& [key, replica] : brokers[id].replicas) {
      replica.end = std::max<int64_t>(0, replica.end - records);
      replica.tail_lost = true;
    }
  }
  void revive(int32_t id) {
    WorldBroker& broker = brokers[id];
    broker.up = true;
    ++broker.process;
    broker.stopping = broker.stop_allowed = false;
  }
  void wipe(int32_t id) {
    brokers[id].replicas.clear();
    brokers[id].directory = new_directory();
  }
  void disconnect(WorldBroker& broker) {
    SessionId session = broker.session;
    broker.session = 0;
    broker.inbox.clear();
    if (session && coordinator) coordinator->on_disconnect(session);
  }

  void run(int64_t ms) {
    for (int64_t end = clock.time_ms + ms; clock.time_ms < end;) step();
  }
  template <class Condition>
  bool run_until(Condition condition, int64_t ms = 20'000) {
    for (int64_t end = clock.time_ms + ms; clock.time_ms < end;) {
      if (condition()) return true;
      step();
    }
    return condition();
  }

  void step() {
    clock.time_ms += 10;
    if (crash_wanted) {
      crash_wanted = false;
      crash_coordinator();
      start_coordinator();
    }
    store.deliver();
    for (auto& [id, broker] : brokers) drive(broker);
    for (auto& [id, broker] : brokers) replicate(broker);
    if (coordinator && clock.time_ms % kTickMs == 0 && clock.time_ms >= tick_due_ms) {
      tick_due_ms = coordinator->tick();
      ++ticks;
    }
    check();
  }

  // ---- what tests ask and look at ----
  sluice::v1::AdminResponse ask(sluice::v1::AdminRequest request, int64_t ms = 30'000) {
    std::optional<sluice::v1::AdminResponse> answer;
    coordinator->admin(request, [&](const auto& response) { answer = response; });
    run_until([&] { return answer.has_value(); }, ms);
    return answer.value_or(sluice::v1::AdminResponse());
  }
  sluice::v1::AdminResponse create(const std::string& name, int partitions, int replication = 3,
                                   bool elastic = false, bool memory = false) {
    sluice::v1::AdminRequest request;
    auto* create = request.mutable_create_stream();
    if (memory) create->mutable_config()->set_durability(sluice::v1::DURABILITY_MEMORY);
    create->set_name(name);
    create->mutable_config()->set_mode(elastic ? sluice::v1::STREAM_MODE_ELASTIC
                                               : sluice::v1::STREAM_MODE_PARTITIONED);
    create->mutable_config()->set_partitions(partitions);
    create->mutable_config()->set_replication(replication);
    return ask(request);
  }
  sluice::v1::AdminResponse split(const std::string& name, int32_t index, int into = 2) {
    sluice::v1::AdminRequest request;
    request.mutable_split_shard()->set_stream(name);
    request.mutable_split_shard()->set_index(index);
    request.mutable_split_shard()->set_into(into);
    return ask(request);
  }
  sluice::v1::AdminResponse merge(const std::string& name, int32_t index, int32_t adjacent) {
    sluice::v1::AdminRequest request;
    request.mutable_merge_shards()->set_stream(name);
    request.mutable_merge_shards()->set_index(index);
    request.mutable_merge_shards()->set_adjacent(adjacent);
    return ask(request);
  }
  sluice::v1::AdminResponse retile(const std::string& name, const std::vector<int32_t>& indexes,
                                   const std::vector<KeyRange>& into) {
    sluice::v1::AdminRequest request;
    auto* retile = request.mutable_retile_shards();
    retile->set_stream(name);
    retile->mutable_indexes()->Assign(indexes.begin(), indexes.end());
    for (size_t i = 1; i < into.size(); ++i) retile->add_at(format_hash_key(into[i].first));
    return ask(request);
  }
  // From the store: the truth.
  const ShardMap* map(const std::string& name) const {
    for (const auto& [id, stored] : store.maps) {
      if (stored.map.stream() == name) return &stored.map;
    }
    return nullptr;
  }
  const Shard& shard(const std::string& name, int32_t index) const {
    return *find_shard_by_index(*map(name), index);
  }
  // Every shard that can be led is led by a broker that is up and knows it.
  bool all_led() const {
    for (const auto& [id, stored] : store.maps) {
      for (const auto& s : stored.map.shards()) {
        if (!s.has_leader()) return false;
        const WorldBroker& leader = brokers.at(s.leader());
        auto it = leader.replicas.find({stored.map.stream_id(), s.index()});
        if (!leader.up || it == leader.replicas.end() || !it->second.leads ||
            it->second.term != s.term()) {
          return false;
        }
      }
    }
    return true;
  }
  bool settled() const {
    for (const auto& [id, stored] : store.maps) {
      for (const auto& s : stored.map.shards()) {
        if (is_joint(s) || !s.learners().empty() || s.state() == sluice::v1::SHARD_STATE_SEALING) {
          return false;
        }
      }
    }
    return all_led() && store.idle();
  }
  int replicas_on(int32_t broker) const {
    int count = 0;
    for (const auto& [id, stored] : store.maps) {
      for (const auto& s : stored.map.shards()) count += find_replica(s.replicas(), broker) ? 1 : 0;
    }
    return count;
  }
  int leaders_on(int32_t broker) const {
    int count = 0;
    for (const auto& [id, stored] : store.maps) {
      for (const auto& s : stored.map.shards()) count += s.has_leader() && s.leader() == broker;
    }
    return count;
  }

  // ---- Outbox ----
  void send(SessionId session, const sluice::v1::CoordinatorMessage& message) override {
    for (auto& [id, broker] : brokers) {
      if (broker.session == session) broker.inbox.push_back(message);
    }
  }
  void close(SessionId session) override {
    for (auto& [id, broker] : brokers) {
      if (broker.session != session) continue;
      for (const auto& message : broker.inbox) {
        if (message.has_refused()) broker.refused = message.refused().reason();
      }
      broker.session = 0;
      broker.inbox.clear();
    }
  }

  CoordinatorOptions options;
  WorldClock clock;
  WorldRandom random;
  MemoryStore store;
  std::unique_ptr<Coordinator> coordinator;
  int64_t tick_due_ms = 0;  // as its last tick said
  int ticks = 0;
  std::map<int32_t, WorldBroker> brokers;
  std::set<std::pair<int32_t, int32_t>> cut;  // links that carry nothing, smaller id first
  bool crash_wanted = false;
  bool producing = false;
  std::map<ShardKey, int64_t> committed;

 private:
  bool linked(int32_t a, int32_t b) const {
    return brokers.at(a).up && brokers.at(b).up && !cut.count({std::min(a, b), std::max(a, b)});
  }

  void drive(WorldBroker& broker) {
    if (!broker.up || !coordinator || !coordinator->loaded()) return;
    if (!broker.connected) {
      if (broker.session) disconnect(broker);
      return;
    }
    if (!broker.session) connect(broker);
    auto inbox = std::move(broker.inbox);
    broker.inbox.clear();
    for (const auto& message : inbox) handle(broker, message);
    if (broker.session && clock.time_ms - broker.last_heartbeat >= 200) heartbeat(broker);
  }

  void connect(WorldBroker& broker) {
    broker.session = ++last_session_;
    for (auto& [key, replica] : broker.replicas) replica.told.clear();
    coordinator->on_connect(broker.session);
    sluice::v1::BrokerMessage message;
    auto* hello = message.mutable_register_();
    hello->set_cluster("c");
    hello->set_process("p" + std::to_string(broker.id) + "." + std::to_string(broker.process));
    hello->mutable_broker()->set_id(broker.id);
    hello->mutable_broker()->set_directory(broker.directory);
    hello->mutable_broker()->set_zone(broker.zone);
    auto* listener = hello->mutable_broker()->add_listeners();
    listener->set_name("external");
    listener->mutable_endpoint()->set_host("b" + std::to_string(broker.id) + ".inside");
    listener->mutable_endpoint()->set_port(9094);
    coordinator->on_message(broker.session, message);
    heartbeat(broker);
  }

  void heartbeat(WorldBroker& broker) {
    broker.last_heartbeat = clock.time_ms;
    sluice::v1::BrokerMessage message;
    auto* beat = message.mutable_heartbeat();
    beat->set_stopping(broker.stopping);
    if (broker.holdings) *beat->mutable_holdings() = *broker.holdings;
    if (broker.certificates) *beat->mutable_certificates() = *broker.certificates;
    for (const auto& [id, other] : brokers) {
      if (id != broker.id && linked(broker.id, id)) beat->add_hears(id);
    }
    tell(broker, message);
  }

  void tell(WorldBroker& broker, const sluice::v1::BrokerMessage& message) {
    if (broker.session && coordinator) coordinator->on_message(broker.session, message);
  }

  void handle(WorldBroker& broker, const sluice::v1::CoordinatorMessage& message) {
    if (message.has_metadata()) apply(broker, message.metadata());
    if (message.has_new_terms()) vote(broker, message.new_terms());
    if (message.has_prepare_transfer()) prepare(broker, message.prepare_transfer());
    if (message.has_stop_allowed()) broker.stop_allowed = true;
    if (message.has_admin()) broker.answers.push_back(message.admin());
  }

  static bool is_mine(const WorldBroker& broker, const Shard& s) {
    Replica me;
    me.set_broker(broker.id);
    me.set_directory(broker.directory);
    return contains_replica(s.replicas(), me) || contains_replica(s.next_replicas(), me) ||
           contains_replica(s.learners(), me);
  }

  void apply(WorldBroker& broker, const sluice::v1::MetadataUpdate& update) {
    if (update.has_client_quotas()) broker.client_quotas = update.client_quotas();
    if (update.full()) {
      broker.maps.clear();
      broker.brokers.clear();
      ++broker.full_updates;
    }
    for (const auto& b : update.brokers()) broker.brokers[b.id()] = b;
    for (const auto& id : update.deleted_stream_ids()) broker.maps.erase(id);
    for (const auto& m : update.streams()) {
      broker.maps[m.stream_id()] = m;
      for (const auto& s : m.shards()) {
        ShardKey key{m.stream_id(), s.index()};
        if (m.deleting() || !is_mine(broker, s)) {
          broker.replicas.erase(key);
          continue;
        }
        WorldReplica& replica = broker.replicas[key];
        bool sole = voters_of(s).size() == 1;
        if (replica.leads && (s.term() > replica.term || s.leader() != broker.id))
          replica.leads = false;
        if (s.has_leader() && s.leader() == broker.id && !replica.leads &&
            (replica.fenced_term == s.term() ||
             (sole && replica.term <= s.term() && !replica.tail_lost))) {
          replica.term = replica.adopted = s.term();
          replica.tail_lost = false;
          replica.leads = true;
          replica.holds = false;
        }
      }
    }
  }

  void vote(WorldBroker& broker, const sluice::v1::NewTerms& questions) {
    if (!broker.votes) return;
    ++broker.new_terms_messages;
    sluice::v1::BrokerMessage message;
    for (const auto& question : questions.terms()) {
      WorldReplica& replica =
          broker.replicas[{question.shard().stream_id(), question.shard().index()}];
      auto* result = message.mutable_new_term_results()->add_results();
      *result->mutable_shard() = question.shard();
      result->set_term(question.term());
      result->set_directory(broker.directory);
      if (!broker.vote_error.empty()) {
        result->set_error(broker.vote_error);
        continue;
      }
      bool stale = question.term() < replica.term ||
                   (question.term() == replica.term && replica.adopted == replica.term);
      result->set_accepted(!stale);
      if (!stale) {
        replica.term = replica.fenced_term = question.term();
        replica.leads = replica.holds = false;
      }
      result->set_current_term(replica.term);
      result->set_adopted_term(replica.adopted);
      result->set_end_offset(replica.end);
      result->set_tail_lost(replica.tail_lost);
    }
    tell(broker, message);
  }

  void prepare(WorldBroker& broker, const sluice::v1::PrepareTransfer& request) {
    WorldReplica& replica = broker.replicas[{request.shard().stream_id(), request.shard().index()}];
    sluice::v1::BrokerMessage message;
    auto* ready = message.mutable_transfer_ready();
    *ready->mutable_shard() = request.shard();
    ready->set_term(request.term());
    ready->set_target(request.target());
    ready->set_ready(replica.leads && replica.term == request.term() &&
                     linked(broker.id, request.target()));
    replica.holds = ready->ready();
    tell(broker, message);
  }

  // A leader brings everybody whom it reaches up to date at once.
  void replicate(WorldBroker& broker) {
    if (!broker.up) return;
    for (auto& [key, replica] : broker.replicas) {
      auto it = broker.maps.find(key.first);
      if (!replica.leads || it == broker.maps.end()) continue;
      const Shard* s = find_shard_by_index(it->second, key.second);
      if (!s || s->term() != replica.term) continue;
      if (producing && !replica.holds && !replica.sealed) ++replica.end;
      lead(broker, key, replica, *s, it->second);
    }
  }

  void lead(WorldBroker& broker, const ShardKey& key, WorldReplica& replica, const Shard& s,
            const ShardMap& m) {
    std::set<int32_t> has = {broker.id};
    auto members = voters_of(s);
    for (const auto& learner : s.learners()) members.push_back(learner);
    for (const auto& member : members) {
      auto peer = brokers.find(member.broker());
      if (member.broker() == broker.id || peer == brokers.end()) continue;
      if (!linked(broker.id, member.broker()) || peer->second.directory != member.directory())
        continue;
      WorldReplica& follower = peer->second.replicas[key];
      if (follower.term > replica.term) return;  // fenced: this leader is over
      follower.term = follower.adopted = replica.term;
      follower.leads = false;
      follower.end = replica.end;
      follower.tail_lost = false;
      follower.sealed = replica.sealed;
      follower.sealed_end = replica.sealed_end;
      has.insert(member.broker());
    }
    bool can_commit = broker.commits && has_majority(s, [&](const Replica& r) {
      auto peer = brokers.find(r.broker());
      return has.count(r.broker()) && peer->second.directory == r.directory();
    });
    if (can_commit && s.state() == sluice::v1::SHARD_STATE_SEALING && !replica.sealed) {
      replica.sealed = true;
      replica.sealed_end = ++replica.end;
      return;  // committed with the next step
    }
    if (can_commit) committed[key] = std::max(committed[key], replica.end);
    report(broker, key, replica, s, has, can_commit);
  }

  void report(WorldBroker& broker, const ShardKey& key, WorldReplica& replica, const Shard& s,
              const std::set<int32_t>& has, bool can_commit) {
    sluice::v1::BrokerMessage message;
    auto* out = message.mutable_leader_reports()->add_reports();
    out->mutable_shard()->set_stream_id(key.first);
    out->mutable_shard()->set_index(key.second);
    out->set_term(replica.term);
    out->set_committed(can_commit);
    for (int32_t id : has) {
      const Replica* learner = find_replica(s.learners(), id);
      if (learner && brokers.at(id).directory == learner->directory()) {
        out->add_caught_up(id);
      } else {
        out->add_in_sync(id);
      }
    }
    if (can_commit && replica.sealed) out->set_sealed_end_offset(replica.sealed_end);
    std::string text = message.SerializeAsString();
    if (text == replica.told || !broker.session) return;
    replica.told = text;
    tell(broker, message);
  }

  void check() {
    std::map<std::pair<ShardKey, int32_t>, int32_t> leaders;
    for (const auto& [id, broker] : brokers) {
      for (const auto& [key, replica] : broker.replicas) {
        if (!replica.leads) continue;
        auto [it, fresh] = leaders.insert({{key, replica.term}, id});
        ASSERT_TRUE(fresh) << "brokers " << it->second << " and " << id << " lead shard "
                           << key.second << " in term " << replica.term;
        auto done = committed.find(key);
        if (done == committed.end()) continue;
        auto stored = store.maps.find(key.first);
        if (stored == store.maps.end()) continue;
        const Shard* s = find_shard_by_index(stored->second.map, key.second);
        if (s && s->term() == replica.term && s->has_leader() && s->leader() == id) {
          ASSERT_GE(replica.end, done->second)
              << "leader " << id << " of shard " << key.second << " lacks committed records";
        }
      }
    }
    for (const auto& [id, stored] : store.maps) {
      Status status = check_map(stored.map, nullptr);
      ASSERT_TRUE(status.ok()) << status.to_string();
    }
  }

  SessionId last_session_ = 0;
};

}  // namespace broker::coordination
