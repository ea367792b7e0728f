// The queue's promises, by a clock that the test moves: once each, never twice at once, in order.
#include "operator/runtime/work_queue.h"

#include <gtest/gtest.h>

namespace sluice_operator::runtime {
namespace {

const Key kA{"ns", "a"}, kB{"ns", "b"};

class MaxRandom : public broker::env::Random {
 public:
  uint64_t next() override { return 0; }
};

TEST(WorkQueue, AKeyWaitsOnce) {
  WorkQueue queue({});
  queue.add(kA);
  queue.add(kB);
  queue.add(kA);
  EXPECT_EQ(queue.depth(), 2u);
  EXPECT_EQ(queue.take(0), kA);
  EXPECT_EQ(queue.take(0), kB);
  EXPECT_FALSE(queue.take(0));
}

TEST(WorkQueue, AKeyInHandComesBackAfterwards) {
  WorkQueue queue({});
  queue.add(kA);
  ASSERT_EQ(queue.take(0), kA);
  queue.add(kA);
  queue.add(kA);
  EXPECT_FALSE(queue.take(0));  // never twice at once
  queue.done(kA);
  EXPECT_EQ(queue.take(0), kA);
  queue.done(kA);
  EXPECT_FALSE(queue.take(0));
}

TEST(WorkQueue, ABusyKeyDoesNotStarveOthers) {
  WorkQueue queue({});
  queue.add(kA);
  ASSERT_EQ(queue.take(0), kA);
  queue.add(kA);
  queue.add(kB);
  queue.done(kA);
  EXPECT_EQ(queue.take(0), kB);
}

TEST(WorkQueue, TheEarlierDelayCountsAndALookClearsIt) {
  WorkQueue queue({});
  queue.add_at(kA, 500);
  queue.add_at(kA, 100);
  queue.add_at(kA, 300);
  EXPECT_EQ(queue.next_due_ms(), 100);
  EXPECT_FALSE(queue.take(99));
  EXPECT_EQ(queue.take(100), kA);
  queue.done(kA);
  EXPECT_FALSE(queue.take(10'000));
  queue.add_at(kA, 20'000);
  queue.add(kA);
  EXPECT_EQ(queue.take(10'000), kA);
  queue.done(kA);
  EXPECT_EQ(queue.next_due_ms(), INT64_MAX);
}

TEST(WorkQueue, ADelayThatEndsWhileInHandWaitsForDone) {
  WorkQueue queue({});
  queue.add(kA);
  ASSERT_EQ(queue.take(0), kA);
  queue.add_at(kA, 10);
  EXPECT_FALSE(queue.take(20));
  queue.done(kA);
  EXPECT_EQ(queue.take(20), kA);
}

// Seen: after a start, a change waited until 10,000 objects had been looked at.
TEST(WorkQueue, AChangeGoesBeforeWhatIsOnlyLookedAtAgain) {
  WorkQueue queue({});
  queue.add(kA, Lane::kRoutine);
  queue.add(kB, Lane::kRoutine);
  queue.add(kB);  // it waits already, and gets its turn once
  EXPECT_EQ(queue.depth(), 2u);
  EXPECT_EQ(queue.take(0), kB);
  queue.done(kB);
  EXPECT_EQ(queue.take(0), kA);
  queue.done(kA);
  EXPECT_FALSE(queue.take(0));
}

TEST(WorkQueue, ChangesDoNotStarveTheRest) {
  WorkQueue queue({});
  queue.add(kA, Lane::kRoutine);
  int turns = 0;
  for (;; ++turns) {
    queue.add(kB);
    auto key = queue.take(0);
    ASSERT_TRUE(key);
    queue.done(*key);
    if (*key == kA) break;
  }
  EXPECT_EQ(turns, WorkQueue::kChangesInARow);
}

// By the earliest first; what is forgotten of a key leaves the rest of it.
TEST(WorkQueue, DelaysFailuresAndLooksOfAKeyAreApart) {
  WorkQueue queue({100, 1000});
  MaxRandom random;
  queue.add_to_follow(kA, 0, 10, 1000, random);
  queue.add_at(kB, 3);
  EXPECT_EQ(queue.take(20), kB);
  EXPECT_EQ(queue.take(20), kA);
  queue.done(kA), queue.done(kB);
  EXPECT_EQ(queue.next_due_ms(), INT64_MAX);
  queue.add_after_failure(kA, 20, random);
  queue.forget_failures(kA);
  EXPECT_EQ(queue.next_due_ms(), 70);  // half of 100
  queue.add_at(kA, 60);
  queue.forget_looks(kA);
  EXPECT_EQ(queue.next_due_ms(), 60);
  EXPECT_EQ(queue.take(60), kA);
  queue.done(kA);
  queue.add_after_failure(kA, 0, random);
  EXPECT_EQ(queue.next_due_ms(), 50);  // the first again
}

// A key that is in both lanes, or comes back to one, is handed out as often as it was asked for.
TEST(WorkQueue, AKeyThatChangesLanesIsNotHandedOutTwice) {
  WorkQueue queue({});
  queue.add(kA, Lane::kRoutine);
  queue.add(kA);
  ASSERT_EQ(queue.take(0), kA);
  queue.add(kA, Lane::kRoutine);  // while what is left of it is still in that lane
  EXPECT_FALSE(queue.take(0));
  queue.done(kA);
  EXPECT_EQ(queue.take(0), kA);
  queue.done(kA);
  EXPECT_FALSE(queue.take(0));
}

// Seen: 11,000 objects that waited for their brokers were looked at every second.
TEST(WorkQueue, WhatIsFollowedIsLookedAtEverMoreRarely) {
  WorkQueue queue({});
  MaxRandom random;
  int64_t now_ms = 0;
  for (int64_t expected : {500, 1000, 2000, 4000, 5000, 5000}) {
    queue.add_to_follow(kA, now_ms, 1000, 10'000, random);
    EXPECT_EQ(queue.next_due_ms() - now_ms, expected);
    now_ms += expected;
    ASSERT_EQ(queue.take(now_ms), kA);
    queue.done(kA);
  }
  queue.forget_looks(kA);
  queue.add_to_follow(kA, now_ms, 1000, 10'000, random);
  EXPECT_EQ(queue.next_due_ms() - now_ms, 500);
}

TEST(WorkQueue, FailuresBackOffUpToTheCapAndAreForgotten) {
  WorkQueue queue({100, 1'000});
  MaxRandom random;
  for (int64_t expected : {50, 100, 200, 400, 500, 500}) {
    queue.add_after_failure(kA, 0, random);
    EXPECT_EQ(queue.next_due_ms(), expected);
    ASSERT_EQ(queue.take(expected), kA);
    queue.done(kA);
  }
  for (int i = 0; i < 100; ++i) {
    queue.add_after_failure(kA, 0, random);
    ASSERT_EQ(queue.take(1'000), kA);
    queue.done(kA);
  }
  queue.forget_failures(kA);
  queue.add_after_failure(kA, 0, random);
  EXPECT_EQ(queue.next_due_ms(), 50);
}

}  // namespace
}  // namespace sluice_operator::runtime
