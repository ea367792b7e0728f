// Replication messages keep their meaning over the wire, and malformed frames are refused.
#include "broker/replication/core/wire.h"

#include <gtest/gtest.h>

#include "broker/base/crc32c.h"

namespace broker::replication {
namespace {

Batch make_batch(Offset base, Term term) {
  std::string b;
  ByteWriter out(b);
  out.i64(base.value);
  out.i32(static_cast<int32_t>(kBatchHeaderSize - kBatchLengthPrefix + 4));
  out.i32(term.value);
  out.i8(2);
  out.u32(0);
  out.i16(0);
  out.i32(0);
  out.i64(1);
  out.i64(1);
  out.i64(-1);
  out.i16(-1);
  out.i32(-1);
  out.i32(1);
  out.bytes("abcd");
  store_be(b.data() + 17, crc32c(std::string_view(b).substr(21)));
  return {*parse_batch_header(b), Buffer::from_string(b)};
}

Result<Decoded> round_trip(const Message& message) {
  std::string frame;
  std::vector<Buffer> payload;
  encode_message({Uuid::from_random(1, 2), 7}, message, frame, payload);
  for (const auto& piece : payload) frame += piece.view();
  return decode_message(Buffer::from_string(frame));
}

TEST(ReplicationWire, AppendRoundTrips) {
  Append append{Term{3}, 9, true, false, Offset{10}, Offset{10}, Offset{8}, Offset{2},
                {make_batch(Offset{10}, Term{3}), make_batch(Offset{11}, Term{3})}};
  auto decoded = round_trip(append);
  ASSERT_TRUE(decoded.ok()) << decoded.status().to_string();
  EXPECT_EQ(decoded->shard.index, 7);
  auto& got = std::get<Append>(decoded->message);
  EXPECT_EQ(got.batches.size(), 2u);
  EXPECT_TRUE(got.first);
  EXPECT_EQ(got.high_watermark, Offset{8});
}

TEST(ReplicationWire, OthersRoundTrip) {
  auto attach = round_trip(Attach{Term{4}, 77});
  ASSERT_TRUE(attach.ok());
  EXPECT_EQ(std::get<Attach>(attach->message).attach_id, 77u);
  auto reply = round_trip(
      AttachReply{Term{4}, 77, true, Offset{1}, Offset{5}, {{Term{1}, Offset{1}}}});
  ASSERT_TRUE(reply.ok());
  EXPECT_EQ(std::get<AttachReply>(reply->message).terms.size(), 1u);
  auto ack = round_trip(AppendReply{Term{4}, 77, Offset{5}, true, false, Offset{1}, true});
  ASSERT_TRUE(ack.ok());
  EXPECT_TRUE(std::get<AppendReply>(ack->message).adopted);
  EXPECT_TRUE(std::get<AppendReply>(ack->message).full);
}

TEST(ReplicationWire, RefusesEveryTruncationAndBitFlip) {
  std::string frame;
  std::vector<Buffer> payload;
  Append append{Term{3}, 9, true, false, Offset{10}, Offset{10}, Offset{8}, Offset{2},
                {make_batch(Offset{10}, Term{3})}};
  encode_message({Uuid::from_random(1, 2), 7}, append, frame, payload);
  size_t head = frame.size();
  frame += payload[0].view();
  for (size_t n = 0; n < frame.size(); n++) {
    if (n == head) continue;  // an append without batches is one of its own
    EXPECT_FALSE(decode_message(Buffer::copy_of(frame.substr(0, n))).ok()) << n;
  }
  std::string flipped = frame;
  flipped.back() ^= 1;
  EXPECT_EQ(decode_message(Buffer::from_string(flipped)).code(), Code::kCorruption);
}

}  // namespace
}  // namespace broker::replication
