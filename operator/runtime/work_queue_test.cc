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
