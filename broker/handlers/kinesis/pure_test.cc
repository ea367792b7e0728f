// The parts without a broker: keys both ways, tokens that cannot be made by others, names, and the
// steps of UpdateShardCount.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "broker/base/utf8.h"
#include "broker/handlers/kinesis/attributes.h"
#include "broker/handlers/kinesis/base64url.h"
#include "broker/handlers/kinesis/key_mapping.h"
#include "broker/handlers/kinesis/rescaler.h"
#include "broker/handlers/kinesis/tokens.h"
#include "broker/protocol/kinesis/base64.h"

namespace broker::handlers::kinesis {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(Base64Url, RoundTripsAndHasOneForm) {
  for (std::string bytes : {"", "a", "ab", "abc", "abcd", "\xff\xfe\x00x", "?>?>?>"}) {
    std::string text = to_base64url(bytes);
    EXPECT_EQ(text.find_first_of("+/="), std::string::npos);
    EXPECT_EQ(from_base64url(text), bytes);
  }
  EXPECT_EQ(to_base64url("\xfb\xff"), "-_8");
  for (const char* text : {"a", "ab=", "a b", "YR", "YWI/"}) EXPECT_FALSE(from_base64url(text));
}

TEST(KeyMapping, TextIsItself) {
  for (std::string key : {"k", "1", "$", "$sluice", "$sluice.nul", "sch\xc3\xb6n",
                          "\xf0\x9f\x98\x80", "a\nb", std::string("a\0b", 3).c_str()}) {
    EXPECT_EQ(to_partition_key(key), key);
    EXPECT_EQ(to_record_key(key), key);
  }
  const std::string longer(1000, 'k');
  EXPECT_EQ(to_partition_key(longer), longer);
}

TEST(KeyMapping, WhatIsNoTextHasAForm) {
  EXPECT_EQ(to_partition_key(std::nullopt), "$sluice.null");
  EXPECT_EQ(to_partition_key(""), "$sluice.empty");
  EXPECT_EQ(to_partition_key("\xff"), "$sluice.base64._w");
  EXPECT_EQ(to_record_key("$sluice.null"), std::nullopt);
  EXPECT_EQ(to_record_key("$sluice.empty"), "");
  EXPECT_EQ(to_record_key("$sluice.base64._w"), "\xff");
}

// Every record key comes back, and every partition key reads as it was put.
TEST(KeyMapping, IsReversibleBothWays) {
  std::vector<std::string> keys = {"",
                                   "a",
                                   "\xff",
                                   "\xc3",
                                   "\xed\xa0\x80",
                                   "\xc0\x80",
                                   "\xf4\x90\x80\x80",
                                   "$sluice.null",
                                   "$sluice.empty",
                                   "$sluice.base64._w",
                                   "$sluice.base64.YQ",
                                   "$sluice.base64.",
                                   "$sluice.base64._x",
                                   "$sluice.base64.!"};
  // Forms of forms.
  for (int depth = 0; depth < 3; ++depth) {
    for (size_t i = 0, n = keys.size(); i < n; ++i) {
      keys.push_back("$sluice.base64." + to_base64url(keys[i]));
    }
  }
  for (const auto& key : keys) {
    const std::string shown = to_partition_key(key);
    EXPECT_TRUE(is_utf8(shown));
    EXPECT_EQ(to_record_key(shown), key);
    if (is_utf8(key) && !key.empty()) {
      EXPECT_EQ(to_partition_key(to_record_key(key)), key);
    }
  }
  EXPECT_EQ(to_record_key(to_partition_key(std::nullopt)), std::nullopt);
}

TEST(Tokens, AreOpenedOnlyByTheirSecretAndPurpose) {
  const Uuid stream = Uuid::from_random(7, 9);
  const ShardIterator iterator{{stream, 3}, Offset{12345678901}, 17, 1'700'000'000'123, 9, "s"};
  const std::string text = seal("secret", iterator);
  EXPECT_LE(text.size(), 512u);
  EXPECT_EQ(open_iterator("secret", text), iterator);
  EXPECT_FALSE(open_iterator("secreT", text));
  EXPECT_FALSE(open_page_token("secret", text));
  // No byte can be changed.
  for (size_t i = 0; i < text.size(); ++i) {
    std::string forged = text;
    forged[i] = forged[i] == 'A' ? 'B' : 'A';
    EXPECT_FALSE(open_iterator("secret", forged)) << i;
  }
  for (const char* other : {"", "AAAA", "not a token", "====", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}) {
    EXPECT_FALSE(open_iterator("secret", other));
  }
  // They look as AWS's do, whatever the stream's name.
  for (size_t size : {0, 1, 76, 77, 78, 128}) {
    ShardIterator named = iterator;
    named.stream_name = std::string(size, 'n');
    std::string bytes, why;
    ASSERT_TRUE(wire::base64_decode(seal("secret", named), bytes, why)) << why;
    EXPECT_EQ(bytes.substr(0, 8), std::string("\0\0\0\0\0\0\0\1", 8));
    EXPECT_GE(bytes.size(), 152u);
    EXPECT_EQ(bytes.size() % 16, 152u % 16);
    EXPECT_LE(wire::base64_size(bytes.size()), 512u);
    EXPECT_EQ(open_iterator("secret", seal("secret", named)), named);
  }
  const PageToken page{"ListShards", stream, "shardId-000000000001", "AT_LATEST -1 0", 5};
  const std::string page_text = seal("secret", page);
  EXPECT_EQ(open_page_token("secret", page_text), page);
  EXPECT_FALSE(open_iterator("secret", page_text));
}

TEST(Names, Arns) {
  const wire::Caller caller{"AKID", "000000000000", "us-east-1"};
  EXPECT_EQ(stream_arn(caller, "s"), "arn:aws:kinesis:us-east-1:000000000000:stream/s");
  EXPECT_EQ(stream_arn({"", "1", "cn-north-1"}, "s"), "arn:aws-cn:kinesis:cn-north-1:1:stream/s");
  auto parts = parse_arn("arn:aws:kinesis:us-east-1:000000000000:stream/a.b_c-d");
  ASSERT_TRUE(parts);
  EXPECT_EQ(parts->stream, "a.b_c-d");
  EXPECT_EQ(parts->account, "000000000000");
  EXPECT_EQ(parts->consumer, "");
  parts = parse_arn(consumer_arn(caller, "s", "c", 1'600'000'000'999));
  ASSERT_TRUE(parts);
  EXPECT_EQ(parts->stream, "s");
  EXPECT_EQ(parts->consumer, "c");
  EXPECT_EQ(parts->consumer_created_s, 1'600'000'000);
  for (const char* arn :
       {"", "arn", "arn:aws:kinesis:r:1", "arn:aws:s3:r:1:stream/s", "arn:aws:kinesis:r:1:table/s",
        "arn:aws:kinesis:r:1:stream/s/x", "arn:aws:kinesis:r:1:stream/s/consumer/c"}) {
    EXPECT_FALSE(parse_arn(arn)) << arn;
  }
  const std::string id = stream_id_text(Uuid::from_random(1, 2));
  EXPECT_EQ(id.size(), 24u);
  EXPECT_EQ(id[20], '-');
}

TEST(Attributes, CountTheLastDay) {
  constexpr int64_t kDay = 24LL * 3600 * 1000;
  std::string times = attributes::add_to_day("", 1000);
  times = attributes::add_to_day(times, 2000);
  EXPECT_EQ(times, "1000 2000");
  EXPECT_EQ(attributes::count_of_day(times, kDay + 999), 2);
  EXPECT_EQ(attributes::count_of_day(times, kDay + 1000), 1);
  EXPECT_EQ(attributes::add_to_day(times, kDay + 1500), "2000 " + std::to_string(kDay + 1500));
}

// A stream as the coordinator would keep it, resharded by the steps.
struct Plan {
  cluster::Stream stream;

  explicit Plan(int32_t shards) {
    stream.map.mutable_config()->set_mode(v1::STREAM_MODE_ELASTIC);
    const auto ranges = *coordination::split_equally({}, shards);
    for (const auto& range : ranges) add(range);
  }
  void add(coordination::KeyRange range) {
    auto* shard = stream.map.add_shards();
    shard->set_index(stream.map.shards_size() - 1);
    shard->set_state(v1::SHARD_STATE_OPEN);
    *shard->mutable_hash_range() = coordination::format_range(range);
  }
  coordination::KeyRange close(int32_t index) {
    auto* shard = stream.map.mutable_shards(index);
    EXPECT_EQ(shard->state(), v1::SHARD_STATE_OPEN);
    shard->set_state(v1::SHARD_STATE_CLOSED);
    return *coordination::parse_range(shard->hash_range());
  }
  void apply(const ReshardStep& step) {
    auto range = close(step.shard);
    if (step.cut_at.empty()) return add(coordination::join_ranges(range, close(step.adjacent)));
    std::vector<coordination::HashKey> keys;
    for (const auto& key : step.cut_at) keys.push_back(*coordination::parse_hash_key(key));
    auto parts = coordination::cut_range(range, keys);
    ASSERT_TRUE(parts.ok());
    for (const auto& part : *parts) add(part);
  }
  int rounds_to(int32_t target) {
    for (int rounds = 0;; ++rounds) {
      auto steps = next_steps(stream, target);
      if (steps.empty() || rounds > 50) return rounds;
      for (const auto& step : steps) apply(step);
    }
  }
  std::vector<coordination::KeyRange> open() const {
    std::vector<coordination::KeyRange> ranges;
    for (const auto& shard : stream.map.shards()) {
      if (shard.state() == v1::SHARD_STATE_OPEN) ranges.push_back(range_of(stream, shard));
    }
    std::sort(ranges.begin(), ranges.end(),
              [](const auto& a, const auto& b) { return a.first < b.first; });
    return ranges;
  }
};

TEST(Rescaler, DoublingSplitsEachShardInTwo) {
  Plan plan(2);
  auto steps = next_steps(plan.stream, 4);
  ASSERT_EQ(steps.size(), 2u);
  EXPECT_THAT(steps[0].cut_at, ElementsAre("85070591730234615865843651857942052864"));
  EXPECT_EQ(plan.rounds_to(4), 1);
}

TEST(Rescaler, HalvingMergesNeighbours) {
  Plan plan(4);
  EXPECT_THAT(next_steps(plan.stream, 2),
              ElementsAre(ReshardStep{0, {}, 1}, ReshardStep{2, {}, 3}));
}

TEST(Rescaler, ReachesEqualRangesFromAnyCountToAny) {
  for (int32_t from : {1, 2, 3, 4, 5, 7, 10, 16}) {
    for (int32_t to : {1, 2, 3, 4, 5, 7, 10, 16}) {
      Plan plan(from);
      EXPECT_LT(plan.rounds_to(to), 7) << from << " to " << to;
      EXPECT_EQ(plan.open(), *coordination::split_equally({}, to)) << from << " to " << to;
      EXPECT_THAT(next_steps(plan.stream, to), IsEmpty());
    }
  }
}

TEST(KeyTable, PartitionsAreEqualRangesInOrder) {
  cluster::Stream topic;
  topic.map.mutable_config()->set_mode(v1::STREAM_MODE_PARTITIONED);
  for (int i = 0; i < 3; ++i) topic.map.add_shards()->set_index(i);
  KeyTable table(topic);
  EXPECT_EQ(table.shard_of(0), 0);
  EXPECT_EQ(table.shard_of(coordination::kHashKeyMax / 2), 1);
  EXPECT_EQ(table.shard_of(coordination::kHashKeyMax), 2);
  EXPECT_EQ(range_of(topic, topic.map.shards(1)).first, coordination::kHashKeyMax / 3);
}

}  // namespace
}  // namespace broker::handlers::kinesis
