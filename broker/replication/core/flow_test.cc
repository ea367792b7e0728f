// Flow control by itself: what one peer may have under way, who goes first, and the rate.
#include "broker/replication/core/flow.h"

#include <gtest/gtest.h>

#include <vector>

namespace broker::replication {
namespace {

constexpr size_t kAppend = 100;
constexpr BrokerId kPeer{7}, kOther{8};

ShardId shard(int32_t index) { return {Uuid::from_random(1, 1), index}; }

struct World {
  explicit World(FlowOptions options) : flow(options, [this] { woken++; }) {}
  // One append if it may go now.
  bool send(int32_t index, Urgency urgency, BrokerId peer = kPeer, size_t bytes = kAppend) {
    if (!flow.may_send(shard(index), peer, urgency, now_ms)) return false;
    under_way.push_back(flow.take(peer, urgency, bytes, now_ms));
    return true;
  }
  // Gives turns as the driver does; who had one.
  std::vector<int32_t> turns(Urgency wanted, int max = 1000, BrokerId peer = kPeer) {
    std::vector<int32_t> had;
    while (max-- > 0) {
      auto turn = flow.next(now_ms);
      if (!turn) break;
      had.push_back(turn->shard.index);
      EXPECT_TRUE(send(turn->shard.index, wanted, peer));
    }
    return had;
  }
  void acknowledge(size_t count = 1) {
    under_way.erase(under_way.begin(), under_way.begin() + static_cast<long>(count));
  }
  int woken = 0;
  int64_t now_ms = 5;
  Flow flow;
  std::vector<Flow::Credit> under_way;
};

FlowOptions small() { return {1000, 400, 0}; }

TEST(Flow, ALimitThatIsSetLaterHoldsAtOnceUntilItIsTakenBack) {
  World world({100'000, 100'000, 100'000});
  auto sent_in = [&](int64_t ms) {
    const auto before = world.flow.catch_up_bytes();
    for (const int64_t end = world.now_ms + ms; world.now_ms < end; world.now_ms++) {
      while (world.send(0, Urgency::kCatchUp) || !world.turns(Urgency::kCatchUp).empty()) {
      }
      world.acknowledge(world.under_way.size());
    }
    return world.flow.catch_up_bytes() - before;
  };
  sent_in(1000);
  EXPECT_NEAR(static_cast<double>(sent_in(2000)), 200'000, 5000);
  world.flow.limit_catch_up(10'000);
  EXPECT_NEAR(static_cast<double>(sent_in(2000)), 20'000, 2000);
  world.flow.limit_catch_up(1'000'000);  // no more than what the broker was started with
  sent_in(1000);
  EXPECT_NEAR(static_cast<double>(sent_in(2000)), 200'000, 5000);
  world.flow.limit_catch_up(0);  // one byte a second
  sent_in(1000);
  EXPECT_LE(sent_in(10'000), kAppend);
  world.flow.limit_catch_up(std::nullopt);
  sent_in(1000);
  EXPECT_NEAR(static_cast<double>(sent_in(2000)), 200'000, 5000);
}

// kafka-reassign-partitions takes any number; nobody's arithmetic is to overflow by it.
TEST(Flow, TheLargestLimitIsNone) {
  World world({100'000, 100'000, 0});
  world.flow.limit_catch_up(INT64_MAX);
  for (int i = 0; i < 100; i++, world.now_ms++) {
    while (world.send(0, Urgency::kCatchUp) || !world.turns(Urgency::kCatchUp).empty()) {
    }
    world.acknowledge(world.under_way.size());
  }
  EXPECT_GT(world.flow.catch_up_bytes(), 9'000'000u);
}

TEST(Flow, ManyShardsThatAreFilledAtOnceShareOneBudget) {
  World world(small());
  for (int32_t i = 0; i < 22; i++) world.send(i, Urgency::kCatchUp);
  EXPECT_EQ(world.flow.under_way(kPeer), 400u);
  // Everybody has a turn before anybody has a second one.
  std::vector<int32_t> order;
  for (int i = 0; i < 40; i++) {
    world.acknowledge();
    EXPECT_GT(world.woken, 0);
    for (int32_t index : world.turns(Urgency::kCatchUp)) {
      order.push_back(index);
      world.send(index, Urgency::kCatchUp);  // more to send: at the end of the queue again
    }
    EXPECT_LE(world.flow.under_way(kPeer), 400u);
  }
  ASSERT_EQ(order.size(), 40u);
  for (int i = 0; i < 18; i++) EXPECT_EQ(order[static_cast<size_t>(i)], 4 + i);
  for (int i = 18; i < 36; i++) EXPECT_EQ(order[static_cast<size_t>(i)], 4 + i - 18);
}

TEST(Flow, APeerThatStandsStillHoldsItsBudgetAndNoMore) {
  World world(small());
  int sent = 0;
  for (int32_t i = 0; i < 100; i++) sent += world.send(i % 5, Urgency::kLive);
  EXPECT_EQ(sent, 10);
  EXPECT_EQ(world.flow.under_way(kPeer), 1000u);
  EXPECT_FALSE(world.flow.next(world.now_ms));
  EXPECT_TRUE(world.send(1, Urgency::kLive, kOther)) << "it is in nobody else's way";
  // Its link is given up: whoever waited goes on with the next one.
  world.under_way.clear();
  EXPECT_EQ(world.flow.under_way(kPeer), 0u);
  EXPECT_EQ(world.turns(Urgency::kLive).size(), 5u);
}

TEST(Flow, LiveAppendsGoBeforeCatchUpData) {
  World world(small());
  for (int32_t i = 0; i < 4; i++) EXPECT_TRUE(world.send(i, Urgency::kCatchUp));
  EXPECT_FALSE(world.send(0, Urgency::kCatchUp));
  for (int32_t i = 10; i < 16; i++) EXPECT_TRUE(world.send(i, Urgency::kLive)) << i;
  EXPECT_FALSE(world.send(16, Urgency::kLive));
  world.acknowledge();  // of catch-up data; above its mark live appends alone go on
  EXPECT_EQ(world.turns(Urgency::kLive), std::vector<int32_t>{16});
}

TEST(Flow, CatchingUpGoesOnUnderALoadThatNeverEnds) {
  World world(small());
  for (int32_t i = 0; i < 9; i++) EXPECT_TRUE(world.send(i, Urgency::kLive));
  EXPECT_TRUE(world.send(20, Urgency::kCatchUp)) << "one append of it always may be under way";
  EXPECT_FALSE(world.send(20, Urgency::kCatchUp));
}

TEST(Flow, TheRateHoldsCatchUpDataBackAndNothingElse) {
  World world({100'000, 100'000, 10'000});  // a hundred appends in a second
  int sent = 0;
  for (int32_t i = 0; i < 150; i++) sent += world.send(i, Urgency::kCatchUp);
  EXPECT_EQ(sent, 10) << "the burst";
  EXPECT_TRUE(world.send(999, Urgency::kLive));
  EXPECT_FALSE(world.flow.next(world.now_ms));
  for (int second = 0; second < 3; second++) {
    int in_this_second = 0;
    const int64_t end_ms = world.now_ms + 1000;
    while (world.now_ms < end_ms) {
      auto wait_ms = world.flow.retry_after_ms(world.now_ms);
      ASSERT_TRUE(wait_ms);
      ASSERT_GT(*wait_ms, 0);
      world.now_ms += *wait_ms;
      in_this_second += static_cast<int>(world.turns(Urgency::kCatchUp).size());
    }
    EXPECT_GE(in_this_second, 90);
    EXPECT_LE(in_this_second, 110);
    world.acknowledge(world.under_way.size() - 5);
    for (int32_t i = 0; i < 150; i++) EXPECT_FALSE(world.send(i, Urgency::kCatchUp));
  }
}

TEST(Flow, PeersTakeTurnsAtTheRate) {
  World world({100'000, 100'000, 10'000});
  while (world.send(0, Urgency::kCatchUp)) {}
  world.send(1, Urgency::kCatchUp, kOther);
  world.send(2, Urgency::kCatchUp, kOther);
  world.send(3, Urgency::kCatchUp);
  std::vector<int32_t> order;
  for (int i = 0; i < 4; i++) {
    world.now_ms += 10;
    auto turn = world.flow.next(world.now_ms);
    ASSERT_TRUE(turn);
    order.push_back(turn->shard.index);
    EXPECT_TRUE(world.send(turn->shard.index, Urgency::kCatchUp, turn->peer));
  }
  EXPECT_TRUE((order == std::vector<int32_t>{1, 0, 2, 3} || order == std::vector<int32_t>{0, 1, 3, 2}));
}

TEST(Flow, ATurnThatIsNotUsedIsOver) {
  World world(small());
  for (int32_t i = 0; i < 6; i++) world.send(i, Urgency::kCatchUp);
  world.acknowledge(2);
  ASSERT_EQ(world.flow.next(world.now_ms)->shard.index, 4);  // it has nothing to send any more
  ASSERT_EQ(world.flow.next(world.now_ms)->shard.index, 5);
  EXPECT_TRUE(world.send(5, Urgency::kCatchUp));
  EXPECT_TRUE(world.send(0, Urgency::kCatchUp)) << "nobody waits any more";
  EXPECT_FALSE(world.send(4, Urgency::kCatchUp));
}

TEST(Flow, ACreditIsGivenBackOnce) {
  World world(small());
  Flow::Credit a = world.flow.take(kPeer, Urgency::kLive, 10, 0);
  Flow::Credit b = std::move(a);
  EXPECT_EQ(world.flow.under_way(kPeer), 10u);
  a = world.flow.take(kPeer, Urgency::kCatchUp, 5, 0);
  b = std::move(a);
  EXPECT_EQ(world.flow.under_way(kPeer), 5u);
  b = Flow::Credit();
  EXPECT_EQ(world.flow.under_way(kPeer), 0u);
}

}  // namespace
}  // namespace broker::replication
