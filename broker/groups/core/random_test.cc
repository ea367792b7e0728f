// Goal: whatever members, clocks, streams and coordinators do, in any order: replaying the log gives
// the persistent state, nobody is answered twice, no partition has two holders, and when everything
// is quiet every group settles with every partition assigned once.
#include <random>

#include "broker/groups/core/test_machine.h"

namespace broker::groups {
namespace {

class RandomRun {
 public:
  explicit RandomRun(uint64_t seed) : random_(seed) {
    t_.topics.add("t", 5);
    t_.topics.add("u", 3);
  }

  void run(int steps) {
    for (int i = 0; i < steps; ++i) {
      step();
      if (i % 4 == 0) check();
      if (::testing::Test::HasFailure()) return;
    }
    settle();
  }

 private:
  size_t below(size_t bound) { return random_() % bound; }

  void step() {
    switch (below(12)) {
      case 0: return join_classic("");
      case 1: return with_classic([&](const std::string& id) { join_classic(id); });
      case 2: return with_classic([&](const std::string& id) { sync(id); });
      case 3: return with_classic([&](const std::string& id) {
        t_.heartbeat(id, generation(id));
      });
      case 4: return with_classic([&](const std::string& id) { t_.leave({{id, {}}}); });
      case 5: return join_consumer();
      case 6:
      case 7: return with_consumer([&](const std::string& id) { beat(id); });
      case 8: return with_consumer([&](const std::string& id) { t_.beat(id, -1); });
      case 9: return commit();
      case 10: return t_.pass(static_cast<int64_t>(below(30'000)));
      default: return below(3) == 0 ? t_.fail_over() : change_streams();
    }
  }

  void join_classic(const std::string& id) {
    JoinRequest r = t_.join_request(id);
    r.protocols = {{"range", subscription(below(2) ? std::vector<std::string>{"t"}
                                                   : std::vector<std::string>{"t", "u"},
                                          owned_[id])}};
    if (below(4) == 0) r.instance = "i" + std::to_string(below(2));
    Reply<JoinResult> reply = [this](JoinResult result) {
      if (result.error != GroupError::kNone) return;
      classic_.insert(result.member);
      generations_[result.member] = result.generation;
      if (result.leader == result.member) leaders_[result.member] = result.members;
    };
    t_.step([&](Effects& fx) { t_.machine->join(r, t_.now, reply, fx); });
  }

  void sync(const std::string& id) {
    SyncRequest r;
    r.group = "g";
    r.member = id;
    r.generation = generation(id);
    int32_t next = 0;
    for (const auto& member : leaders_[id]) {
      r.assignments[member.member] = encode_assignment(1, {{"t", {next++}}});
    }
    Reply<SyncResult> reply = [this, id](SyncResult result) {
      if (result.error != GroupError::kNone) return;
      auto mine = parse_assignment(result.assignment);
      if (mine.ok()) owned_[id] = *mine;
    };
    t_.step([&](Effects& fx) { t_.machine->sync(r, t_.now, reply, fx); });
  }

  void join_consumer() {
    std::string id = "c" + std::to_string(below(4));
    auto r = t_.first(id, below(2) ? std::vector<std::string>{"t"}
                                   : std::vector<std::string>{"t", "u"});
    if (below(3) == 0) r.assignor = below(2) ? "range" : "uniform";
    remember(id, t_.beat(r));
  }

  void beat(const std::string& id) {
    std::optional<Assignment> owned;
    if (below(3) > 0) owned = assigned_[id];
    remember(id, t_.beat(id, epochs_[id], owned));
  }

  void remember(const std::string& id, const ConsumerHeartbeatResult& result) {
    if (result.error != GroupError::kNone) return;
    consumers_.insert(id);
    epochs_[id] = result.epoch;
    if (result.assignment) assigned_[id] = *result.assignment;
  }

  void commit() {
    CommitRequest r = t_.commit_request(below(2) ? "t" : "u", static_cast<int32_t>(below(3)),
                                        static_cast<int64_t>(below(100)));
    if (below(2) && !classic_.empty()) {
      r.member = *classic_.begin();
      r.generation = generation(r.member);
    }
    t_.commit(r);
  }

  void change_streams() {
    auto& shards = t_.topics.at("t").shards;
    if (shards.size() < 9) shards.push_back({static_cast<int32_t>(shards.size()), {}, 0});
    t_.machine->on_topics_changed();
  }

  int32_t generation(const std::string& id) { return generations_[id]; }
  template <class F>
  void with_classic(F f) {
    if (classic_.empty()) return;
    f(*std::next(classic_.begin(), static_cast<long>(below(classic_.size()))));
  }
  template <class F>
  void with_consumer(F f) {
    if (consumers_.empty()) return;
    f(*std::next(consumers_.begin(), static_cast<long>(below(consumers_.size()))));
  }

  void check() {
    // Replaying the log, or only a snapshot of it, gives the same.
    Machine replayed(t_.settings, t_.topics, [] { return Uuid{}; });
    for (const Put& put : t_.log) ASSERT_TRUE(replayed.replay(put.key, put.value).ok());
    replayed.loaded(t_.now);
    std::vector<Put> snapshot = t_.machine->snapshot();
    EXPECT_EQ(replayed.snapshot(), snapshot);
    Machine restored(t_.settings, t_.topics, [] { return Uuid{}; });
    for (const Put& put : snapshot) ASSERT_TRUE(restored.replay(put.key, put.value).ok());
    restored.loaded(t_.now);
    EXPECT_EQ(restored.snapshot(), snapshot);
    auto described = t_.machine->describe_consumer("g"), again = restored.describe_consumer("g");
    EXPECT_EQ(described.error, again.error);
    EXPECT_EQ(described.epoch, again.epoch);
    EXPECT_EQ(described.state, again.state);
    ASSERT_EQ(described.members.size(), again.members.size());
    std::set<std::pair<Uuid, int32_t>> held;
    for (size_t i = 0; i < described.members.size(); ++i) {
      EXPECT_EQ(described.members[i].assigned, again.members[i].assigned);
      EXPECT_EQ(described.members[i].target, again.members[i].target);
      for (const auto& [topic, partitions] : described.members[i].assigned) {
        for (int32_t p : partitions) {
          EXPECT_TRUE(held.insert({topic, p}).second) << "two members have partition " << p;
        }
      }
    }
  }

  // The consumers that are left do as clients do; everybody else falls silent.
  void settle() {
    if (t_.machine->describe_consumer("g").error != GroupError::kNone) return;
    for (int round = 0; round < 60; ++round) {
      for (const auto& id : consumers_) {
        auto result = t_.beat(id, epochs_[id], assigned_[id]);
        if (result.error == GroupError::kFencedMemberEpoch) {
          assigned_[id].clear();
          result = t_.beat(t_.first(id, {"t", "u"}));
        }
        remember(id, result);
      }
      t_.pass(5'000);
    }
    check();
    auto described = t_.machine->describe_consumer("g");
    if (described.members.empty()) return;
    EXPECT_EQ(described.state, "Stable");
    for (const auto& member : described.members) EXPECT_EQ(member.assigned, member.target);
  }

  std::mt19937_64 random_;
  TestMachine t_;
  std::set<std::string> classic_, consumers_;
  std::map<std::string, int32_t> generations_, epochs_;
  std::map<std::string, std::vector<JoinedMember>> leaders_;
  std::map<std::string, NamedAssignment> owned_;
  std::map<std::string, Assignment> assigned_;
};

TEST(Random, AnySequenceKeepsTheInvariants) {
  for (uint64_t seed = 1; seed <= 60 && !::testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    RandomRun(seed).run(120);
  }
}

}  // namespace
}  // namespace broker::groups
