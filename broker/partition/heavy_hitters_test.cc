// A key that takes a good part of a shard is found among very many, and told when a round ends.
#include "broker/partition/heavy_hitters.h"

#include <gtest/gtest.h>

namespace broker::partition {
namespace {

TEST(HeavyHitters, FindsAKeyAmongThousands) {
  HeavyHitters hitters;
  std::optional<HeavyHitters::Hottest> hottest;
  for (int i = 0; i < 4000; i++) {
    EXPECT_FALSE(hitters.end_of_round());
    bool hot = i % 5 < 2;
    std::string key = hot ? "hot\nkey" : "k" + std::to_string(i);
    hitters.add(key, coordination::hash_key_of(key), 100);
  }
  hottest = hitters.end_of_round();
  ASSERT_TRUE(hottest);
  EXPECT_EQ(hottest->key, "hot?key");
  EXPECT_EQ(hottest->at, coordination::hash_key_of("hot\nkey"));
  EXPECT_GT(hottest->share, 0.2);
  EXPECT_LE(hottest->share, 0.4);
  EXPECT_FALSE(hitters.end_of_round());
}

TEST(HeavyHitters, EvenKeysHaveNone) {
  HeavyHitters hitters;
  for (int i = 0; i < 4000; i++) {
    std::string key = "k" + std::to_string(i % 1000);
    hitters.add(key, coordination::hash_key_of(key), 100);
  }
  EXPECT_LT(hitters.end_of_round()->share, 0.05);
}

}  // namespace
}  // namespace broker::partition
