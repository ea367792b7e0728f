// Sequence numbers are strictly ordered as numbers, name their record, and look like AWS's.
#include "broker/model/sequence_number.h"

#include <gtest/gtest.h>

namespace broker {
namespace {

const Uuid kStream = *Uuid::parse("0f0e0d0c-0b0a-4908-8706-050403020100");

TEST(SequenceNumber, RoundTrips) {
  for (int64_t generation : {1LL, 2LL, 99LL, (1LL << 36) - 1}) {
    for (int32_t shard : {0, 1, 4095, INT32_MAX}) {
      for (int64_t offset : {0LL, 1LL, 1LL << 32, (1LL << 62)}) {
        auto number = sequence_number_of(kStream, shard, generation, Offset{offset});
        std::string text = format_sequence_number(number);
        EXPECT_EQ(text.size(), 56u);
        auto back = parse_sequence_number(text);
        ASSERT_TRUE(back) << text;
        EXPECT_EQ(*back, number);
      }
    }
  }
}

TEST(SequenceNumber, IsAsTheLayoutSays) {
  // 2^185 + 3 * 2^148 + 5 * 2^144 + 8 * 2^80 + hash * 2^36 + 5 * 2^4 + 2, by another calculator.
  SequenceNumber number{3, 5, 8, 0x1234567};
  EXPECT_EQ(format_sequence_number(number),
            "49039857308890382962989227895320958352118700533597864018");
}

TEST(SequenceNumber, GrowsWithinAShardAndFromParentToChild) {
  auto text = [](int64_t generation, int32_t shard, int64_t offset) {
    return format_sequence_number(sequence_number_of(kStream, shard, generation, Offset{offset}));
  };
  // All have as many digits, so text compares as numbers do.
  EXPECT_LT(text(1, 0, 0), text(1, 0, 1));
  EXPECT_LT(text(1, 0, 9), text(1, 0, 10));
  EXPECT_LT(text(1, 0, (1LL << 40)), text(2, 1, 0));
  EXPECT_LT(text(1, 900, (1LL << 40)), text(2, 1, 0));
  // The range of a shard starts before its first record.
  SequenceNumber start = sequence_number_of(kStream, 1, 2, Offset{0});
  start.place = 0;
  EXPECT_LT(format_sequence_number(start), text(2, 1, 0));
  EXPECT_LT(text(1, 0, (1LL << 40)), format_sequence_number(start));
}

TEST(SequenceNumber, RefusesOthers) {
  for (const char* text :
       {"", "0", "1", "-1", "49590338271490256608559692538361571095921575989136588898",
        "99999999999999999999999999999999999999999999999999999999",
        "4903985730770844346848788284560023188095659208280147313x",
        "490398573088903829629892278953209583521187005335978640180",
        "09039857307708443468487882845600231880956592082801473138"}) {
    EXPECT_FALSE(parse_sequence_number(text)) << text;
  }
}

// In hexadecimal, as the layouts are: what AWS takes and refuses as kinesalite found it.
TEST(SequenceNumber, MayBeOfAnyStream) {
  for (const char* text :
       {"0", "7", "21267647932558653966460912964485513216",  // 2^124
        "49039857307708443467467104868809893875799651909875269633",  // 2 and zeros, then 1
        "49039857307708443467467104868809893875799651909875269634",  // then 2
        "49590338271490256608559692538361571095921575989136588898"}) {
    EXPECT_TRUE(may_be_sequence_number(text)) << text;
  }
  for (const char* text :
       {"", "x", "-1", "26227199374822427428162556223570313216",  // its time is too far off
        "49039857307708443467467104868809893875799651909875269632",  // layouts 0, 3 and 4
        "49039857307708443467467104868809893875799651909875269635",
        "49039857307708443467467104868809893875799651909875269636",
        "9999999999999999999999999999999999999999999999999999999999999999999"}) {
    EXPECT_FALSE(may_be_sequence_number(text)) << text;
  }
}

TEST(ShardIds, RoundTrip) {
  EXPECT_EQ(format_shard_id(0), "shardId-000000000000");
  EXPECT_EQ(format_shard_id(INT32_MAX), "shardId-002147483647");
  EXPECT_EQ(parse_shard_id("shardId-000000000042"), 42);
  for (const char* text : {"42", "shardId-42", "shard-0042", "x-42-7"}) {
    EXPECT_EQ(parse_shard_id(text), 42) << text;
  }
  for (const char* text : {"", "shardId-", "shardId-00000000004x", "shard", "2147483648",
                           "shardId-002147483648", "--1", "shardId--42", "shardId-4e2"}) {
    EXPECT_FALSE(parse_shard_id(text)) << text;
  }
}

}  // namespace
}  // namespace broker
