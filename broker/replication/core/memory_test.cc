// Streams with durability memory (../README.md, "Streams in memory"): what counts, who votes, and what
// survives the crash of a minority and of a majority.
#include "broker/replication/core/test_world.h"

namespace broker::replication {
namespace {

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

}  // namespace
}  // namespace broker::replication
