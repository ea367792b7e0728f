// Decisions are functions of load, policy and what was seen before: the rules, and the traps
// (bounds, windows, hot keys, figures that cannot be).
#include "operator/autoscale/decide.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "broker/coordination/shard_map.h"
#include "operator/autoscale/round.h"

namespace sluice_operator::autoscale {
namespace {

using broker::coordination::HashKey;
using broker::coordination::kHashKeyMax;
using testing::HasSubstr;

constexpr double kMiB = 1 << 20;

// A stream whose shards one can load, and which does what was decided.
class World {
 public:
  explicit World(int shards) {
    auto ranges = broker::coordination::split_equally({}, shards);
    for (const auto& range : *ranges) add(range);
  }
  void add(broker::coordination::KeyRange range) {
    ShardLoad load;
    load.shard = next_++;
    load.range = range;
    load.bytes_per_s = load.records_per_s = 0;
    shards.push_back(load);
  }
  // `mib_per_s` in all, spread evenly over the keys.
  void spread(double mib_per_s) {
    for (auto& load : shards) {
      double width = static_cast<double>(load.range.last - load.range.first) / kHashKeyMaxAsDouble;
      load.bytes_per_s = mib_per_s * kMiB * width;
    }
  }
  Decision look(double after_s = 2) {
    now_ms += static_cast<int64_t>(after_s * 1000);
    Snapshot snapshot;
    snapshot.now_ms = snapshot.wall_ms = now_ms;
    snapshot.open_shards = shards;
    snapshot.resharding = resharding;
    snapshot.problem = problem;
    snapshot.settle_ms = settle_ms;
    snapshot.lag = lag;
    return decide(policy, snapshot, memory);
  }
  Decision look_for(double seconds) {
    Decision last;
    for (double t = 0; t < seconds; t += 2) {
      last = look();
      if (last.action != Action::kNone) break;
    }
    return last;
  }
  // Looks and does what is decided, until nothing is.
  std::vector<Decision> follow(double mib_per_s, double seconds) {
    std::vector<Decision> done;
    for (double t = 0; t < seconds; t += 2) {
      spread(mib_per_s);
      auto decision = look();
      if (decision.action != Action::kNone) done.push_back(decision);
      apply(decision);
    }
    return done;
  }
  void apply(const Decision& decision) {
    for (const auto& operation : decision.operations) {
      broker::coordination::KeyRange whole;
      for (size_t i = 0; i < operation.shards.size(); i++) {
        auto at = std::find_if(shards.begin(), shards.end(), [&](const auto& load) {
          return load.shard == operation.shards[i];
        });
        ASSERT_NE(at, shards.end());
        if (i > 0) ASSERT_TRUE(broker::coordination::are_adjacent(whole, at->range));
        whole = i > 0 ? broker::coordination::join_ranges(whole, at->range) : at->range;
        shards.erase(at);
      }
      std::vector<broker::coordination::KeyRange> ranges{whole};
      if (!operation.at.empty()) {
        auto cut = broker::coordination::cut_range(whole, operation.at);
        ASSERT_TRUE(cut.ok()) << cut.status().to_string();
        ranges = *cut;
      }
      for (const auto& range : ranges) add(range);
    }
  }

  static constexpr double kHashKeyMaxAsDouble = 340282366920938463463374607431768211455.0;
  std::vector<ShardLoad> shards;
  Policy policy{.shards_max = 64};
  Memory memory;
  int64_t now_ms = 1'000'000;
  bool resharding = false;
  std::string problem;
  int64_t settle_ms = 0;
  std::optional<StreamLag> lag;

 private:
  int32_t next_ = 0;
};

TEST(Decide, OneStepReachesAsManyShardsAsTheLoadAsksFor) {
  World world(1);
  world.spread(0.5);
  EXPECT_EQ(world.look().reason, "WithinTarget");
  world.spread(4.0);
  auto decision = world.look();
  EXPECT_EQ(decision.action, Action::kSplit);
  EXPECT_EQ(decision.reason, "ShardHot");
  world.apply(decision);
  EXPECT_EQ(world.shards.size(), 5u);  // 4.0 / 0.9
  EXPECT_EQ(decision.inputs.at("shardsNeeded"), "4.44");
}

// Noise of a tenth around a daily cycle left eight tenths of the budget unused, for shards that were a
// twelfth too many.
TEST(Decide, ABudgetThatNoiseLeavesUnusedIsPlannedWithAndOneThatIsUsedUpIsNot) {
  World world(10);
  world.policy.shards_min = world.policy.shards_max = 10;
  std::mt19937 dice(7);
  std::normal_distribution<double> noise(0, 0.1);
  auto look = [&](double shards) {
    world.spread(shards * (1 + noise(dice)));
    return std::stod(world.look().inputs.at("headroom"));
  };
  double headroom = 0;
  for (int i = 0; i < 4 * 1800; i++) headroom = look(7);
  double by_the_budget_alone =
      planned_headroom(world.policy, world.memory.noise, world.policy.throttle_budget);
  EXPECT_LT(headroom, by_the_budget_alone - 0.03);
  for (int i = 0; i < 60; i++) look(20);
  headroom = look(7);
  by_the_budget_alone =
      planned_headroom(world.policy, world.memory.noise, world.policy.throttle_budget);
  EXPECT_NEAR(headroom, by_the_budget_alone, 0.006);
}

// Prometheus has no rate of a new series, and then a part of it: shards that had just been made for the
// load were taken for room beside a hot one, joined with it, and split again when they burst.
TEST(Decide, AShardThatPrometheusHasNotSeenForAWindowIsNotTakenForIdle) {
  World world(2);
  world.settle_ms = 6000;
  std::map<int32_t, int64_t> made_ms;
  size_t fewest = 99;
  auto look = [&](double first_half, double second_half) {
    world.spread(1);
    for (auto& load : world.shards) {
      bool first = load.range.last <= broker::coordination::kHashKeyMax / 2;
      *load.bytes_per_s *= 2 * (first ? first_half : second_half);
      int64_t age_ms = world.now_ms - made_ms.try_emplace(load.shard, world.now_ms).first->second;
      if (load.shard > 1 && age_ms < 6000) *load.bytes_per_s *= age_ms < 4000 ? 0 : 0.6;
    }
    world.apply(world.look());
  };
  for (int i = 0; i < 30; i++) look(0.45, 0.45);
  look(0.45, 1.6);
  ASSERT_GE(world.shards.size(), 3u);
  for (int i = 0; i < 20; i++) {
    look(1.3, 1.6);
    fewest = std::min(fewest, world.shards.size());
  }
  EXPECT_GE(fewest, 3u);
}

TEST(Decide, FullShardsAreSharedWithTheirNeighboursInsteadOfDoubling) {
  World world(10);
  world.policy.actions_per_shard_hour = 10;
  world.memory.allowance = 100;
  auto done = world.follow(9.9, 20);
  ASSERT_FALSE(done.empty());
  EXPECT_GE(world.shards.size(), 11u);
  EXPECT_LE(world.shards.size(), 13u);
}

TEST(Decide, WithFewActionsLeftFullShardsAreSharedAmongFewer) {
  auto actions_with = [](double allowance) {
    World world(16);
    world.memory.allowance = allowance;
    int actions = 0;
    for (const auto& decision : world.follow(16 * 0.99, 20)) {
      for (const auto& operation : decision.operations) actions += operation.actions();
    }
    EXPECT_GT(world.shards.size(), 16u);
    return actions;
  };
  EXPECT_GE(actions_with(32), 12);  // all that an hour gives: eight become nine
  EXPECT_LE(actions_with(0), 8);    // two become three
}

TEST(Decide, AGreatFallIsFollowedWhenAClimbHasUsedUpTheAllowance) {
  // No two of these could become one.
  World world(40);
  world.memory.allowance = -30;
  int actions = 0;
  for (const auto& decision : world.follow(40 * 0.55, 90)) {
    EXPECT_EQ(decision.action, Action::kMerge);
    for (const auto& operation : decision.operations) actions += operation.actions();
  }
  EXPECT_LE(world.shards.size(), 30u);
  EXPECT_LE(actions, 2 * (40 - static_cast<int>(world.shards.size())));
}

TEST(Decide, AFallIsNotFollowedBeyondAnHoursAllowance) {
  World world(40);
  world.memory.allowance = -100;
  world.follow(40 * 0.55, 90);
  EXPECT_EQ(world.shards.size(), 40u);
}

TEST(Decide, ALoadMustStayAboveForTheStabilisationWindow) {
  World world(2);
  world.policy.scale_up_after_ms = 10'000;
  world.spread(3);
  EXPECT_EQ(world.look().reason, "Stabilising");
  EXPECT_EQ(world.look_for(8).reason, "Stabilising");
  EXPECT_EQ(world.look(4).action, Action::kSplit);
}

TEST(Decide, RecordsCountAsBytesDo) {
  World world(1);
  world.shards[0].bytes_per_s = 1000;
  world.shards[0].records_per_s = 2500;
  EXPECT_EQ(world.look().operations.at(0).at.size(), 2u);
}

TEST(Decide, BoundsHold) {
  World world(2);
  world.policy.shards_min = world.policy.shards_max = 2;
  world.spread(9);
  EXPECT_EQ(world.look().reason, "AtMaximum");
  world.spread(0);
  EXPECT_EQ(world.look_for(3600).action, Action::kNone);
  world.policy.shards_max = 3;
  world.spread(9);
  auto decision = world.look();
  world.apply(decision);
  EXPECT_EQ(world.shards.size(), 3u);
}

TEST(Decide, ShardsOfWhichAReaderFallsFurtherBehindAreNotMerged) {
  World world(4);
  world.spread(0.4);
  world.lag = {.group = "shop", .records = 9000, .growth_per_s = 30, .growing = {1}};
  auto decision = world.look_for(600);
  EXPECT_EQ(decision.action, Action::kMerge);  // of those that nobody lags in
  EXPECT_THAT(decision.shards(), testing::ElementsAre(2, 3));
  EXPECT_EQ(decision.inputs.at("lagGroup"), "shop");
  EXPECT_EQ(decision.inputs.at("lagRecords"), "9000");
  EXPECT_EQ(decision.inputs.at("lagRecordsPerSecond"), "30");
  world.lag->growing = {0, 1, 2, 3};
  decision = world.look_for(600);
  EXPECT_EQ(decision.action, Action::kNone);
  EXPECT_EQ(decision.reason, "LagGrowing");
  EXPECT_THAT(decision.message, HasSubstr("group 'shop' is 9000 records behind"));
  world.lag = {.unknown = {0, 1, 2, 3}};
  EXPECT_EQ(world.look_for(600).reason, "LagUnknown");
  world.lag = {.group = "shop", .records = 9000};  // as far behind as it was
  EXPECT_EQ(world.look().action, Action::kMerge);
}

TEST(Decide, AHotShardWithAReaderThatLagsIsSplitByItself) {
  for (bool lags : {false, true}) {
    World world(10);
    world.policy.actions_per_shard_hour = 10;
    world.memory.allowance = 100;
    world.lag.emplace();
    for (const auto& load : world.shards) {
      if (lags) world.lag->growing.insert(load.shard);
    }
    world.spread(9.9);
    const auto decision = world.look();
    ASSERT_EQ(decision.action, Action::kSplit);
    bool together = false;
    for (const auto& operation : decision.operations) together |= operation.shards.size() > 1;
    EXPECT_EQ(together, !lags);
  }
}

TEST(Decide, ColdShardsMergeOnlyAfterAWholeWindow) {
  World world(4);
  world.spread(0.4);
  auto before = world.now_ms;
  auto decision = world.look_for(600);
  EXPECT_EQ(decision.action, Action::kMerge);
  EXPECT_EQ(decision.reason, "ShardsCold");
  EXPECT_GE(world.now_ms - before, world.policy.scale_down_after_ms);
  world.apply(decision);
  world.follow(0.4, 300);
  EXPECT_EQ(world.shards.size(), 1u);
}

TEST(Decide, WithoutAllFiguresNothingIsDecidedAndTheWindowBeginsAnew) {
  World world(4);
  world.spread(0.1);
  EXPECT_EQ(world.look_for(50).reason, "WithinTarget");
  for (auto break_it : {+[](World& w) { w.problem = "Prometheus is away"; },
                        +[](World& w) { w.shards[1].bytes_per_s.reset(); },
                        +[](World& w) { w.shards[2].records_per_s = NAN; },
                        +[](World& w) { w.shards[2].bytes_per_s = -1; },
                        +[](World& w) { w.shards[0].bytes_per_s = 1e18; },
                        +[](World& w) { w.shards.clear(); }}) {
    World broken = world;
    break_it(broken);
    auto decision = broken.look();
    EXPECT_EQ(decision.action, Action::kNone);
    EXPECT_THAT(decision.message, HasSubstr("nothing is decided"));
    broken.problem.clear();
    broken.shards = world.shards;
    auto healed = broken.now_ms;
    EXPECT_EQ(broken.look_for(600).action, Action::kMerge);
    EXPECT_GE(broken.now_ms - healed, world.policy.scale_down_after_ms) << decision.message;
  }
}

TEST(Decide, AGapInTheLooksBeginsTheWindowAnew) {
  World world(4);
  world.spread(0.1);
  world.look_for(50);
  EXPECT_EQ(world.look(3600).action, Action::kNone);
}

TEST(Decide, AClockThatStandsOrGoesBackDecidesNothing) {
  World world(1);
  world.spread(0.1);
  world.look();
  world.spread(5);
  EXPECT_EQ(world.look(0).reason, "ClockWentBack");
  EXPECT_EQ(world.look(-100).reason, "ClockWentBack");
  EXPECT_EQ(world.look(200).action, Action::kSplit);
}

TEST(Decide, OneAtATime) {
  World world(1);
  world.spread(5);
  world.resharding = true;
  EXPECT_EQ(world.look().reason, "Resharding");
}

TEST(Decide, DryRunRecommendsAndFreezeStops) {
  World world(1);
  world.policy.mode = Mode::kDryRun;
  world.spread(5);
  auto decision = world.look();
  EXPECT_TRUE(decision.recommended_only);
  EXPECT_EQ(decision.action, Action::kSplit);
  EXPECT_THAT(decision.message, HasSubstr("dry run"));
  world.policy.mode = Mode::kFrozen;
  EXPECT_EQ(world.look().reason, "Frozen");
}

TEST(Decide, WarmThroughputAndSchedulesRaiseTheFloor) {
  World world(1);
  world.policy.warm_bytes_per_s = 5 * kMiB;
  auto decision = world.look();
  EXPECT_EQ(decision.reason, "BelowMinimum");
  world.apply(decision);
  EXPECT_EQ(world.shards.size(), 5u);
  world.follow(0, 600);
  EXPECT_EQ(world.shards.size(), 5u);  // and is not merged away

  Policy policy{.shards_max = 100};
  policy.schedules.push_back({.days = 0x1f, .from_minute = 22 * 60, .to_minute = 2 * 60, .shards_min = 9});
  const int64_t day = 86'400'000, monday = 4 * day;  // 1970-01-05
  EXPECT_EQ(floor_at(policy, monday + 21 * 3600'000), 1);
  EXPECT_EQ(floor_at(policy, monday + 22 * 3600'000), 9);
  EXPECT_EQ(floor_at(policy, monday + day + 3600'000), 9);       // still Monday's night
  EXPECT_EQ(floor_at(policy, monday + 3600'000), 1);             // Sunday has none
  EXPECT_EQ(floor_at(policy, monday + 5 * day + 3600'000), 9);   // Friday's night
  EXPECT_EQ(floor_at(policy, monday + 5 * day + 23 * 3600'000), 1);
}

TEST(Decide, AHotKeyIsCutOutAndThenNamed) {
  World world(1);
  HotKey key{"user-17", kHashKeyMax / 3, 0.9};
  std::set<std::string> reasons;
  for (int i = 0; i < 200; i++) {
    for (auto& load : world.shards) {
      double width = static_cast<double>(load.range.last - load.range.first) / World::kHashKeyMaxAsDouble;
      bool hot = load.range.contains(key.at);
      double even = 0.5 * width, total = even + (hot ? 4.5 : 0);
      load.bytes_per_s = total * kMiB;
      load.hot_key.reset();
      if (hot) load.hot_key = HotKey{key.name, key.at, 4.5 / total};
    }
    auto decision = world.look();
    reasons.insert(decision.reason);
    world.apply(decision);
    if (decision.reason != "HotKey") continue;
    EXPECT_THAT(decision.message, HasSubstr("user-17"));
  }
  EXPECT_TRUE(reasons.contains("HotKey"));
  EXPECT_LE(world.shards.size(), 4u);  // splitting does not go on for ever
}

TEST(Decide, ALoadThatKeepsComingBackMakesTheWindowLonger) {
  World world(2);
  world.policy.actions_per_shard_hour = 1000;
  for (int i = 0; i < 6; i++) {
    world.follow(0.3, 200);
    world.follow(3, 200);
  }
  EXPECT_GE(std::stoi(world.look().inputs.at("scaleDownWindowSeconds")), 240);
}

TEST(Decide, ALoadThatStaysAwayForLongLeavesTheWindowShort) {
  World world(2);
  for (int i = 0; i < 3; i++) {
    world.follow(0.3, 3600);
    world.follow(3, 1800);
  }
  EXPECT_EQ(world.look().inputs.at("scaleDownWindowSeconds"), "60");
}

TEST(Decide, NoiseAroundALevelIsNotFollowed) {
  World world(12);
  double noise[] = {1.0, 1.12, 0.9, 1.05, 0.84, 1.1, 0.95, 1.15, 0.88, 1.01};
  int actions = 0;
  for (int i = 0; i < 3600; i++) {
    world.spread(9.5 * noise[i / 5 % 10]);
    auto decision = world.look();
    world.apply(decision);
    if (i > 600) actions += static_cast<int>(decision.operations.size());
  }
  EXPECT_LE(actions, 12);
  EXPECT_LE(world.shards.size(), 13u);
}

// What a load that is noise around a level does, a factor for ten seconds each.
double noise_at(int look) {
  static constexpr double kNoise[] = {1.0, 1.12, 0.9, 1.05, 0.84, 1.1, 0.95, 1.15, 0.88, 1.01};
  return kNoise[look / 5 % 10];
}

// A shard made on a level was split again for the noise of its first look, and its children for theirs.
TEST(Decide, TheFirstLookAtANewShardOnALevelIsNoLevel) {
  World world(10);
  for (int i = 0; i < 1000; i++) {
    world.spread(8 * noise_at(i));
    ASSERT_EQ(world.look().action, Action::kNone) << i;
  }
  auto ranges = broker::coordination::split_equally({}, 10);
  world.shards.clear();
  for (const auto& range : *ranges) world.add(range);
  world.spread(8 * 1.18);
  EXPECT_EQ(world.look().reason, "WithinTarget");
  world.spread(8 * 1.5);  // and a rise is followed
  world.look();
  EXPECT_EQ(world.look().reason, "ShardHot");
}

// Some records are refused where noise reaches over a shard's limit: the budget allows them.
TEST(Decide, RefusedRecordsThatTheRateExplainsSplitNothing) {
  World world(10);
  for (int i = 0; i < 1000; i++) {
    world.spread(8.6 * noise_at(i));
    ASSERT_EQ(world.look().action, Action::kNone) << i;
  }
  auto look = [&](double used, double refused_share) {
    for (auto& load : world.shards) {
      load.bytes_per_s = used * kMiB;
      load.records_per_s = 500;
      load.throttled_per_s = 500 * refused_share;
    }
    return world.look();
  };
  for (int i = 0; i < 7; i++) EXPECT_EQ(look(1.03, 1 - 1 / 1.03).reason, "WithinTarget") << i;
  // Refused although the rate is below the limit: bursts that a look does not show.
  std::set<std::string> reasons;
  for (int i = 0; i < 10; i++) reasons.insert(look(0.86, 0.03).reason);
  EXPECT_TRUE(reasons.contains("ShardHot"));
}

TEST(Decide, AMergedShardMayBeFullerWhereAllTogetherKeepTheBudget) {
  World world(8);
  world.policy.actions_per_shard_hour = 0;
  world.memory.allowance = 0;
  auto look = [&](int i, double first_two) {
    for (size_t k = 0; k < world.shards.size(); k++) {
      world.shards[k].bytes_per_s = (k < 2 ? first_two : 0.6) * noise_at(i) * kMiB;
    }
    return world.look();
  };
  Decision decision;
  for (int i = 0; i < 3000 && decision.action == Action::kNone; i++) decision = look(i, 0.43);
  EXPECT_EQ(decision.action, Action::kMerge);
  EXPECT_THAT(decision.shards(), testing::ElementsAre(0, 1));
  EXPECT_GT(2 * 0.43 * std::stod(decision.inputs.at("headroom")), 0.97);  // fuller than one is planned
  world.memory = {};
  world.memory.allowance = 0;
  for (int i = 0; i < 3000; i++) ASSERT_EQ(look(i, 0.48).action, Action::kNone) << i;  // 0.96: hot again
}

TEST(Retile, FollowsTheHeat) {
  std::vector<Tile> tiles(1);
  tiles[0].load = 1.5;
  tiles[0].heat.assign(kHeatParts, 0);
  tiles[0].heat[15] = 100;  // everything in the last sixteenth
  auto plan = retile(tiles, 0, 1, 2);
  ASSERT_EQ(plan->groups.size(), 1u);
  EXPECT_GT(plan->groups[0].at[0], HashKey{15} << 124);
  EXPECT_NEAR(plan->fullest, 0.75, 1e-6);
  tiles[0].heat.clear();
  plan = retile(tiles, 0, 1, 2);
  EXPECT_EQ(plan->groups[0].at[0] >> 124, HashKey{7});  // the middle, but for rounding
  tiles[0].range = {5, 6};
  EXPECT_EQ(retile(tiles, 0, 1, 2)->groups[0].at, (std::vector<HashKey>{6}));
}

std::vector<Tile> even_tiles(const std::vector<double>& loads) {
  auto ranges = broker::coordination::split_equally({}, static_cast<int>(loads.size()));
  std::vector<Tile> tiles;
  for (size_t i = 0; i < loads.size(); i++) {
    tiles.push_back({static_cast<int32_t>(i), (*ranges)[i], loads[i], {}, {}});
  }
  return tiles;
}

TEST(Retile, TwoFullShardsBecomeThreeTogether) {
  auto plan = retile(even_tiles({1.05, 1.05}), 0, 2, 3);
  ASSERT_EQ(plan->groups.size(), 1u);
  EXPECT_EQ(plan->groups[0].count, 2u);
  EXPECT_EQ(plan->groups[0].at.size(), 2u);
  EXPECT_EQ(plan->actions(), 1u);
  EXPECT_EQ(plan->added(), 1);
  EXPECT_FALSE(plan->only_merges());
  EXPECT_NEAR(plan->fullest, 0.7, 1e-6);
}

TEST(Retile, WhereABoundaryStaysTheShardsBesideItGoTheirOwnWays) {
  auto plan = retile(even_tiles({1.3, 0.5, 0.45, 0.45}), 0, 4, 3);
  ASSERT_TRUE(plan.has_value());
  ASSERT_EQ(plan->groups.size(), 2u);
  EXPECT_EQ(plan->groups[0].first, 0u);
  EXPECT_EQ(plan->groups[0].count, 2u);
  EXPECT_EQ(plan->groups[1].first, 2u);
  EXPECT_EQ(plan->groups[1].count, 2u);
  EXPECT_TRUE(plan->groups[1].at.empty());
}

TEST(Retile, ANewShardTakesOverKeysOfTwoAtMost) {
  EXPECT_TRUE(retile(even_tiles({0.2, 0.2, 0.2, 0.2}), 0, 4, 2).has_value());
  EXPECT_FALSE(retile(even_tiles({0.2, 0.2, 0.2, 0.2}), 0, 4, 1).has_value());
  EXPECT_FALSE(retile(even_tiles({0.6, 0.6, 0.6, 0.6, 0.6}), 0, 5, 3).has_value());
}

// Whatever the loads: every group is one that the coordinator takes.
TEST(Retile, IsWhatTheCoordinatorTakes) {
  std::mt19937 dice(7);
  std::uniform_real_distribution<double> load(0, 2);
  int some = 0;
  for (int i = 0; i < 2000; i++) {
    std::vector<double> loads(2 + dice() % 7);
    for (auto& each : loads) each = load(dice);
    const auto tiles = even_tiles(loads);
    const int parts = 1 + static_cast<int>(dice() % 12);
    const auto plan = retile(tiles, 0, tiles.size(), parts);
    if (!plan) continue;
    int count = static_cast<int>(tiles.size());
    for (const auto& group : plan->groups) {
      some++;
      count += static_cast<int>(group.at.size()) + 1 - static_cast<int>(group.count);
      sluice::v1::ShardMap map;
      map.mutable_config()->set_mode(sluice::v1::STREAM_MODE_ELASTIC);
      map.mutable_config()->set_shards_min(1);
      map.mutable_config()->set_shards_max(64);
      for (const auto& tile : tiles) {
        auto* shard = map.add_shards();
        shard->set_index(tile.shard);
        shard->set_state(sluice::v1::SHARD_STATE_OPEN);
        *shard->mutable_hash_range() = broker::coordination::format_range(tile.range);
      }
      std::vector<int32_t> indexes;
      std::vector<std::string> at;
      for (size_t k = 0; k < group.count; k++) indexes.push_back(tiles[group.first + k].shard);
      for (auto key : group.at) at.push_back(broker::coordination::format_hash_key(key));
      auto ranges = broker::coordination::ranges_of_retile(map, indexes, at);
      ASSERT_TRUE(ranges.ok()) << ranges.status().to_string();
      auto taken = broker::coordination::begin_retile(map, indexes, *ranges);
      ASSERT_TRUE(taken.ok()) << taken.to_string();
    }
    EXPECT_EQ(plan->added(), count - static_cast<int>(tiles.size()));
  }
  EXPECT_GT(some, 500);
}

TEST(Retile, AKeyIsNeverCutThrough) {
  std::vector<Tile> tiles(1);
  tiles[0].load = 2;
  tiles[0].hot_key = HotKey{"k", kHashKeyMax / 2, 0.8};
  auto plan = retile(tiles, 0, 1, 4);
  for (auto key : plan->groups.at(0).at) {
    EXPECT_TRUE(key <= kHashKeyMax / 2 || key == kHashKeyMax / 2 + 1);
  }
}

TEST(Residuals, HeadroomGrowsWithTheNoiseAndNotWithASingleStep) {
  Residuals calm, noisy, stepped;
  for (int i = 0; i < 1000; i++) {
    calm.add(1, i % 2 ? 1.01 : 0.99);
    noisy.add(1, i % 2 ? 1.2 : 0.8);
    stepped.add(1, i == 500 ? 4 : 1);
  }
  EXPECT_LT(calm.headroom(0.0005), 1.02);
  EXPECT_GT(noisy.headroom(0.0005), 1.15);
  EXPECT_LT(stepped.headroom(0.0005), 1.01);
}

TEST(Residuals, OverflowIsWhatLiesOverAFactor) {
  Residuals residuals;
  for (int i = 0; i < 1000; i++) residuals.add(1, i % 2 ? 1.2 : 0.8);
  EXPECT_NEAR(residuals.overflow(1.1), 0.05, 0.003);  // half of the looks, by a tenth
  EXPECT_NEAR(residuals.overflow(1), 0.1, 0.003);
  EXPECT_EQ(residuals.overflow(1.3), 0);
}

// Noise of a tenth was taken for a step twice an hour, and every shard split for it.
TEST(Noise, ReachesWhatIsTakenForAStepLessThanOnceInHours) {
  Noise noise;
  constexpr int kLooks = 20'000;
  std::vector<double> loads;
  for (int i = 0; i < kLooks; i++) {  // normal, by a stride that visits every pair of quantiles once
    double u = (i + 0.5) / kLooks, v = std::fmod(i * 0.6180339887498949, 1.0);
    loads.push_back(1 + 0.1 * std::sqrt(-2 * std::log(u)) * std::cos(2 * M_PI * v));
  }
  for (double load : loads) noise.add(1, 1, load);
  noise.settle(0.0005);
  auto above = std::count_if(loads.begin(), loads.end(), [&](double l) { return l > noise.usual(); });
  EXPECT_LE(above, 1);
  EXPECT_LT(noise.usual(), 1.45);  // and a step that is not much more is still one
}

TEST(Forecast, AStepIsNoTrendAndARampIs) {
  Forecast step, ramp;
  Noise noise;
  for (int i = 0; i < 10; i++) {
    step.add(i * 2000, i < 9 ? 1 : 4, noise);
    ramp.add(i * 2000, std::pow(1.3, i), noise);
  }
  EXPECT_DOUBLE_EQ(step.expected(10'000, noise), 4);
  EXPECT_GT(ramp.expected(10'000, noise), std::pow(1.3, 9) * 1.5);
}

TEST(Forecast, ANewLevelForgetsTheOldOne) {
  Forecast load;
  Noise noise;
  int64_t now = 0;
  for (int i = 0; i < 300; i++) load.add(now += 2000, 1, noise);
  load.add(now += 2000, 3, noise);
  load.add(now += 2000, 3, noise);
  EXPECT_DOUBLE_EQ(load.level(noise), 3);
  EXPECT_TRUE(load.just_risen());
  for (int i = 0; i < 30; i++) load.add(now += 2000, 1, noise);
  EXPECT_DOUBLE_EQ(load.level(noise), 1);
  EXPECT_DOUBLE_EQ(load.peak(now, 120'000), 3);
}

TEST(Forecast, ADipIsNoFall) {
  Forecast load;
  Noise noise;
  int64_t now = 0;
  for (int i = 0; i < 100; i++) load.add(now += 2000, 2, noise);
  for (int i = 0; i < 4; i++) load.add(now += 2000, 0.1, noise);
  EXPECT_GT(load.level(noise), 1.6);
}

TEST(Forecast, AShareOfAnotherHasItsPast) {
  Forecast load;
  Noise noise;
  for (int i = 0; i < 20; i++) load.add(i * 2000, 4, noise);
  auto quarter = load.scaled(0.25);
  EXPECT_DOUBLE_EQ(quarter.level(noise), 1);
  EXPECT_DOUBLE_EQ(quarter.peak(40'000, 60'000), 1);
}

}  // namespace
}  // namespace sluice_operator::autoscale
