// Brokers come when what is there will be full, and go when the rest can hold the load with margin:
// one at a time, never on figures that cannot be.
#include "operator/autoscale/brokers.h"

#include <gtest/gtest.h>

#include <functional>

#include <cmath>

namespace sluice_operator::autoscale {
namespace {

class World {
 public:
  // Each broker uses `cpu` and `space` of what it has.
  BrokerDecision look(double cpu, double space = 0.1, int64_t after_s = 10) {
    now_ms += after_s * 1000;
    BrokerSnapshot snapshot;
    snapshot.now_ms = now_ms;
    snapshot.wanted = brokers;
    snapshot.replication_max = 3;
    snapshot.busy = busy;
    for (int id = 0; id < brokers; id++) {
      snapshot.brokers.push_back({id, "z" + std::to_string(id % 3), {{cpu, {}, {}, space}}});
    }
    if (change) change(snapshot);
    auto decision = decide_brokers(policy, snapshot, memory);
    if (!decision.recommended_only) brokers = decision.brokers;
    return decision;
  }
  BrokerDecision until_action(double cpu, double space, int looks) {
    BrokerDecision last;
    for (int i = 0; i < looks; i++) {
      last = look(cpu, space);
      if (last.action != BrokerAction::kNone) break;
    }
    return last;
  }
  BrokerPolicy policy{.brokers_min = 3, .brokers_max = 9};
  BrokerMemory memory;
  int32_t brokers = 3;
  int64_t now_ms = 1'000'000;
  std::string busy;
  std::function<void(BrokerSnapshot&)> change;
};

TEST(Brokers, OneIsAddedWhenTheLoadStaysAboveTheTarget) {
  World world;
  EXPECT_EQ(world.look(0.8).reason, "Stabilising");
  auto decision = world.until_action(0.8, 0.1, 10);
  EXPECT_EQ(decision.action, BrokerAction::kAdd);
  EXPECT_EQ(decision.brokers, 4);
  EXPECT_EQ(world.look(0.8).reason, "CoolingDown");
  EXPECT_EQ(decision.inputs.at("cpu"), "80% mean, 80% most");
}

TEST(Brokers, ATrendThatWillPassTheTargetCounts) {
  World world;
  BrokerDecision decision;
  double cpu = 0.3;
  while (decision.action == BrokerAction::kNone && cpu < 0.6) decision = world.look(cpu += 0.004);
  EXPECT_EQ(decision.action, BrokerAction::kAdd);
  EXPECT_LT(cpu, 0.6);
}

TEST(Brokers, SpaceIsLookedAtByItself) {
  World world;
  auto decision = world.until_action(0.1, 0.8, 20);
  EXPECT_EQ(decision.action, BrokerAction::kAdd);
  EXPECT_NE(decision.message.find("space"), std::string::npos);
}

TEST(Brokers, OneGoesWhenTheRestCanHoldTheHighestLoadOfTheWindow) {
  World world;
  world.brokers = 6;
  auto begun = world.now_ms;
  auto decision = world.until_action(0.2, 0.1, 500);
  EXPECT_EQ(decision.action, BrokerAction::kRemove);
  EXPECT_EQ(decision.brokers, 5);
  EXPECT_GE(world.now_ms - begun, world.policy.scale_down_after_ms);
  world.brokers = 4;
  world.memory = {};
  world.until_action(0.2, 0.1, 50);
  world.look(0.55);  // a peak within the window
  EXPECT_EQ(world.until_action(0.2, 0.1, 80).action, BrokerAction::kNone);
}

// The highest load of all that is remembered, twelve minutes at least, had kept brokers beyond it.
TEST(Brokers, ALoadFromBeforeTheWindowKeepsNoBroker) {
  World world;
  world.policy.scale_down_after_ms = 120'000;
  world.brokers = 6;
  ASSERT_EQ(world.until_action(0.55, 0.1, 30).action, BrokerAction::kNone);
  auto fell = world.now_ms;
  EXPECT_EQ(world.until_action(0.1, 0.1, 500).action, BrokerAction::kRemove);
  EXPECT_GT(world.now_ms - fell, 120'000);
  EXPECT_LE(world.now_ms - fell, 140'000);
}

// A drain copied at thirty times the load; the trend of that had its broker added again.
TEST(Brokers, WhatADrainCopiesIsNoLoad) {
  World world;
  world.policy.scale_up_after_ms = 15'000;
  world.policy.scale_down_after_ms = 90'000;
  world.policy.cooldown_ms = 30'000;
  world.brokers = 4;
  double network = 0.1;
  world.change = [&](BrokerSnapshot& s) {
    for (auto& broker : s.brokers) broker.used[static_cast<size_t>(Resource::kNetwork)] = network;
  };
  ASSERT_EQ(world.until_action(0.1, 0.1, 50).action, BrokerAction::kRemove);
  for (const char* busy : {"broker 3 is being drained", ""}) {
    network = 15;
    world.busy = busy;
    world.look(0.1);
  }
  network = 0.1;
  EXPECT_EQ(world.until_action(0.1, 0.1, 50).action, BrokerAction::kNone);
  world.brokers = 5;  // the next drain is over between two looks
  world.memory = {};
  ASSERT_EQ(world.until_action(0.1, 0.1, 50).action, BrokerAction::kRemove);
  network = 15;
  world.look(0.1);
  network = 0.1;
  EXPECT_EQ(world.until_action(0.1, 0.1, 50).action, BrokerAction::kRemove);
  EXPECT_EQ(world.brokers, 3);
}

TEST(Brokers, NeverFewerThanTheCopiesOfAStream) {
  World world;
  world.policy.brokers_min = 1;
  EXPECT_EQ(world.until_action(0.01, 0.01, 300).action, BrokerAction::kNone);
}

TEST(Brokers, BudgetAndMaximumHold) {
  World world;
  world.policy.price_per_hour = 0.5;
  world.policy.budget_per_hour = 1.6;
  EXPECT_EQ(world.until_action(0.9, 0.1, 20).reason, "BudgetReached");
  world.policy.budget_per_hour = 0;
  world.policy.brokers_max = 3;
  EXPECT_EQ(world.until_action(0.9, 0.1, 20).reason, "AtMaximum");
}

TEST(Brokers, NothingOnFiguresThatCannotBeAndNothingWhileBusy) {
  World world;
  world.brokers = 6;
  world.until_action(0.2, 0.1, 80);
  for (auto break_it : {+[](BrokerSnapshot& s) { s.problem = "broker 2 does not answer"; },
                        +[](BrokerSnapshot& s) { s.brokers[1].used = {}; },
                        +[](BrokerSnapshot& s) { s.brokers[1].used[0] = NAN; },
                        +[](BrokerSnapshot& s) { s.brokers[1].used[0] = 1000; },
                        +[](BrokerSnapshot& s) { s.brokers.clear(); }}) {
    World broken = world;
    broken.change = break_it;
    EXPECT_EQ(broken.look(0.2).action, BrokerAction::kNone);
    broken.change = nullptr;
    auto healed = broken.now_ms;
    EXPECT_EQ(broken.until_action(0.2, 0.1, 500).action, BrokerAction::kRemove);
    EXPECT_GE(broken.now_ms - healed, world.policy.scale_down_after_ms);
  }
  world.busy = "a drain is under way";
  EXPECT_EQ(world.until_action(0.9, 0.1, 100).reason, "Busy");
}

TEST(Brokers, ADrainThatCannotFinishHoldsEverythingAndSaysSo) {
  World world;
  world.brokers = 6;
  ASSERT_EQ(world.until_action(0.2, 0.1, 500).action, BrokerAction::kRemove);
  world.busy = "broker 5 is being drained: 2 replicas have nowhere to go";
  auto decision = world.until_action(0.2, 0.1, 1000);
  EXPECT_EQ(decision.reason, "Busy");
  EXPECT_EQ(decision.message, world.busy);
  EXPECT_EQ(world.brokers, 5);
}

TEST(Brokers, SomebodyElsesChangeIsLeftAloneForACoolDown) {
  World world;
  world.until_action(0.5, 0.1, 5);
  world.brokers = 7;
  EXPECT_EQ(world.look(0.9).reason, "Overridden");
  EXPECT_EQ(world.look(0.9, 0.1, 100).action, BrokerAction::kNone);
  for (int32_t brokers : {5, 7, 5}) {  // an HPA that disagrees
    world.brokers = brokers;
    world.look(0.5);
  }
  EXPECT_EQ(world.until_action(0.9, 0.1, 200).reason, "Contended");
}

// It was fought: each step of ours was taken back, three in each hour and without an end.
TEST(Brokers, AHorizontalPodAutoscalerIsInChargeFromItsFirstMomentToItsLast) {
  World world;
  world.policy.cooldown_ms = 30'000;
  world.change = [](BrokerSnapshot& s) { s.scaler = "HorizontalPodAutoscaler orders-brokers"; };
  for (int look = 0; look < 1000; look++) {
    auto decision = world.look(0.9);
    ASSERT_EQ(decision.reason, "Contended");
    ASSERT_NE(decision.message.find("orders-brokers"), std::string::npos) << decision.message;
    world.brokers = 3 + look / 100 % 2;  // it has its own mind
  }
  world.change = nullptr;  // gone: what it did is held against nobody
  EXPECT_EQ(world.until_action(0.9, 0.1, 20).reason, "BrokersFull");
}

TEST(Brokers, ADryRunIsMadeBesideAHorizontalPodAutoscaler) {
  World world;
  world.policy.mode = Mode::kDryRun;
  world.change = [](BrokerSnapshot& s) { s.scaler = "HorizontalPodAutoscaler orders-brokers"; };
  EXPECT_TRUE(world.until_action(0.9, 0.1, 20).recommended_only);
}

TEST(Brokers, DryRunFreezeAndImbalance) {
  World world;
  world.policy.mode = Mode::kDryRun;
  auto decision = world.until_action(0.9, 0.1, 20);
  EXPECT_TRUE(decision.recommended_only);
  EXPECT_EQ(world.brokers, 3);
  world.policy.mode = Mode::kFrozen;
  EXPECT_EQ(world.look(0.9).reason, "Frozen");
  World uneven;
  uneven.change = [](BrokerSnapshot& s) { s.brokers[0].used[0] = 0.9; };
  EXPECT_EQ(uneven.until_action(0.1, 0.05, 5).reason, "Imbalanced");
}

}  // namespace
}  // namespace sluice_operator::autoscale
