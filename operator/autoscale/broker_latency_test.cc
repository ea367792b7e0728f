// What producers wait and how far readers are behind, in decisions about brokers: one is added
// where that can help, and no second one where it did not; none goes while somebody waits.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "operator/autoscale/brokers.h"

namespace sluice_operator::autoscale {
namespace {

class World {
 public:
  // All brokers together use so much, and producers wait so long at each.
  BrokerDecision look(double load, double wait_ms) {
    now_ms += 10'000;
    BrokerSnapshot snapshot;
    snapshot.now_ms = now_ms;
    snapshot.wanted = brokers;
    snapshot.busy = busy;
    for (int id = 0; id < brokers; id++) {
      snapshot.brokers.push_back(
          {id, "z" + std::to_string(id % 3), {{load / brokers, {}, {}, 0.1}}, wait_ms});
    }
    if (change) change(snapshot);
    auto decision = decide_brokers(policy, snapshot, memory);
    if (!decision.recommended_only) brokers = decision.brokers;
    return decision;
  }
  // Until something is done, or the looks are over.
  BrokerDecision looks(int count, double load, double wait_ms) {
    BrokerDecision last;
    for (int i = 0; i < count; i++) {
      last = look(load, wait_ms);
      if (last.action != BrokerAction::kNone) break;
    }
    return last;
  }
  BrokerPolicy policy{.brokers_min = 3, .brokers_max = 9, .produce_p99_ms = 20};
  BrokerMemory memory;
  int32_t brokers = 3;
  int64_t now_ms = 1'000'000;
  std::string busy;
  std::function<void(BrokerSnapshot&)> change;
};

constexpr double kHalf = 3 * 0.6 * 0.5;  // of what three brokers are meant for

TEST(BrokerLatency, ABrokerIsAddedWhereProducersWaitForLong) {
  World world;
  EXPECT_EQ(world.look(kHalf, 50).reason, "Stabilising");
  auto began = world.now_ms;
  auto decision = world.looks(30, kHalf, 50);
  EXPECT_EQ(decision.action, BrokerAction::kAdd);
  EXPECT_EQ(decision.reason, "ProduceSlow");
  EXPECT_EQ(world.now_ms - began, world.policy.scale_up_after_ms);
  EXPECT_EQ(decision.inputs.at("produceP99Milliseconds"), "50");
  EXPECT_EQ(decision.inputs.at("trialLoad"), "50%");
  World unbounded;
  unbounded.policy.produce_p99_ms = 0;
  EXPECT_EQ(unbounded.looks(100, kHalf, 5000).action, BrokerAction::kNone);
}

TEST(BrokerLatency, AWaitThatComesAndGoesAddsNothing) {
  World world;
  for (int i = 0; i < 50; i++) {
    EXPECT_EQ(world.looks(4, kHalf, 50).action, BrokerAction::kNone);
    EXPECT_EQ(world.looks(2, kHalf, 5).action, BrokerAction::kNone);
  }
}

TEST(BrokerLatency, AHotShardOrASlowDiskAddsNothing) {
  World world;
  world.change = [](BrokerSnapshot& s) { s.brokers[1].produce_p99_ms = 900; };
  auto decision = world.looks(200, kHalf, 5);
  EXPECT_EQ(decision.action, BrokerAction::kNone);
  EXPECT_EQ(decision.reason, "LatencyUneven");
  EXPECT_NE(decision.message.find("900 ms at broker 1 and 5.00 ms at most"), std::string::npos)
      << decision.message;
  world.brokers = 4;  // half of them are not most
  world.memory = {};
  world.change = [](BrokerSnapshot& s) {
    s.brokers[1].produce_p99_ms = s.brokers[2].produce_p99_ms = 900;
  };
  EXPECT_EQ(world.looks(200, kHalf, 5).action, BrokerAction::kNone);
}

TEST(BrokerLatency, WhatIsNotByLoadAddsNothing) {
  World world;
  EXPECT_EQ(world.looks(200, 3 * 0.6 * 0.1, 500).reason, "LatencyNotByLoad");
}

TEST(BrokerLatency, ALoadThatFallsIsWaitedFor) {
  World world;
  BrokerDecision decision;
  for (double load = 1.5; load > 0.8; load -= 0.02) {
    decision = world.look(load, 50);
    EXPECT_NE(decision.action, BrokerAction::kAdd) << load;
  }
  EXPECT_NE(decision.message.find("the load falls"), std::string::npos) << decision.message;
}

// The one that would go on for ever: every broker is slow whatever is added.
TEST(BrokerLatency, ABrokerThatDidNotHelpIsTheLast) {
  World world;
  ASSERT_EQ(world.looks(30, kHalf, 50).reason, "ProduceSlow");
  auto decision = world.looks(1000, kHalf, 50);
  EXPECT_EQ(decision.action, BrokerAction::kNone);
  EXPECT_EQ(decision.reason, "LatencyNotHelped");
  EXPECT_EQ(world.brokers, 4);
  // What an operator that starts again knows of it.
  auto trial = world.memory.trial;
  world.memory = {};
  world.memory.trial = trial;
  EXPECT_EQ(world.looks(1000, kHalf, 50).reason, "LatencyNotHelped");
  // Each has as much to do as before the first came: another may be tried.
  EXPECT_EQ(world.looks(200, kHalf * 4 / 3 + 0.05, 50).reason, "ProduceSlow");
  EXPECT_EQ(world.looks(1000, kHalf * 4 / 3 + 0.05, 50).reason, "LatencyNotHelped");
  EXPECT_EQ(world.brokers, 5);
}

TEST(BrokerLatency, BrokersComeForAsLongAsTheyHelp) {
  World world;
  ASSERT_EQ(world.looks(30, kHalf, 80).reason, "ProduceSlow");
  ASSERT_EQ(world.looks(100, kHalf, 50).reason, "ProduceSlow");
  ASSERT_EQ(world.looks(100, kHalf, 30).reason, "ProduceSlow");
  EXPECT_EQ(world.brokers, 6);
  EXPECT_EQ(world.looks(20, kHalf, 10).action, BrokerAction::kNone);
  EXPECT_TRUE(world.memory.trial);
  world.policy.brokers_min = 6;
  world.looks(100, kHalf, 10);  // a whole window of calm: what was tried is forgotten
  EXPECT_FALSE(world.memory.trial);
}

TEST(BrokerLatency, MaximumDryRunAndMovesHold) {
  World world;
  world.policy.brokers_max = 3;
  EXPECT_EQ(world.looks(100, kHalf, 50).reason, "AtMaximum");
  world.policy.brokers_max = 9;
  world.policy.mode = Mode::kDryRun;
  world.looks(100, kHalf, 50);
  EXPECT_FALSE(world.memory.trial);
  EXPECT_EQ(world.brokers, 3);
  World moving;
  moving.busy = "moving";
  moving.looks(100, kHalf, 50);
  moving.busy = "";
  EXPECT_EQ(moving.looks(6, kHalf, 50).action, BrokerAction::kNone);  // the wait begins afterwards
  EXPECT_EQ(moving.looks(6, kHalf, 50).reason, "ProduceSlow");
}

TEST(BrokerLatency, NoneGoesWhileProducersWaitAnywhereOrDidLately) {
  World world;
  world.brokers = 6;
  world.change = [](BrokerSnapshot& s) { s.brokers[0].produce_p99_ms = 50; };
  EXPECT_EQ(world.looks(500, 0.6, 5).reason, "LatencyUneven");
  EXPECT_EQ(world.brokers, 6);
  world.change = nullptr;
  auto calm = world.now_ms;
  EXPECT_EQ(world.looks(500, 0.6, 5).action, BrokerAction::kRemove);
  EXPECT_GE(world.now_ms - calm, world.policy.scale_down_after_ms);
}

TEST(BrokerLatency, AWaitThatIsNotKnownOrCannotBeDecidesNothing) {
  for (auto [wait, reason] :
       {std::pair<std::optional<double>, const char*>{std::nullopt, "MetricsMissing"},
        {NAN, "MetricsAbsurd"},
        {-1, "MetricsAbsurd"},
        {1e12, "MetricsAbsurd"}}) {
    World world;
    world.brokers = 6;
    world.looks(80, 0.6, 5);
    world.change = [wait = wait](BrokerSnapshot& s) { s.brokers[2].produce_p99_ms = wait; };
    EXPECT_EQ(world.look(0.6, 5).reason, reason);
    EXPECT_EQ(world.looks(300, 0.6, 5).action, BrokerAction::kNone);
    world.policy.produce_p99_ms = 0;  // nobody asks
    EXPECT_EQ(world.looks(300, 0.6, 5).action, BrokerAction::kRemove);
  }
}

TEST(BrokerLag, NoBrokerGoesWhileAReaderFallsFurtherBehind) {
  World world;
  world.brokers = 6;
  world.change = [](BrokerSnapshot& s) {
    s.lags["clicks"] = {.group = "shop", .records = 12'000, .growth_per_s = 40, .growing = {3}};
  };
  auto decision = world.looks(500, 0.6, 5);
  EXPECT_EQ(decision.reason, "LagGrowing");
  EXPECT_NE(decision.message.find("group 'shop' is 12000 records behind in 'clicks'"),
            std::string::npos)
      << decision.message;
  EXPECT_EQ(decision.inputs.at("lagRecords"), "12000");
  EXPECT_EQ(decision.inputs.at("lagStream"), "clicks");
  world.change = [](BrokerSnapshot& s) { s.lags["clicks"].unknown = {3}; };
  EXPECT_EQ(world.looks(500, 0.6, 5).reason, "LagUnknown");
  world.change = [](BrokerSnapshot& s) { s.lags["clicks"] = {.group = "shop", .records = 9}; };
  EXPECT_EQ(world.look(0.6, 5).action, BrokerAction::kRemove);
  // It keeps nobody from coming.
  World busy;
  busy.change = [](BrokerSnapshot& s) { s.lags["clicks"].growing = {3}; };
  EXPECT_EQ(busy.looks(30, 2.5, 5).action, BrokerAction::kAdd);
}

}  // namespace
}  // namespace sluice_operator::autoscale
