// What a batch counts for: AWS's rounding per record, and the cases that are not unpacked.
#include "broker/metering/count.h"

#include <gtest/gtest.h>

#include "broker/model/records.h"

namespace broker::metering {
namespace {

Batch batch_of(const std::vector<size_t>& sizes, Compression compression = Compression::kNone) {
  RecordBatchBuilder::Options options;
  options.compression = compression;
  RecordBatchBuilder builder(options);
  for (size_t size : sizes) builder.add(1, "key", std::string(size, 'x'));
  std::string bytes = *builder.build();
  auto header = *parse_batch_header(bytes);
  return {header, Buffer::from_string(std::move(bytes))};
}

TEST(Count, RoundsEveryRecordUpTo25KB) {
  EXPECT_EQ(put_units_of(0), 1);
  EXPECT_EQ(put_units_of(1), 1);
  EXPECT_EQ(put_units_of(25 * 1024), 1);
  EXPECT_EQ(put_units_of(25 * 1024 + 1), 2);
  EXPECT_EQ(put_units_of(45 * 1024), 2);
  EXPECT_EQ(put_units_of(1000 * 1024), 40);  // AWS's own example
}

TEST(Count, AddsUpTheRecordsOfABatch) {
  EXPECT_EQ(count_batch(batch_of({1, 10, 100})).put_units, 3);
  Counted counted = count_batch(batch_of({25 * 1024, 25 * 1024 + 1, 0, 60 * 1024}));
  EXPECT_EQ(counted.put_units, 1 + 2 + 1 + 3);
  EXPECT_EQ(counted.records, 4);
  // Many small records in a large batch: one unit each.
  EXPECT_EQ(count_batch(batch_of(std::vector<size_t>(500, 1000))).put_units, 500);
}

TEST(Count, ACompressedBatchCountsItsRecordsAndItsCompressedBytes) {
  Batch batch = batch_of({100 * 1024, 100 * 1024}, Compression::kLz4);
  EXPECT_EQ(count_batch(batch).put_units, 2);
  EXPECT_EQ(count_batch(batch).bytes, batch.header.size);
}

TEST(Count, ControlBatchesAreFree) {
  std::string seal = build_seal_batch(std::string(100'000, 'p'), 1);
  auto header = *parse_batch_header(seal);
  EXPECT_EQ(count_batch({header, Buffer::from_string(std::move(seal))}), Counted());
}

}  // namespace
}  // namespace broker::metering
