// The bytes on disk. A failure of a golden test means that old directories are not read any more:
// raise the version of the format instead of changing the expected bytes.
#include "broker/storage/format/checkpoint.h"
#include "broker/storage/format/frame.h"
#include "broker/storage/format/index_file.h"
#include "broker/storage/test_support.h"

namespace broker::storage {
namespace {

std::string hex(std::string_view bytes) {
  std::string out;
  char digits[3];
  for (unsigned char c : bytes) {
    std::snprintf(digits, sizeof digits, "%02x", c);
    out += digits;
  }
  return out;
}

Uuid directory() {
  Uuid id;
  for (size_t i = 0; i < 16; i++) id.bytes[i] = static_cast<uint8_t>(i);
  return id;
}

TEST(Format, GoldenFileHeader) {
  std::string bytes = encode_file_header({7, 42, 0x01020304, directory()});
  EXPECT_EQ(hex(bytes),
            "bfe081eb534c4c4700010000000000000000000000000007000000000000002a0102030400000000"
            "000102030405060708090a0b0c0d0e0f0000000000000000");
  auto decoded = decode_file_header(bytes);
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(decoded->first_sequence, 42u);
  std::string newer = bytes;
  newer[9] = 2;
  store_be(newer.data(), crc32c(std::string_view(newer).substr(4)));
  EXPECT_EQ(decode_file_header(newer).code(), Code::kUnsupported);
}

TEST(Format, GoldenFrame) {
  FrameHeader h;
  std::string body = encode_state_body(Term{5}, Term{4});
  h.body_crc = crc32c(body);
  h.prev_crc = 0xaabbccdd;
  h.length = static_cast<uint32_t>(body.size());
  h.sequence = 42;
  h.synced = 41;
  h.log_id = 9;
  h.file = 7;
  h.type = FrameType::kState;
  std::string bytes;
  encode_frame_header(h, bytes);
  bytes += body;
  EXPECT_EQ(hex(bytes),
            "3e78515c93e6f489aabbccdd00000008000000000000002a00000000000000290000000000000009"
            "00000007020000000000000500000004");
  EXPECT_EQ(frame_size(body.size()), 56u);
  EXPECT_EQ(frame_size(1), 56u);
  EXPECT_EQ(frame_size(0), 48u);
  auto decoded = decode_frame_header(bytes);
  ASSERT_TRUE(decoded.has_value());
  EXPECT_EQ(decoded->synced, 41u);
  for (size_t i = 0; i < kFrameHeaderSize; i++) {
    std::string bad = bytes;
    bad[i] ^= 4;
    EXPECT_FALSE(decode_frame_header(bad).has_value()) << i;
  }
}

TEST(Format, GoldenBodies) {
  EXPECT_EQ(hex(encode_offset_body(Offset{258})), "0000000000000102");
  EXPECT_EQ(hex(encode_create_body(shard_id(2), Term{1}, kNoTerm)),
            "000000000000000000000000000000070000000200000001ffffffff");
}

TEST(Format, GoldenIndex) {
  storage::Run run;
  run.file = run.order = 7;
  run.first = Offset{10};
  run.end = Offset{12};
  run.max_timestamp_ms = 99;
  run.bytes = 130;
  run.entries = std::make_shared<Entries>(Entries{{Offset{10}, 98, 112, 65}, {Offset{11}, 99, 240, 65}});
  std::vector<IndexedRun> runs{{3, run}};
  EXPECT_EQ(hex(encode_index(7, 305, runs)),
            "3cff745d534c49580001000000000001000000000000000700000000000001310000000000000003"
            "0000000000000007000000000000000a000000000000000c00000000000000630000000000000082"
            "0000006000000002a2bfa97c00000000000000000000000a00000000000000620000007000000041"
            "000000000000000b0000000000000063000000f000000041");
}

TEST(Format, GoldenCheckpointAndMeta) {
  Checkpoint c;
  c.clean = true;
  c.replay_from = 8;
  c.next_sequence = 43;
  c.next_log_id = 10;
  c.shards.push_back({shard_id(2), 9, {Term{5}, Term{4}}, Offset{10}, Offset{12},
                      {{Term{5}, Offset{10}}}, {{Offset{11}, "snap"}}, ""});
  std::string bytes = encode_checkpoint(c);
  EXPECT_EQ(hex(bytes),
            "1126b427534c4350000100010000000000000008000000000000002b000000000000000a00000001"
            "00000000000000000000000000000007000000020000000000000009000000050000000400000000"
            "0000000a000000000000000c0000000100000005000000000000000a00000001000000000000000b"
            "00000004736e617000000000");
  auto decoded = decode_checkpoint(bytes);
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(decoded->shards[0].snapshots[0].blob, "snap");
  for (size_t i = 0; i < bytes.size(); i++) {
    std::string bad = bytes;
    bad[i] ^= 1;
    EXPECT_FALSE(decode_checkpoint(bad).ok()) << i;
    EXPECT_FALSE(decode_checkpoint(bytes.substr(0, i)).ok()) << i;
  }
  EXPECT_EQ(hex(encode_meta({directory(), BrokerId{3}})),
            "3dc5eb47534c4d5400010000000102030405060708090a0b0c0d0e0f00000003");
}

}  // namespace
}  // namespace broker::storage
