// Goal: what the builder writes the iterator reads, for every codec; hostile batches end in a
// status, never in a crash or in memory beyond the bound; and produce-time validation accepts
// exactly what may be stored.
#include "broker/model/records.h"

#include <gtest/gtest.h>

#include <random>

#include "broker/base/crc32c.h"
#include "broker/model/compression.h"

namespace broker {
namespace {

constexpr size_t kBound = 1 << 20;

std::string build(RecordBatchBuilder::Options options, int records) {
  RecordBatchBuilder builder(options);
  std::vector<RecordHeader> headers{{"trace", "abc"}, {"empty", ""}, {"null", std::nullopt}};
  for (int i = 0; i < records; ++i) {
    std::string key = "key" + std::to_string(i);
    builder.add(1000 + i, i % 3 == 0 ? std::nullopt : std::optional<std::string_view>(key),
                i % 5 == 4 ? std::nullopt : std::optional<std::string_view>("value"),
                i % 2 == 0 ? std::span<const RecordHeader>(headers)
                           : std::span<const RecordHeader>());
  }
  return std::move(builder.build()).value();
}

void fix_crc(std::string& batch) {
  store_be(batch.data() + 17, crc32c(std::string_view(batch).substr(21)));
}

TEST(Records, RoundTripWithEveryCodec) {
  for (auto codec : {Compression::kNone, Compression::kGzip, Compression::kSnappy,
                     Compression::kLz4, Compression::kZstd}) {
    std::string batch = build({.compression = codec}, 50);
    patch_batch(batch.data(), Offset{700}, Term{3});
    auto records = RecordIterator::open(batch, kBound);
    ASSERT_TRUE(records.ok());
    Record record;
    int count = 0;
    while (records->next(record)) {
      EXPECT_EQ(record.offset, Offset{700 + count});
      EXPECT_EQ(record.timestamp_ms, 1000 + count);
      EXPECT_EQ(record.key.has_value(), count % 3 != 0);
      EXPECT_EQ(record.value.has_value(), count % 5 != 4);
      ASSERT_EQ(record.headers.size(), count % 2 == 0 ? 3u : 0u);
      if (count % 2 == 0) {
        EXPECT_EQ(record.headers[2], (RecordHeader{"null", std::nullopt}));
      }
      ++count;
    }
    EXPECT_TRUE(records->status().ok());
    EXPECT_EQ(count, 50);
    EXPECT_TRUE(validate_produced_batch(batch, {}).ok());
    EXPECT_EQ(records->header().max_timestamp_ms, 1049);
  }
}

// The same bytes as in record_batch_test.cc: key "k", value "v" at 1000, laid out by hand.
TEST(Records, BuilderMakesThePublishedLayout) {
  RecordBatchBuilder builder;
  builder.add(1000, "k", "v");
  std::string batch = *builder.build();
  EXPECT_EQ(batch.substr(kBatchHeaderSize), std::string("\x10\x00\x00\x00\x02k\x02v\x00", 9));
  EXPECT_TRUE(batch_crc_matches(batch));
}

// Lengths are reckoned before they are written: around every one that takes a byte more.
TEST(Records, BuilderReckonsEveryLength) {
  const int64_t times[] = {1000, 1, int64_t{1} << 40};
  for (size_t size : {0, 1, 62, 63, 64, 65, 8189, 8190, 8191, 8192, 8193, 1 << 20, (1 << 20) + 1}) {
    const std::string text(size, 'x');
    const std::vector<RecordHeader> headers{{text, text}, {"null", std::nullopt}};
    RecordBatchBuilder builder;
    size_t before = builder.size_bytes();
    EXPECT_EQ(before, kBatchHeaderSize);
    for (int64_t ms : times) {
      for (auto field : {std::optional<std::string_view>(text), std::optional<std::string_view>()}) {
        builder.add(ms, field, text);
        builder.add(ms, text, field, headers);
      }
    }
    before = builder.size_bytes();
    std::string batch = *builder.build();
    EXPECT_EQ(batch.size(), before);
    ASSERT_TRUE(validate_produced_batch(batch, {.batch_bytes_max = batch.size()}).ok());
    auto records = RecordIterator::open(batch, kBound);
    Record record;
    int count = 0;
    for (; records->next(record); ++count) {
      EXPECT_EQ(record.timestamp_ms, times[count / 4]);
      EXPECT_EQ(record.value.value_or(text), text);
      EXPECT_EQ(record.key.value_or(text), text);
      ASSERT_EQ(record.headers.size(), count % 2 ? 2u : 0u);
      if (count % 2) {
        EXPECT_EQ(record.headers, headers);
      }
    }
    EXPECT_EQ(count, 12);
    EXPECT_EQ(builder.size_bytes(), kBatchHeaderSize) << "and begins anew";
  }
}

TEST(Records, DecompressionIsBounded) {
  RecordBatchBuilder builder({.compression = Compression::kZstd});
  builder.add(1, std::nullopt, std::string(4 << 20, 'x'));
  std::string batch = *builder.build();
  EXPECT_LT(batch.size(), 10'000u);
  EXPECT_EQ(RecordIterator::open(batch, kBound).code(), Code::kTooLarge);
}

TEST(Records, SealCarriesTheProducerTable) {
  std::string seal = build_seal_batch("producers", 5);
  auto header = parse_batch_header(seal);
  ASSERT_TRUE(header.ok());
  EXPECT_TRUE(header->control());
  EXPECT_EQ(header->end_offset(), Offset{1});
  EXPECT_EQ(seal_content(seal), "producers");
  EXPECT_EQ(seal_content(build({}, 1)), std::nullopt);
  EXPECT_EQ(validate_produced_batch(seal, {}).code(), Code::kInvalidArgument);
}

TEST(Records, ValidationRefuses) {
  std::string good = build({.producer_id = 9, .producer_epoch = 0, .base_sequence = 0}, 3);
  ASSERT_TRUE(validate_produced_batch(good, {}).ok());
  EXPECT_EQ(validate_produced_batch(good, {.batch_bytes_max = 100}).code(), Code::kTooLarge);
  EXPECT_EQ(validate_produced_batch(good + good, {}).code(), Code::kInvalidArgument);
  EXPECT_EQ(validate_produced_batch(std::string_view(good).substr(0, 80), {}).code(),
            Code::kInvalidArgument);
  struct Case {
    size_t at;
    int size;
    int64_t value;
    Code code;
  };
  for (const Case& c : std::vector<Case>{{21, 2, 16, Code::kUnsupported},       // transactional
                                         {21, 2, 8, Code::kInvalidArgument},    // log append time
                                         {21, 2, 5, Code::kCorruption},         // codec 5
                                         {23, 4, 7, Code::kInvalidArgument},    // last offset delta
                                         {57, 4, 0, Code::kInvalidArgument},    // no records
                                         {51, 2, -1, Code::kInvalidArgument},   // epoch
                                         {53, 4, -1, Code::kInvalidArgument}}) {  // sequence
    std::string bad = good;
    if (c.size == 2) store_be(bad.data() + c.at, static_cast<int16_t>(c.value));
    if (c.size == 4) store_be(bad.data() + c.at, static_cast<int32_t>(c.value));
    EXPECT_EQ(validate_produced_batch(bad, {}).code(), Code::kCorruption) << "its CRC " << c.at;
    fix_crc(bad);
    EXPECT_EQ(validate_produced_batch(bad, {}).code(), c.code) << "field at " << c.at;
  }
  std::string magic = good;
  magic[16] = 1;
  EXPECT_EQ(validate_produced_batch(magic, {}).code(), Code::kUnsupported);
}

TEST(Records, ABatchIsCompressedAgain) {
  const std::string first = build({.producer_id = 7, .producer_epoch = 1, .base_sequence = 3}, 20);
  std::string at = first;
  for (auto codec : {Compression::kGzip, Compression::kSnappy, Compression::kLz4, Compression::kZstd,
                     Compression::kNone}) {
    auto next = recompress(at, codec, kBound);
    ASSERT_TRUE(next.ok()) << next.status().to_string();
    auto header = validate_produced_batch(*next, {});
    ASSERT_TRUE(header.ok()) << header.status().to_string();
    EXPECT_EQ(header->compression(), codec);
    at = *next;
  }
  EXPECT_EQ(at, first);
  auto packed = recompress(first, Compression::kGzip, kBound);
  ASSERT_TRUE(packed.ok());
  EXPECT_EQ(recompress(*packed, Compression::kNone, 10).code(), Code::kTooLarge);
}

// Damage with a valid CRC: every outcome is a status, and what is accepted can be read.
TEST(Records, HostileBytesNeverCrash) {
  std::mt19937 engine(11);
  for (auto codec : {Compression::kNone, Compression::kGzip, Compression::kSnappy,
                     Compression::kLz4, Compression::kZstd}) {
    std::string good = build({.compression = codec}, 20);
    for (int round = 0; round < 500; ++round) {
      std::string bad = good;
      for (int edits = 1 + static_cast<int>(engine() % 3); edits > 0; --edits) {
        bad[engine() % bad.size()] = static_cast<char>(engine());
      }
      fix_crc(bad);
      bool accepted = validate_produced_batch(bad, {}).ok();
      auto records = RecordIterator::open(bad, kBound);
      if (!records.ok()) continue;
      Record record;
      while (records->next(record)) EXPECT_LE(record.headers.size(), bad.size());
      if (accepted && codec == Compression::kNone) {
        EXPECT_TRUE(records->status().ok());
      }
    }
  }
}

}  // namespace
}  // namespace broker
