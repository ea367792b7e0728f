#pragma once
// The replication core in a small world, for tests: replicas with logs in memory, a coordinator that
// fences and elects at random, links that break, crashes that lose what is not durable. After every
// step: committed prefixes agree and nothing committed is lost. The whole broker runs in tests/sim.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "broker/replication/core/quorum.h"
#include "broker/replication/core/replica.h"

namespace broker::replication {

inline Batch entry(Offset base, Term term, uint64_t value) {
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
  Result<std::optional<std::vector<Batch>>> read_for(BrokerId to, Offset from,
                                                     size_t bytes_max) override {
    if (cold) {
      waiting.insert(to);
      return std::optional<std::vector<Batch>>();
    }
    ASSIGN_OR_RETURN(auto batches, read(from, bytes_max));
    return std::optional(std::move(batches));
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
  Status truncate(Offset end) override {
    if (unreadable) return Status(Code::kIoError, "unreadable");
    log.resize(static_cast<size_t>(end.value));
    durable = std::min(durable, end.value);
    pending.push_back({Op::kAppend, log, {}});
    return {};
  }
  Status reset(Offset) override {
    EXPECT_TRUE(replica->log_lost()) << "nothing is deleted here";
    return truncate(Offset{0});
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
  uint32_t processes = 0;  // started
  ReplicaState disk_state;
  std::deque<Op> pending;
  std::vector<HeadAnswer> answers;
  bool disk_full = false;
  bool unreadable = false;  // so that nothing can be cut
  bool cold = false;        // what followers need is on the disk
  std::set<BrokerId> waiting;  // for it
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

inline uint64_t value_of(const Batch& b) {
  uint64_t v;
  std::memcpy(&v, b.bytes.data(), 8);
  return v;
}

inline void Node::start() {
  log = disk_log;
  durable = static_cast<int64_t>(log.size());
  replica.reset();
  flow = std::make_unique<Flow>(world.flow);
  ReplicaOptions options;
  options.process = ++processes;
  replica = std::make_unique<Replica>(BrokerId{self}, *this, options, disk_state, Offset{0});
  if (unclean) replica->lose_tail();
  unclean = false;
}

inline bool Node::may_send(BrokerId to, Urgency u) { return flow->may_send(kShard, to, u, world.now); }

inline Flow::Credit Node::take_credit(BrokerId to, Urgency u, size_t bytes) {
  urgency[to] = u;
  return flow->take(to, u, bytes, world.now);
}

inline void Node::give_turns() {
  while (auto turn = flow->next(world.now)) replica->on_turn(turn->peer);
}

inline void Node::crash() {
  alive = false;
  unclean = world.memory;
  pending.clear();
  answers.clear();
  replica.reset();
}

inline void Node::make_durable() {
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

inline void Node::send(BrokerId to, Message message) {
  if (world.links[self][to.value]) world.flying.push_back({self, to.value, std::move(message)});
}

inline void Node::high_watermark_advanced(Offset hw) {
  for (int64_t i = 0; i < hw.value; i++) {
    uint64_t value = value_of(log[static_cast<size_t>(i)]);
    if (static_cast<size_t>(i) < world.committed.size()) {
      ASSERT_EQ(world.committed[static_cast<size_t>(i)], value) << "diverged at " << i;
    } else {
      world.committed.push_back(value);
    }
  }
}

inline void World::step() {
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

inline void World::check() {
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

}  // namespace broker::replication
