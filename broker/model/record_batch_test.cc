// Header checks on a batch with known bytes: the published layout, its CRC, and what patching
// leaves alone.
#include "broker/model/record_batch.h"

#include <gtest/gtest.h>

#include "broker/base/crc32c.h"

namespace broker {
namespace {

// One record (key "k", value "v") at timestamp 1000, laid out by hand from Kafka's documentation.
std::string sample_batch() {
  std::string records("\x10\x00\x00\x00\x02k\x02v\x00", 9);
  std::string b;
  ByteWriter out(b);
  out.i64(7);
  out.i32(static_cast<int32_t>(kBatchHeaderSize - kBatchLengthPrefix + records.size()));
  out.i32(3);
  out.i8(2);
  out.u32(0);
  out.i16(0);
  out.i32(0);
  out.i64(1000);
  out.i64(1000);
  out.i64(-1);
  out.i16(-1);
  out.i32(-1);
  out.i32(1);
  out.bytes(records);
  store_be(b.data() + 17, crc32c(std::string_view(b).substr(21)));
  return b;
}

TEST(RecordBatch, ParsesChecksAndPatches) {
  std::string b = sample_batch();
  auto h = parse_batch_header(b);
  ASSERT_TRUE(h.ok());
  EXPECT_EQ(h->base_offset, Offset{7});
  EXPECT_EQ(h->end_offset(), Offset{8});
  EXPECT_EQ(h->term, Term{3});
  EXPECT_EQ(static_cast<size_t>(h->size), b.size());
  EXPECT_TRUE(batch_crc_matches(b));
  patch_batch(b.data(), Offset{99}, Term{5});
  EXPECT_TRUE(batch_crc_matches(b));
  EXPECT_EQ(parse_batch_header(b)->base_offset, Offset{99});
  b.back() ^= 1;
  EXPECT_FALSE(batch_crc_matches(b));
}

// Seen by a fuzz target: a producer's numbers overflowed here.
TEST(RecordBatch, NumbersAtTheEndOfTheirRangeDoNotOverflow) {
  std::string b = sample_batch();
  store_be<int32_t>(b.data() + 23, INT32_MAX);  // last offset delta
  store_be<int32_t>(b.data() + 57, INT32_MAX);  // record count
  EXPECT_TRUE(parse_batch_header(b).ok());
  store_be<int64_t>(b.data(), INT64_MAX - INT32_MAX - 1);
  auto last = parse_batch_header(b);
  ASSERT_TRUE(last.ok());
  EXPECT_EQ(last->end_offset(), Offset{INT64_MAX});
  store_be<int64_t>(b.data(), INT64_MAX - INT32_MAX);
  EXPECT_EQ(parse_batch_header(b).code(), Code::kCorruption);
}

TEST(RecordBatch, RefusesContradictions) {
  std::string b = sample_batch();
  EXPECT_EQ(parse_batch_header(b.substr(0, 60)).code(), Code::kCorruption);
  std::string magic = b;
  magic[16] = 1;
  EXPECT_EQ(parse_batch_header(magic).code(), Code::kUnsupported);
  std::string count = b;
  store_be<int32_t>(count.data() + 57, 2);
  EXPECT_EQ(parse_batch_header(count).code(), Code::kCorruption);
  std::string length = b;
  store_be<int32_t>(length.data() + 8, 10);
  EXPECT_EQ(parse_batch_header(length).code(), Code::kCorruption);
}

}  // namespace
}  // namespace broker
