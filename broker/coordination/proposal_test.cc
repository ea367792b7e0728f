// A cluster that proposes: nothing is evened out before somebody approves it, and then exactly that.
#include <gtest/gtest.h>

#include "tests/support/coordination_world.h"

namespace broker::coordination {
namespace {

// Three brokers that hold everything, and an empty fourth.
void grow(World& w, const Balancing& balancing) {
  w.run(100);
  w.create("s", 12);
  w.coordinator->set_balancing(balancing);
  w.add_broker(3, "z0");
}

bool has_proposal(World& w) {
  const auto& proposed = w.coordinator->proposed_moves();
  return proposed && !proposed->empty();
}

TEST(Proposal, NothingMovesBeforeItIsApprovedAndThenExactlyThat) {
  World w(3, 1);
  grow(w, {.propose = true});
  ASSERT_TRUE(w.run_until([&] { return has_proposal(w); }, 60'000));
  w.run(30'000);
  EXPECT_EQ(w.replicas_on(3), 0);
  EXPECT_EQ(w.coordinator->planned_moves(), 0);
  auto moves = *w.coordinator->proposed_moves();
  EXPECT_EQ(moves.size(), 9u);
  // A part of it, and of each shard only what was approved.
  moves.resize(4);
  w.coordinator->set_balancing({.propose = true, .approved = moves});
  EXPECT_FALSE(w.coordinator->approved_moves_left());
  ASSERT_TRUE(w.run_until([&] { return w.coordinator->approved_moves_left() == 0; }, 60'000));
  w.run(30'000);
  EXPECT_EQ(w.replicas_on(3), 4);
  for (const auto& move : moves) {
    EXPECT_TRUE(find_replica(w.shard("s", move.shard).replicas(), 3));
    EXPECT_FALSE(find_replica(w.shard("s", move.shard).replicas(), move.from));
  }
  EXPECT_EQ(w.coordinator->proposed_moves()->size(), 5u);
}

// While leaders still settled, another plan took the place of the one that was to be approved.
TEST(Proposal, WhatStandsIsProposedUntilItCannotBeDone) {
  World w(3, 1);
  grow(w, {.propose = true});
  ASSERT_TRUE(w.run_until([&] { return has_proposal(w); }, 60'000));
  auto standing = *w.coordinator->proposed_moves();
  standing.resize(4);  // as good as any other half
  w.coordinator->set_balancing({.propose = true, .standing = standing});
  w.run(30'000);
  EXPECT_EQ(w.coordinator->proposed_moves()->size(), 4u);
  EXPECT_EQ(w.replicas_on(3), 0);
  standing[0].to = standing[0].from;
  w.coordinator->set_balancing({.propose = true, .standing = standing});
  w.run(30'000);
  EXPECT_EQ(w.coordinator->proposed_moves()->size(), 9u);
}

// The same before anybody outside has heard of it: in CI it was replaced within that moment.
TEST(Proposal, StandsForAWhileBetweenTheSameBrokers) {
  World w(3, 1);
  grow(w, {.propose = true});
  ASSERT_TRUE(w.run_until([&] { return has_proposal(w); }, 60'000));
  auto size = [&] { return w.coordinator->proposed_moves()->size(); };
  const size_t at_first = size();
  w.create("t", 12);  // the empty broker takes of it what it can: fewer moves are wanted by now
  w.run(30'000);
  EXPECT_EQ(size(), at_first);
  w.run(kProposalStandsMs);
  EXPECT_LT(size(), at_first) << "it is made anew in the end";
  w.add_broker(4, "z1");
  EXPECT_TRUE(w.run_until([&] {
    const auto& moves = w.coordinator->proposed_moves();
    return moves && std::any_of(moves->begin(), moves->end(), [](auto& m) { return m.to == 4; });
  }, 60'000));
}

TEST(Proposal, AnotherCoordinatorGoesOnWithWhatWasApproved) {
  World w(3, 1);
  grow(w, {.propose = true});
  ASSERT_TRUE(w.run_until([&] { return has_proposal(w); }, 60'000));
  const Balancing approved{.propose = true, .approved = *w.coordinator->proposed_moves()};
  w.coordinator->set_balancing(approved);
  ASSERT_TRUE(w.run_until([&] { return w.replicas_on(3) >= 1; }, 60'000));
  w.crash_coordinator();
  w.start_coordinator();
  w.coordinator->set_balancing(approved);
  ASSERT_TRUE(w.run_until([&] { return w.coordinator->approved_moves_left() == 0; }, 60'000));
  EXPECT_EQ(w.replicas_on(3), 9);
}

TEST(Proposal, ADrainDoesNotWaitForApproval) {
  World w(4, 1);
  w.run(100);
  w.create("s", 12);
  w.coordinator->set_balancing({.propose = true});
  w.coordinator->set_draining(3, true);
  EXPECT_TRUE(w.run_until([&] { return w.replicas_on(3) == 0; }, 60'000));
}

TEST(Proposal, APausedOneWaits) {
  World w(3, 1);
  grow(w, {.propose = true});
  ASSERT_TRUE(w.run_until([&] { return has_proposal(w); }, 60'000));
  w.coordinator->set_moves_paused(true);
  w.coordinator->set_balancing({.propose = true, .approved = *w.coordinator->proposed_moves()});
  w.run(20'000);
  EXPECT_EQ(w.replicas_on(3), 0);
  EXPECT_EQ(w.coordinator->approved_moves_left(), 9);
  w.coordinator->set_moves_paused(false);
  EXPECT_TRUE(w.run_until([&] { return w.replicas_on(3) == 9; }, 60'000));
}

TEST(Proposal, WhatMakesNoSenseAnyMoreIsLeftOut) {
  World w(4, 1);
  w.run(100);
  w.create("s", 3, 2);
  w.run(10'000);
  const auto& shard = w.shard("s", 0);
  const int32_t member = shard.replicas(0).broker(), other = shard.replicas(1).broker();
  int32_t outside = 0;
  while (find_replica(shard.replicas(), outside)) ++outside;
  w.coordinator->set_balancing({.propose = true,
                                .approved = {{"s", 0, member, other},    // is a member already
                                             {"s", 0, outside, other},   // is none
                                             {"s", 9, member, outside},  // no such shard
                                             {"t", 0, member, outside}}});
  ASSERT_TRUE(w.run_until([&] { return w.coordinator->approved_moves_left().has_value(); }));
  EXPECT_EQ(w.coordinator->approved_moves_left(), 0);
}

}  // namespace
}  // namespace broker::coordination
