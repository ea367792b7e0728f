// The replication core in a small world: replicas with logs in memory, a coordinator that fences
// and elects at random, links that break, crashes that lose what is not durable. After every step:
// committed prefixes agree and nothing committed is lost. The whole broker runs in tests/sim.
#include "broker/replication/core/replica.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "broker/replication/core/quorum.h"

namespace broker::replication {
namespace {

Batch entry(Offset base, Term term, uint64_t value) {
  BatchHeader header;
  header.base_offset = base;
  header.term = term;
  header.size = 8;
  return {header, Buffer::copy_of(std::string_view(reinterpret_cast<char*>(&value), 8))};
}

struct World;

constexpr ShardId kShard{};

struct Node : Host {
  Node(World& w, int id) : world(w), self(id) { start(); }
  void start();
  void crash();
  void make_durable();  // one step of the disk

  Offset log_start() const override { return Offset{0}; }
  Offset log_end() const override { return Offset{static_cast<int64_t>(log.size())}; }
  Offset durable_end() const override { return Offset{durable}; }
  Offset held_end() const override { return log_end(); }
  std::vector<TermStart> log_terms() const override {
    std::vector<TermStart> table;
    for (size_t i = 0; i < log.size(); i++) {
      if (table.empty() || table.back().term != log[i].header.term) {
        table.push_back({log[i].header.term, Offset{static_cast<int64_t>(i)}});
      }
    }
    return table;
  }
  Result<std::vector<Batch>> read(Offset from, size_t) override {
    std::vector<Batch> out;
    for (size_t i = static_cast<size_t>(from.value); i < log.size() && out.size() < 3; i++) {
      out.push_back(log[i]);
    }
    return out;
  }
  Status append(std::vector<Batch> batches) override {
    if (disk_full) return Status(Code::kNoSpace, "full");
    for (auto& b : batches) log.push_back(b);
    pending.push_back({Op::kAppend, log, {}});
    return {};
  }
  void truncate(Offset end) override {
    log.resize(static_cast<size_t>(end.value));
    durable = std::min(durable, end.value);
    pending.push_back({Op::kAppend, log, {}});
  }
  void reset(Offset) override {
    ASSERT_TRUE(replica->log_lost()) << "nothing is deleted here";
    truncate(Offset{0});
  }
  void advance_log_start(Offset) override {}
  void persist(ReplicaState s) override { pending.push_back({Op::kState, {}, s}); }
  void send(BrokerId to, Message message) override;
  bool may_send(BrokerId to, Urgency urgency) override;
  Flow::Credit take_credit(BrokerId to, Urgency urgency, size_t bytes) override;
  void give_turns();
  void answer_new_term(const HeadAnswer& answer) override { answers.push_back(answer); }
  void role_changed(Role, Term) override {}
  void high_watermark_advanced(Offset hw) override;
  void log_start_committed(Offset) override {}
  void leader_view_changed(const LeaderView&) override {}
  void transfer_ready(Term, BrokerId, bool) override {}
  void want_tick() override {}

  struct Op {
    enum { kAppend, kState } kind;
    std::vector<Batch> log_after;
    ReplicaState state;
  };
  World& world;
  int self;
  bool alive = true;
  bool unclean = false;  // how it stopped
  std::vector<Batch> log, disk_log;
  int64_t durable = 0;
  ReplicaState disk_state;
  std::deque<Op> pending;
  std::vector<HeadAnswer> answers;
  bool disk_full = false;
  std::map<BrokerId, Urgency> urgency;  // of the last append to each
  std::unique_ptr<Flow> flow;
  std::unique_ptr<Replica> replica;  // gives its credits back to the flow
};

struct World {
  explicit World(uint64_t seed, int count = 3, FlowOptions f = {}) : random(seed), flow(f) {
    for (int i = 0; i < count; i++) {
      members.push_back({BrokerId{i}, Uuid::from_random(1, static_cast<uint64_t>(i))});
    }
    for (int i = 0; i < count; i++) nodes.push_back(std::make_unique<Node>(*this, i));
    links.assign(static_cast<size_t>(count), std::vector<bool>(static_cast<size_t>(count), false));
  }
  uint64_t below(uint64_t n) { return random() % n; }

  struct Flying {
    int from, to;
    Message message;
  };
  void set_link(int a, int b, bool up) {
    if (a == b || links[a][b] == up) return;
    if (up && (!nodes[a]->alive || !nodes[b]->alive)) return;
    links[a][b] = links[b][a] = up;
    // A broken connection loses what is under way.
    std::erase_if(flying, [&](const Flying& f) {
      return (f.from == a && f.to == b) || (f.from == b && f.to == a);
    });
    if (nodes[a]->alive) nodes[a]->replica->on_peer(members[b], up, now);
    if (nodes[b]->alive) nodes[b]->replica->on_peer(members[a], up, now);
  }
  void deliver(bool in_order) {
    if (flying.empty()) return;
    size_t at = in_order ? 0 : below(flying.size());
    Flying f = flying[at];
    if (below(20) != 0) flying.erase(flying.begin() + static_cast<long>(at));  // else: twice
    if (nodes[f.to]->alive) {
      nodes[f.to]->replica->on_message(BrokerId{f.from}, f.message, now);
    }
  }
  void start_election() {
    term++;
    leader.reset();
    electing = true;
    for (auto& node : nodes) {
      node->answers.clear();
      if (node->alive && below(4) != 0) node->replica->on_new_term(Term{term});
    }
  }
  void try_elect() {
    if (!electing) return;
    std::vector<std::pair<HeadAnswer, int>> heads;
    for (auto& node : nodes) {
      auto answer = std::find_if(node->answers.begin(), node->answers.end(), [&](auto& a) {
        return a.accepted && a.asked == Term{term} && !a.tail_lost;
      });
      if (answer != node->answers.end()) heads.emplace_back(*answer, node->self);
    }
    if (heads.size() < nodes.size() / 2 + 1) return;
    auto best = std::max_element(heads.begin(), heads.end(), [](auto& a, auto& b) {
      return std::pair(a.first.adopted, a.first.end) < std::pair(b.first.adopted, b.first.end);
    });
    leader = best->second;
    electing = false;
    publish();
  }
  void publish() {
    Assignment assignment{Term{term}, std::nullopt, members, {}, {}, 0, memory};
    if (leader) assignment.leader = BrokerId{*leader};
    for (auto& node : nodes) {
      if (node->alive) node->replica->on_assignment(assignment, now);
    }
  }
  // In memory only a minority may be without its tail at a time.
  bool may_crash() const {
    if (!memory) return true;
    auto lost = std::count_if(nodes.begin(), nodes.end(), [](const auto& node) {
      return !node->alive || node->replica->tail_lost() || node->disk_state.tail_lost;
    });
    return static_cast<size_t>(lost) + 1 <= (nodes.size() - 1) / 2;
  }
  void step();
  void check();

  std::mt19937_64 random;
  const FlowOptions flow;
  int64_t now = 0;
  int32_t term = 0;
  std::optional<int> leader;
  bool electing = false;
  std::vector<Member> members;
  std::vector<std::unique_ptr<Node>> nodes;
  std::vector<std::vector<bool>> links;
  std::vector<Flying> flying;
  std::vector<uint64_t> committed;  // values by offset, as any replica has exposed them
  uint64_t next_value = 1;
  std::map<int32_t, int> leaders_of_terms;
  bool rots = false;  // the first node's log, now and then
  bool memory = false;
};

uint64_t value_of(const Batch& b) {
  uint64_t v;
  std::memcpy(&v, b.bytes.data(), 8);
  return v;
}

void Node::start() {
  log = disk_log;
  durable = static_cast<int64_t>(log.size());
  replica.reset();
  flow = std::make_unique<Flow>(world.flow);
  replica = std::make_unique<Replica>(BrokerId{self}, *this, ReplicaOptions{}, disk_state, Offset{0});
  if (unclean) replica->lose_tail();
  unclean = false;
}

bool Node::may_send(BrokerId to, Urgency u) { return flow->may_send(kShard, to, u, world.now); }

Flow::Credit Node::take_credit(BrokerId to, Urgency u, size_t bytes) {
  urgency[to] = u;
  return flow->take(to, u, bytes, world.now);
}

void Node::give_turns() {
  while (auto turn = flow->next(world.now)) replica->on_turn(turn->peer);
}

void Node::crash() {
  alive = false;
  unclean = world.memory;
  pending.clear();
  answers.clear();
  replica.reset();
}

void Node::make_durable() {
  if (pending.empty()) return;
  Op op = std::move(pending.front());
  pending.pop_front();
  if (op.kind == Op::kState) {
    disk_state = op.state;
    replica->on_persisted(op.state);
    return;
  }
  disk_log = op.log_after;
  // Durable: the common prefix of what is on disk and what memory has now.
  size_t same = 0;
  while (same < disk_log.size() && same < log.size() &&
         value_of(disk_log[same]) == value_of(log[same])) {
    same++;
  }
  durable = static_cast<int64_t>(same);
  replica->on_durable();
}

void Node::send(BrokerId to, Message message) {
  if (world.links[self][to.value]) world.flying.push_back({self, to.value, std::move(message)});
}

void Node::high_watermark_advanced(Offset hw) {
  for (int64_t i = 0; i < hw.value; i++) {
    uint64_t value = value_of(log[static_cast<size_t>(i)]);
    if (static_cast<size_t>(i) < world.committed.size()) {
      ASSERT_EQ(world.committed[static_cast<size_t>(i)], value) << "diverged at " << i;
    } else {
      world.committed.push_back(value);
    }
  }
}

void World::step() {
  now += 20;
  int n = static_cast<int>(below(nodes.size()));
  Node& node = *nodes[n];
  switch (below(30)) {
    case 0:
      if (below(4) != 0) break;
      if (node.alive) {
        const bool clean = memory && below(3) == 0;
        if (!clean && !may_crash()) break;
        for (size_t i = 0; i < nodes.size(); i++) set_link(n, static_cast<int>(i), false);
        while (clean && !node.pending.empty()) node.make_durable();
        node.crash();
        if (clean) node.unclean = false;
      } else {
        node.alive = true;
        node.start();
        if (rots && n == 0 && below(2) == 0) node.replica->lose_log();
        publish();
      }
      break;
    case 1: if (below(4) == 0) set_link(n, static_cast<int>(below(nodes.size())), false); break;
    case 2:
    case 3:
    case 4: set_link(n, static_cast<int>(below(nodes.size())), true); break;
    case 5: if (below(3) == 0) start_election(); break;
    case 6:
    case 7:
      if (electing && node.alive) node.replica->on_new_term(Term{term});
      try_elect();
      break;
    case 8:
    case 9:
      if (node.alive && node.replica->may_append(8).ok()) {
        auto [it, fresh] = leaders_of_terms.emplace(node.replica->term().value, n);
        ASSERT_EQ(it->second, n) << "two leaders in term " << it->first;
        ASSERT_TRUE(node.append({entry(node.log_end(), node.replica->term(), next_value++)}).ok());
        node.replica->on_appended(8);
      }
      break;
    case 10:
      if (node.alive) node.replica->tick(now);
      if (node.alive && rots && n == 0 && below(20) == 0) node.replica->lose_log();
      break;
    default:
      if (below(2) == 0) {
        deliver(below(4) != 0);
      } else if (node.alive) {
        node.make_durable();
      }
  }
  for (auto& each : nodes) {
    if (each->alive) each->give_turns();
  }
}

void World::check() {
  // Every committed value is durable on a majority, but for what rot takes away; in memory on what a
  // minority's crash leaves of it.
  for (size_t i = 0; i < committed.size(); i++) {
    size_t copies = 0;
    for (auto& node : nodes) {
      const auto& has = memory && node->alive ? node->log : node->disk_log;
      copies += i < has.size() && value_of(has[i]) == committed[i];
    }
    ASSERT_GE(copies, nodes.size() / 2 + (rots ? 0 : 1) - (memory ? (nodes.size() - 1) / 2 : 0))
        << "offset " << i;
  }
}

// 3,000 faults, then healing, and progress is demanded. How many values were committed.
enum class Kind { kSynced, kRots, kMemory };
void run_world(uint64_t seed, Kind kind, size_t& committed) {
  // Every other one with room for two records on the way to a peer.
  World world(seed, seed % 5 == 0 ? 5 : 3, seed % 2 ? FlowOptions{16, 8, 400} : FlowOptions{});
  world.rots = kind == Kind::kRots;
  world.memory = kind == Kind::kMemory;
  for (int i = 0; i < 3000; i++) {
    world.step();
    if (i % 50 == 0) world.check();
    if (testing::Test::HasFatalFailure()) return;
  }
  // Heal and demand progress.
  for (auto& node : world.nodes) {
    if (!node->alive) {
      node->alive = true;
      node->start();
    }
  }
  for (int a = 0; a < static_cast<int>(world.nodes.size()); a++) {
    for (int b = 0; b < a; b++) world.set_link(a, b, true);
  }
  world.term++;
  world.leader.reset();
  world.electing = true;
  for (auto& node : world.nodes) {
    node->answers.clear();
    node->replica->on_new_term(Term{world.term});
  }
  auto settle = [&] {
    for (int i = 0; i < 600; i++) {
      world.now += 20;
      for (auto& node : world.nodes) {
        node->make_durable();
        node->replica->tick(world.now);
        node->give_turns();
      }
      for (size_t k = world.flying.size(); k > 0; k--) world.deliver(true);
      if (world.electing) world.try_elect();
    }
  };
  settle();
  ASSERT_TRUE(world.leader) << "no leader after healing";
  Node& leader = *world.nodes[*world.leader];
  ASSERT_TRUE(leader.replica->committed());
  size_t before = world.committed.size();
  ASSERT_TRUE(leader.replica->may_append(8).ok());
  ASSERT_TRUE(
      leader.append({entry(leader.log_end(), leader.replica->term(), world.next_value++)}).ok());
  leader.replica->on_appended(8);
  settle();
  ASSERT_GT(world.committed.size(), before) << "no progress after healing";
  world.check();
  for (auto& node : world.nodes) {
    ASSERT_EQ(node->disk_log.size(), leader.disk_log.size()) << "not caught up";
  }
  committed += world.committed.size();
}

TEST(ReplicaWorld, NothingCommittedIsLostUnderFaults) {
  size_t committed = 0;
  for (uint64_t seed = 1; seed <= 1500 && !HasFatalFailure(); seed++) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    run_world(seed, Kind::kSynced, committed);
  }
  EXPECT_GT(committed, 20000u) << "the world hardly commits anything: it tests nothing";
}

// One node's log is found damaged, again and again, at a start or while it leads: it is filled again,
// and until then never helps to lose what was committed with its help.
TEST(ReplicaWorld, ADamagedLogIsFetchedAgain) {
  size_t committed = 0;
  for (uint64_t seed = 1; seed <= 700 && !HasFatalFailure(); seed++) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    run_world(seed, Kind::kRots, committed);
  }
  EXPECT_GT(committed, 8000u) << "the world hardly commits anything: it tests nothing";
}

// Acknowledged from memory: whatever a minority forgets in a crash, the others have, and the one that
// forgot neither votes nor counts before it has caught up.
TEST(ReplicaWorld, InMemoryAMinoritysCrashLosesNothing) {
  size_t committed = 0;
  for (uint64_t seed = 1; seed <= 1000 && !HasFatalFailure(); seed++) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    run_world(seed, Kind::kMemory, committed);
  }
  EXPECT_GT(committed, 15000u) << "the world hardly commits anything: it tests nothing";
}

// Three replicas in memory, the first one leads term 0; nothing is synced unless a test says so.
struct InMemory : World {
  InMemory() : World(1) {
    memory = true;
    term = 0;
    leader = 0;
    for (auto& node : nodes) {
      node->replica->on_new_term(Term{0});
      sync(*node);
    }
    publish();
    for (auto& node : nodes) sync(*node);
    for (int i : {1, 2}) set_link(0, i, true);
    settle();
    for (auto& node : nodes) sync(*node);  // the adoption
    settle();
  }
  static void sync(Node& node) {
    while (!node.pending.empty()) node.make_durable();
  }
  void settle() {
    while (!flying.empty()) {
      Flying f = flying.front();
      flying.erase(flying.begin());
      if (nodes[f.to]->alive) nodes[f.to]->replica->on_message(BrokerId{f.from}, f.message, now);
    }
  }
  void append(Node& node, int count) {
    for (int i = 0; i < count; i++) {
      ASSERT_TRUE(node.append({entry(node.log_end(), node.replica->term(), next_value++)}).ok());
      node.replica->on_appended(8);
    }
    settle();
  }
  void restart(int id) {
    for (int i = 0; i < 3; i++) set_link(id, i, false);
    if (nodes[id]->alive) nodes[id]->crash();
    nodes[id]->alive = true;
    nodes[id]->start();
    publish();
  }
};

TEST(ReplicaInMemory, CommitsWhatAMajorityHoldsBeforeAnyDiskHasIt) {
  InMemory w;
  w.append(*w.nodes[0], 3);
  EXPECT_EQ(w.nodes[0]->replica->high_watermark(), Offset{3});
  for (auto& node : w.nodes) EXPECT_EQ(node->durable, 0);
}

TEST(ReplicaInMemory, WithoutItsTailItCountsForNothingUntilItHasAllThatWasCommitted) {
  InMemory w;
  w.append(*w.nodes[0], 3);
  w.set_link(0, 2, false);
  w.restart(1);
  Node &leader = *w.nodes[0], &back = *w.nodes[1];
  EXPECT_EQ(back.log.size(), 0u);
  EXPECT_TRUE(back.replica->tail_lost());
  InMemory::sync(back);
  w.set_link(0, 1, true);
  w.settle();
  InMemory::sync(back);
  w.settle();
  // Whole again: it has everything, and has said so durably.
  EXPECT_FALSE(back.replica->tail_lost());
  EXPECT_FALSE(back.disk_state.tail_lost);
  EXPECT_EQ(back.disk_log.size(), 3u);
  w.append(leader, 1);
  EXPECT_EQ(leader.replica->high_watermark(), Offset{4});
}

TEST(ReplicaInMemory, ItsVoteSaysThatItsTailIsLost) {
  InMemory w;
  w.append(*w.nodes[0], 3);
  w.restart(1);
  InMemory::sync(*w.nodes[1]);
  w.nodes[1]->replica->on_new_term(Term{5});
  InMemory::sync(*w.nodes[1]);
  ASSERT_EQ(w.nodes[1]->answers.size(), 1u);
  EXPECT_TRUE(w.nodes[1]->answers[0].accepted);
  EXPECT_TRUE(w.nodes[1]->answers[0].tail_lost);
  EXPECT_EQ(w.nodes[1]->answers[0].adopted, Term{0});
  // Over another restart, clean this time, too.
  w.nodes[1]->crash();
  w.nodes[1]->unclean = false;
  w.nodes[1]->alive = true;
  w.nodes[1]->start();
  EXPECT_TRUE(w.nodes[1]->replica->tail_lost());
}

// It would write other records under the term and offsets of those that readers have seen.
TEST(ReplicaInMemory, ASoleMemberWithoutItsTailDoesNotResumeItsTerm) {
  World w(1, 1);
  w.memory = true;
  w.leader = 0;
  Node& node = *w.nodes[0];
  node.replica->on_new_term(Term{0});
  InMemory::sync(node);
  w.publish();
  InMemory::sync(node);
  ASSERT_EQ(node.replica->role(), Role::kLeader);
  node.crash();
  node.alive = true;
  node.start();
  w.publish();
  EXPECT_EQ(node.replica->role(), Role::kIdle);
  w.term = 1;
  node.replica->on_new_term(Term{1});
  InMemory::sync(node);
  w.publish();
  InMemory::sync(node);
  EXPECT_EQ(node.replica->role(), Role::kLeader);
  EXPECT_TRUE(node.replica->committed());
  EXPECT_FALSE(node.replica->tail_lost());
}

// The coordinator makes the best survivor the leader; a member that knew more to be committed follows.
TEST(ReplicaInMemory, AfterAMajoritysCrashTheMembersAgreeOnWhatSurvived) {
  InMemory w;
  w.append(*w.nodes[0], 2);
  for (auto& node : w.nodes) InMemory::sync(*node);
  w.append(*w.nodes[0], 3);
  w.nodes[0]->replica->tick(w.now);
  w.settle();
  Node& knows_more = *w.nodes[2];
  ASSERT_EQ(knows_more.replica->high_watermark(), Offset{5});
  w.restart(0);
  w.restart(1);
  w.committed.resize(2);  // may be lost
  w.term = 1;
  for (auto& node : w.nodes) {
    InMemory::sync(*node);
    node->replica->on_new_term(Term{1});
    InMemory::sync(*node);
  }
  w.leader = 1;  // as if it had adopted a term that the third one has not
  w.publish();
  for (int i : {0, 2}) w.set_link(1, i, true);
  for (int i = 0; i < 4; i++) {
    w.settle();
    for (auto& node : w.nodes) InMemory::sync(*node);
  }
  w.append(*w.nodes[1], 1);
  for (auto& node : w.nodes) EXPECT_EQ(node->log.size(), 3u);
  EXPECT_EQ(w.nodes[1]->replica->high_watermark(), Offset{3});
}

// What was committed with the lost log's help in the very term that the leader still leads.
TEST(ReplicaWorld, ADamagedLogIsWholeOnlyWithAllThatWasCommitted) {
  World w(1);
  Node &lost = *w.nodes[0], &leader = *w.nodes[1];
  for (auto& node : w.nodes) {
    node->replica->on_new_term(Term{0});
    node->make_durable();
  }
  Assignment assignment{Term{0}, BrokerId{1}, w.members, {}, {}, 0};
  for (auto& node : w.nodes) node->replica->on_assignment(assignment, 0);
  w.set_link(0, 1, true);
  auto step = [&] {
    w.now += 20;
    leader.replica->tick(w.now);
    w.deliver(true);
    leader.make_durable();
    lost.make_durable();
  };
  for (int i = 0; i < 100; i++) step();
  for (int i = 0; i < 10; i++) {
    ASSERT_TRUE(leader.append({entry(leader.log_end(), Term{0}, w.next_value++)}).ok());
    leader.replica->on_appended(8);
  }
  for (int i = 0; i < 100; i++) step();
  ASSERT_EQ(leader.replica->high_watermark(), Offset{10});
  lost.replica->lose_log();
  for (int i = 0; i < 200 && lost.replica->log_lost(); i++) {
    step();
    if (!lost.replica->log_lost()) ASSERT_EQ(lost.durable, 10) << "it counts too early";
  }
  EXPECT_FALSE(lost.replica->log_lost()) << "it never counts again";
}

// A broker that lost its directory is member (old) and learner (new) at once; found on loopback,
// where the learner was never filled.
TEST(Replica, FillsTheIncarnationThatIsHereNotTheLostOne) {
  World w(1);
  Node& leader = *w.nodes[0];
  const Member again{BrokerId{2}, Uuid::from_random(9, 9)};
  leader.replica->on_new_term(Term{1});
  for (int i = 0; i < 5; i++) leader.make_durable();
  Assignment assignment{Term{1}, BrokerId{0}, w.members, {}, {again}, 0};
  leader.replica->on_assignment(assignment, w.now);
  ASSERT_EQ(leader.replica->role(), Role::kLeader);
  for (int i = 0; i < 5; i++) leader.make_durable();
  auto attaches_to = [&](int broker) {
    return std::count_if(w.flying.begin(), w.flying.end(), [&](const World::Flying& f) {
      return f.to == broker && std::holds_alternative<Attach>(f.message);
    });
  };
  w.links[0][2] = w.links[2][0] = true;  // what is sent flies
  leader.replica->on_peer(again, true, w.now);
  EXPECT_EQ(attaches_to(2), 1);
  // The old incarnation is not the one that answers: nothing counts for it.
  EXPECT_FALSE(leader.replica->committed());
}

// A sole member resumes its own term after a restart. Had it sent what it then lost, the learner
// would keep another record at the same offset of the same term (found by tests/model,
// check sole-member-twice).
TEST(ReplicaWorld, ASoleMemberSendsOnlyWhatIsDurable) {
  World world(1, 2);
  Node &leader = *world.nodes[0], &learner = *world.nodes[1];
  Assignment assignment{Term{0}, BrokerId{0}, {world.members[0]}, {}, {world.members[1]}, 0};
  leader.replica->on_new_term(Term{0});
  leader.make_durable();
  for (auto* node : {&leader, &learner}) node->replica->on_assignment(assignment, 0);
  world.set_link(0, 1, true);
  auto settle = [&] {
    for (int i = 0; i < 20; i++) {
      learner.make_durable();
      while (!world.flying.empty()) world.deliver(true);
    }
  };
  leader.make_durable();  // the adoption
  settle();
  ASSERT_TRUE(leader.append({entry(Offset{0}, Term{0}, 7)}).ok());
  leader.replica->on_appended(8);
  settle();
  EXPECT_TRUE(learner.log.empty()) << "sent before it was durable";
  leader.make_durable();
  settle();
  EXPECT_EQ(learner.log.size(), 1u);
}

// An Attach that comes twice began the attachment anew at the follower; the first append, coming
// twice as well, then cut what had been acknowledged since (found by tests/sim, seed 98).
TEST(ReplicaWorld, ARepeatedAttachmentCutsNothing) {
  World world(1, 2);
  Node &leader = *world.nodes[0], &follower = *world.nodes[1];
  Assignment assignment{Term{1}, BrokerId{0}, world.members, {}, {}, 0};
  for (auto* node : {&leader, &follower}) {
    node->replica->on_new_term(Term{1});
    node->make_durable();
    node->replica->on_assignment(assignment, 0);
  }
  std::vector<Message> to_follower;
  auto settle = [&] {
    for (int i = 0; i < 20; i++) {
      for (auto* node : {&leader, &follower}) node->make_durable();
      while (!world.flying.empty()) {
        World::Flying f = world.flying.front();
        world.flying.erase(world.flying.begin());
        if (f.to == 1) to_follower.push_back(f.message);
        world.nodes[static_cast<size_t>(f.to)]->replica->on_message(BrokerId{f.from}, f.message, 0);
      }
    }
  };
  world.set_link(0, 1, true);
  settle();
  ASSERT_TRUE(leader.append({entry(Offset{0}, Term{1}, 7)}).ok());
  leader.replica->on_appended(8);
  settle();
  ASSERT_EQ(leader.replica->high_watermark(), Offset{1});
  for (const Message& message : to_follower) follower.replica->on_message(BrokerId{0}, message, 0);
  EXPECT_EQ(follower.log.size(), 1u);
}

// Three members, the first of which leads, and a learner.
struct Led : World {
  explicit Led(FlowOptions options = {}) : World(1, 4, options) {
    Assignment assignment{Term{1}, BrokerId{0}, {members[0], members[1], members[2]}, {}, {}, 0};
    for (int i : {0, 1, 2}) {
      node(i).replica->on_new_term(Term{1});
      node(i).make_durable();
      node(i).replica->on_assignment(assignment, now);
    }
    assignment.learners = {members[3]};
    for (auto& each : nodes) each->replica->on_assignment(assignment, now);
  }
  Node& node(int i) { return *nodes[static_cast<size_t>(i)]; }
  Node& leader() { return node(0); }
  size_t under_way(int to) { return leader().flow->under_way(BrokerId{to}); }
  void append(int count) {
    for (int i = 0; i < count; i++) {
      ASSERT_TRUE(leader().append({entry(leader().log_end(), Term{1}, next_value++)}).ok());
      leader().replica->on_appended(8);
    }
  }
  // Everything arrives, but what is on its way to `deaf`, and becomes durable.
  void settle(int deaf = -1) {
    for (int i = 0; i < 40; i++) {
      for (auto& each : nodes) each->make_durable();
      leader().give_turns();
      for (size_t k = flying.size(); k > 0; k--) {
        Flying f = flying.front();
        flying.erase(flying.begin());
        if (f.to == deaf) continue;
        node(f.to).replica->on_message(BrokerId{f.from}, f.message, now);
      }
    }
  }
};

// What is under way to it is bounded, nobody waits for it, and it catches up when it is back.
TEST(ReplicaWorld, AStuckFollowerIsIsolated) {
  Led led({80, 40, 0});
  for (int peer : {1, 2}) led.set_link(0, peer, true);
  led.settle();
  led.append(1);
  led.settle();
  for (int i = 0; i < 50; i++) {
    led.append(2);
    led.settle(2);
    ASSERT_LE(led.under_way(2), 80u + 24u) << "its budget and one append";
    ASSERT_EQ(led.leader().replica->high_watermark(), led.leader().log_end());
  }
  EXPECT_GE(led.under_way(2), 80u);
  led.set_link(0, 2, false);
  EXPECT_EQ(led.under_way(2), 0u) << "nothing is held for it once its link is given up";
  led.set_link(0, 2, true);
  led.settle();
  EXPECT_EQ(led.node(2).log.size(), led.leader().log.size());
  EXPECT_EQ(led.under_way(2), 0u);
}

TEST(ReplicaWorld, OldRecordsAreCatchUpDataUnlessProducersWaitForThem) {
  Led led;
  const BrokerId second{1}, third{2}, learner{3};
  led.set_link(0, 1, true);
  led.settle();
  led.append(10);
  EXPECT_EQ(led.leader().urgency[second], Urgency::kLive);
  led.settle();
  led.set_link(0, 3, true);
  led.settle();
  EXPECT_EQ(led.leader().urgency[learner], Urgency::kCatchUp);
  led.append(1);
  EXPECT_EQ(led.leader().urgency[learner], Urgency::kLive) << "it has caught up";
  led.settle();
  led.set_link(0, 2, true);
  led.settle();
  EXPECT_EQ(led.leader().urgency[third], Urgency::kCatchUp) << "the others are a majority";
  EXPECT_EQ(led.node(2).log.size(), 11u);
  led.set_link(0, 2, false);
  led.append(5);
  led.settle();
  led.set_link(0, 1, false);
  led.set_link(0, 2, true);
  led.settle();
  EXPECT_EQ(led.leader().urgency[third], Urgency::kLive) << "without it there is no majority";
}

// Every tick sent a whole window to a follower whose disk was full, which threw it away.
TEST(ReplicaWorld, AFollowerThatTakesNothingIsNotSentToInATightLoop) {
  Led led;
  for (int peer : {1, 2}) led.set_link(0, peer, true);
  led.settle();
  led.node(2).disk_full = true;
  led.append(3);
  int refused = 0;
  for (int i = 0; i < 200; i++) {  // ten seconds of ticks
    led.now += 50;
    led.leader().replica->tick(led.now);
    refused += static_cast<int>(std::count_if(led.flying.begin(), led.flying.end(), [](auto& f) {
      return f.to == 2 && std::holds_alternative<Attach>(f.message);
    }));
    led.settle();
  }
  EXPECT_GE(refused, 5);
  EXPECT_LE(refused, 15);
  led.node(2).disk_full = false;
  for (int i = 0; i < 50; i++) {
    led.now += 50;
    led.leader().replica->tick(led.now);
    led.settle();
  }
  EXPECT_EQ(led.node(2).log.size(), 3u);
}

// The leader had space and its followers had none: appends hung and timed out, and nobody was told why.
TEST(ReplicaWorld, FullDisksOfAMajorityAreSaidThoughTheLeaderHasSpace) {
  Led led;
  for (int peer : {1, 2}) led.set_link(0, peer, true);
  led.settle();
  led.append(1);
  led.settle();
  led.node(1).disk_full = true;
  led.append(1);
  led.settle();
  EXPECT_TRUE(led.leader().replica->may_append(8).ok()) << "the other two are a majority";
  led.node(2).disk_full = true;
  led.append(1);
  led.settle();
  EXPECT_EQ(led.leader().replica->may_append(8).code(), Code::kNoSpace);
  EXPECT_TRUE(led.leader().replica->may_read_latest().ok()) << "reads go on";
  led.node(1).disk_full = led.node(2).disk_full = false;
  for (int i = 0; i < 100; i++) {
    led.now += 50;
    led.leader().replica->tick(led.now);
    led.settle();
  }
  EXPECT_TRUE(led.leader().replica->may_append(8).ok());
  EXPECT_EQ(led.leader().replica->high_watermark(), Offset{3});
}

TEST(Quorum, CountsMajorityAndMinInsync) {
  EXPECT_EQ(quorum_size(3, 0), 2u);
  EXPECT_EQ(quorum_size(3, 3), 3u);
  EXPECT_EQ(quorum_size(1, 2), 1u);
  EXPECT_EQ(committed_end({Offset{5}, Offset{9}, Offset{-1}}, 0), Offset{5});
  EXPECT_EQ(committed_end({Offset{5}, Offset{9}, Offset{7}}, 3), Offset{5});
}

TEST(CommonEnd, FindsWhereTermsPart) {
  std::vector<TermStart> leader{{Term{1}, Offset{0}}, {Term{3}, Offset{8}}};
  EXPECT_EQ(common_end(leader, Offset{20}, {{Term{1}, Offset{0}}, {Term{2}, Offset{5}}}, Offset{9}),
            Offset{5});
  EXPECT_EQ(common_end(leader, Offset{20}, {{Term{1}, Offset{0}}}, Offset{6}), Offset{6});
  EXPECT_EQ(common_end(leader, Offset{20}, {}, Offset{0}), Offset{0});
  EXPECT_EQ(common_end(leader, Offset{20}, leader, Offset{12}), Offset{12});
}

}  // namespace
}  // namespace broker::replication
