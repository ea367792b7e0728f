// Goal: the assignors give every partition to one subscriber, evenly, and move no more than needed.
#include "broker/groups/core/assignor.h"

#include <gtest/gtest.h>

#include <random>

#include "broker/groups/core/state.h"

namespace broker::groups {
namespace {

Uuid topic(uint64_t n) { return Uuid::from_random(n, n); }

std::set<int32_t> range(int32_t count) {
  std::set<int32_t> out;
  for (int32_t i = 0; i < count; ++i) out.insert(i);
  return out;
}

std::vector<AssignorMember> members(int count, std::set<Uuid> topics) {
  std::vector<AssignorMember> out;
  for (int i = 0; i < count; ++i) {
    out.push_back({"m" + std::to_string(100 + i), {}, topics, {}});
  }
  return out;
}

void expect_complete(const Assignments& assignments, const AssignablePartitions& partitions) {
  std::map<Uuid, std::set<int32_t>> seen;
  for (const auto& [member, assignment] : assignments) {
    for (const auto& [t, indexes] : assignment) {
      for (int32_t index : indexes) EXPECT_TRUE(seen[t].insert(index).second);
    }
  }
  for (const auto& [t, indexes] : partitions) EXPECT_EQ(seen[t], indexes);
}

TEST(Range, ContiguousWithTheRestToTheFirst) {
  AssignablePartitions partitions{{topic(1), range(7)}};
  auto out = assign(kRange, members(3, {topic(1)}), partitions);
  EXPECT_EQ(out["m100"][topic(1)], (std::set<int32_t>{0, 1, 2}));
  EXPECT_EQ(out["m101"][topic(1)], (std::set<int32_t>{3, 4}));
  EXPECT_EQ(out["m102"][topic(1)], (std::set<int32_t>{5, 6}));
}

TEST(Range, StaticMembersKeepTheirPlaceUnderANewId) {
  AssignablePartitions partitions{{topic(1), range(4)}};
  auto all = members(2, {topic(1)});
  all[0].instance = "b";
  all[1].instance = "a";
  auto out = assign(kRange, all, partitions);
  EXPECT_EQ(out["m101"][topic(1)], (std::set<int32_t>{0, 1}));
}

TEST(Uniform, BalancedAndSticky) {
  AssignablePartitions partitions{{topic(1), range(10)}, {topic(2), range(7)}};
  auto all = members(4, {topic(1), topic(2)});
  auto out = assign(kUniform, all, partitions);
  expect_complete(out, partitions);
  for (const auto& [m, a] : out) EXPECT_TRUE(count(a) == 4 || count(a) == 5);
  // One more: it gets its share, and nothing moves between the others.
  for (auto& m : all) m.current = out[m.id];
  all.push_back({"new", {}, {topic(1), topic(2)}, {}});
  auto next = assign(kUniform, all, partitions);
  expect_complete(next, partitions);
  EXPECT_EQ(count(next["new"]), 3u);
  for (size_t i = 0; i < 4; ++i) EXPECT_TRUE(is_subset(next[all[i].id], all[i].current));
}

TEST(Uniform, DifferentSubscriptions) {
  AssignablePartitions partitions{{topic(1), range(6)}, {topic(2), range(6)}};
  std::vector<AssignorMember> all{{"both", {}, {topic(1), topic(2)}, {}},
                                  {"one", {}, {topic(1)}, {}},
                                  {"none", {}, {topic(9)}, {}}};
  auto out = assign(kUniform, all, partitions);
  expect_complete(out, partitions);
  EXPECT_EQ(count(out["both"]), 6u);
  EXPECT_EQ(count(out["one"]), 6u);
  EXPECT_EQ(count(out["none"]), 0u);
}

TEST(Uniform, AnyChangeLeavesItCompleteAndBalanced) {
  std::mt19937_64 random(7);
  for (int round = 0; round < 200; ++round) {
    AssignablePartitions partitions;
    std::set<Uuid> topics;
    for (uint64_t n = 1; n <= 1 + random() % 4; ++n) {
      partitions[topic(n)] = range(static_cast<int32_t>(random() % 12));
      topics.insert(topic(n));
    }
    auto all = members(1 + static_cast<int>(random() % 9), topics);
    for (auto& m : all) {  // leftovers of anything, claims that collide included
      for (uint64_t n = 1; n <= 5; ++n) {
        for (int i = static_cast<int>(random() % 4); i > 0; --i) {
          m.current[topic(n)].insert(static_cast<int32_t>(random() % 12));
        }
      }
    }
    auto out = assign(kUniform, all, partitions);
    expect_complete(out, partitions);
    size_t least = SIZE_MAX, most = 0;
    for (const auto& [m, a] : out) least = std::min(least, count(a)), most = std::max(most, count(a));
    EXPECT_LE(most, least + 1);
  }
}

TEST(Uniform, LargeGroupsAreQuick) {
  AssignablePartitions partitions{{topic(1), range(2000)}};
  auto out = assign(kUniform, members(500, {topic(1)}), partitions);
  expect_complete(out, partitions);
}

}  // namespace
}  // namespace broker::groups
