// Key space arithmetic at its edges, MD5 keys as Kinesis computes them, Kafka's partitioner.
#include "broker/coordination/hash_range.h"

#include <gtest/gtest.h>

#include "broker/coordination/partitioner.h"

namespace broker::coordination {
namespace {

const char kMaxText[] = "340282366920938463463374607431768211455";

TEST(HashKey, FormatsAndParsesDecimals) {
  EXPECT_EQ(format_hash_key(0), "0");
  EXPECT_EQ(format_hash_key(kHashKeyMax), kMaxText);
  EXPECT_EQ(parse_hash_key(kMaxText), kHashKeyMax);
  EXPECT_EQ(parse_hash_key("0"), HashKey{0});
  for (const char* text :
       {"", "-1", "+1", " 1", "01", "1x", "340282366920938463463374607431768211456",
        "999999999999999999999999999999999999999", "0x10"}) {
    EXPECT_FALSE(parse_hash_key(text)) << text;
  }
}

TEST(HashKey, IsTheMd5OfThePartitionKey) {
  // md5("") = d41d8cd98f00b204e9800998ecf8427e
  EXPECT_EQ(format_hash_key(hash_key_of("")), "281949768489412648962353822266799178366");
  // md5("a") = 0cc175b9c0f1b6a831c399e269772661
  EXPECT_EQ(format_hash_key(hash_key_of("a")), "16955237001963240173058271559858726497");
}

TEST(KeyRanges, SplitEquallyCoversExactly) {
  for (int parts : {1, 2, 3, 7, 64, 10000}) {
    auto ranges = split_equally(KeyRange{}, parts);
    ASSERT_TRUE(ranges.ok());
    ASSERT_EQ(static_cast<int>(ranges->size()), parts);
    EXPECT_EQ(ranges->front().first, HashKey{0});
    EXPECT_EQ(ranges->back().last, kHashKeyMax);
    HashKey smallest = kHashKeyMax, largest = 0;
    for (size_t i = 0; i < ranges->size(); ++i) {
      const auto& r = (*ranges)[i];
      if (i > 0) {
        EXPECT_EQ((*ranges)[i - 1].last + 1, r.first);
      }
      smallest = std::min(smallest, r.last - r.first);
      largest = std::max(largest, r.last - r.first);
    }
    EXPECT_LT(largest - smallest, static_cast<HashKey>(parts));
  }
  // As AWS cuts them.
  auto thirds = split_equally(KeyRange{}, 3);
  EXPECT_EQ(format_hash_key((*thirds)[1].first), "113427455640312821154458202477256070485");
  EXPECT_EQ(format_hash_key((*thirds)[2].first), "226854911280625642308916404954512140970");
  auto halves = split_equally(KeyRange{}, 2);
  EXPECT_EQ(format_hash_key((*halves)[0].last), "170141183460469231731687303715884105727");
  EXPECT_EQ(split_equally(KeyRange{5, 6}, 2)->size(), 2u);
  EXPECT_EQ(split_equally(KeyRange{5, 6}, 3).code(), Code::kInvalidArgument);
  EXPECT_EQ(split_equally(KeyRange{}, 0).code(), Code::kInvalidArgument);
}

TEST(KeyRanges, CutsAtKeysInsideOnly) {
  auto parts = cut_range({10, 20}, {11, 20});
  ASSERT_TRUE(parts.ok());
  EXPECT_EQ(*parts, (std::vector<KeyRange>{{10, 10}, {11, 19}, {20, 20}}));
  for (auto keys : std::vector<std::vector<HashKey>>{{10}, {21}, {9}, {15, 15}, {16, 15}}) {
    EXPECT_EQ(cut_range({10, 20}, keys).code(), Code::kInvalidArgument);
  }
}

TEST(KeyRanges, KnowsNeighbours) {
  EXPECT_TRUE(are_adjacent({0, 4}, {5, 9}));
  EXPECT_TRUE(are_adjacent({5, 9}, {0, 4}));
  EXPECT_FALSE(are_adjacent({0, 4}, {6, 9}));
  EXPECT_FALSE(are_adjacent({0, kHashKeyMax}, {0, kHashKeyMax}));
  EXPECT_EQ(join_ranges({5, 9}, {0, 4}), (KeyRange{0, 9}));
}

// Values of org.apache.kafka.common.utils.UtilsTest.testMurmur2.
TEST(Partitioner, IsKafkasMurmur2) {
  EXPECT_EQ(murmur2("21"), -973932308);
  EXPECT_EQ(murmur2("foobar"), -790332482);
  EXPECT_EQ(murmur2("a-little-bit-long-string"), -985981536);
  EXPECT_EQ(murmur2("a-little-bit-longer-string"), -1486304829);
  EXPECT_EQ(murmur2("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8"), -58897971);
  EXPECT_EQ(murmur2("abc"), 479470107);
  EXPECT_EQ(partition_of_key("21", 10), (-973932308 & 0x7fffffff) % 10);
}

}  // namespace
}  // namespace broker::coordination
