// The replication core under faults at random, and by scenarios.
#include "broker/replication/core/test_world.h"

namespace broker::replication {
namespace {

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
  const auto again = to_follower;
  for (const Message& message : again) follower.replica->on_message(BrokerId{0}, message, 0);
  EXPECT_EQ(follower.log.size(), 1u);
  // One of the two connections of a link ends, which the leader has not noticed (seed 42177).
  for (bool up : {false, true}) follower.replica->on_peer(world.members[0], up, 0);
  for (const Message& message : again) follower.replica->on_message(BrokerId{0}, message, 0);
  EXPECT_EQ(follower.log.size(), 1u);
}

// Seed 717035091035: a follower whose disk could not be read kept what it was to cut, was counted for
// what it did not have, and showed the old records as committed.
TEST(ReplicaWorld, AFollowerThatCannotCutItsLogIsNotCounted) {
  World world(1, 2);
  Node &leader = *world.nodes[0], &follower = *world.nodes[1];
  ASSERT_TRUE(follower.append({entry(Offset{0}, Term{0}, 99)}).ok());
  Assignment assignment{Term{1}, BrokerId{0}, world.members, {}, {}, 0};
  for (auto* node : {&leader, &follower}) {
    node->replica->on_new_term(Term{1});
    node->make_durable();
    node->replica->on_assignment(assignment, 0);
  }
  auto run = [&] {
    for (int i = 0; i < 200; i++) {
      world.now += 50;
      leader.replica->tick(world.now);
      for (auto* node : {&leader, &follower}) node->make_durable();
      while (!world.flying.empty()) {
        World::Flying f = world.flying.front();
        world.flying.erase(world.flying.begin());
        world.nodes[static_cast<size_t>(f.to)]->replica->on_message(BrokerId{f.from}, f.message,
                                                                    world.now);
      }
    }
  };
  follower.unreadable = true;
  world.set_link(0, 1, true);
  ASSERT_TRUE(leader.append({entry(Offset{0}, Term{1}, 7)}).ok());
  leader.replica->on_appended(8);
  run();
  EXPECT_EQ(leader.replica->high_watermark(), Offset{0});
  EXPECT_EQ(follower.replica->high_watermark(), Offset{0});
  follower.unreadable = false;
  run();
  EXPECT_EQ(leader.replica->high_watermark(), Offset{1});
  ASSERT_EQ(follower.log.size(), 1u);
  EXPECT_EQ(follower.log[0].header.term, Term{1});
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

// What a follower needs from the disk is fetched first; nobody waits for that.
TEST(ReplicaWorld, AFollowerIsSentWhatTheDiskHasWhenItIsLoaded) {
  Led led;
  for (int peer : {1, 2}) led.set_link(0, peer, true);
  led.settle();
  led.append(5);
  led.settle();
  led.leader().cold = true;
  led.set_link(0, 3, true);
  led.settle();
  EXPECT_EQ(led.node(3).log.size(), 0u);
  EXPECT_TRUE(led.leader().waiting.contains(BrokerId{3}));
  EXPECT_EQ(led.leader().replica->high_watermark(), Offset{5});
  led.leader().cold = false;
  led.leader().replica->on_turn(BrokerId{3});
  led.settle();
  EXPECT_EQ(led.node(3).log.size(), 5u);
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
