// Goal: the records of the coordinators' stream keep their bytes (a newer broker reads what an older
// one wrote), and damaged ones are refused.
#include "broker/groups/core/format.h"

#include <gtest/gtest.h>

namespace broker::groups {
namespace {

std::string hex(const std::string& bytes) {
  static const char* digits = "0123456789abcdef";
  std::string out;
  for (unsigned char c : bytes) {
    out += digits[c >> 4];
    out += digits[c & 15];
  }
  return out;
}

template <class T>
void expect_bytes(const T& value, const std::string& golden) {
  std::string bytes = encode_value(value);
  EXPECT_EQ(hex(bytes), golden);
  T again;
  ASSERT_TRUE(decode_value(bytes, again).ok());
  EXPECT_EQ(again, value);
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(decode_value(std::string_view(bytes).substr(0, size), again).ok()) << size;
  }
  EXPECT_FALSE(decode_value(bytes + "x", again).ok());
  bytes[0] = 2;  // a later version
  EXPECT_FALSE(decode_value(bytes, again).ok());
}

Uuid id() { return *Uuid::parse("00010203-0405-0607-0809-0a0b0c0d0e0f"); }

TEST(Format, Keys) {
  EXPECT_EQ(hex(encode_key({RecordKind::kOffset, "g", "topic", 7})), "00016705746f70696300000007");
  EXPECT_EQ(hex(encode_key({RecordKind::kClassicGroup, "g", "", 0})), "010167");
  EXPECT_EQ(hex(encode_key({RecordKind::kConsumerGroup, "g", "", 0})), "020167");
  EXPECT_EQ(hex(encode_key({RecordKind::kConsumerMember, "g", "m", 0})), "030167016d");
  EXPECT_EQ(hex(encode_key({RecordKind::kTargetAssignment, "g", "m", 0})), "040167016d");
  EXPECT_EQ(hex(encode_key({RecordKind::kCurrentAssignment, "g", "m", 0})), "050167016d");
  RecordKey key{RecordKind::kOffset, std::string(300, 'g'), "t", -1};
  auto again = decode_key(encode_key(key));
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(*again, key);
  EXPECT_FALSE(decode_key("").ok());
  EXPECT_FALSE(decode_key("\x06\x01g").ok());
  EXPECT_FALSE(decode_key(std::string("\x01\x05g", 3)).ok());
  EXPECT_FALSE(decode_key(encode_key(key) + "x").ok());
}

TEST(Format, Values) {
  expect_bytes(CommittedOffset{42, 3, "m", 1000, -1, id()},
               "01000000000000002a00000003016d00000000000003e8ffffffffffffffff"
               "000102030405060708090a0b0c0d0e0f");
  StoredClassicGroup classic;
  classic.protocol_type = "consumer";
  classic.leader = "m";
  classic.generation = 5;
  classic.state_ms = 9;
  classic.members.push_back({"m", "i", "c", "/h", 60'000, 10'000, {{"range", "x"}}, "y"});
  expect_bytes(classic,
               "010108636f6e73756d65720001016d000000050000000000000009"
               "01016d0101690163022f680000ea60000027100105"
               "72616e676501780179");
  expect_bytes(StoredConsumerGroup{7, 6, 0xff}, "01000000070000000600000000000000ff");
  StoredConsumerMember member;
  member.rack = "r";
  member.client_id = "c";
  member.regex = "a.*";
  member.names = {"t", "u"};
  member.rebalance_timeout_ms = 1;
  member.classic = ClassicPart{2, {{"p", ""}}};
  expect_bytes(member, "01000101720001630003612e2a020174017500000001010000000201017000");
  StoredCurrentAssignment current{3, 2, MemberState::kUnrevoked, {{id(), {1}}}, {{id(), {2}}}};
  expect_bytes(current,
               "010000000300000002010"
               "1000102030405060708090a0b0c0d0e0f0100000001"
               "01000102030405060708090a0b0c0d0e0f0100000002");
  expect_bytes(Assignment{{id(), {0, 1}}},
               "0101000102030405060708090a0b0c0d0e0f020000000000000001");
}

TEST(Format, CountsAreNotTrusted) {
  Assignment out;
  EXPECT_FALSE(decode_value(std::string("\x01\xff\xff\xff\xff\x0f", 6), out).ok());
}

}  // namespace
}  // namespace broker::groups
