// A shard's limits: exact over every second, large records and reads paid back, batches cut where
// the limit is reached.
#include "broker/partition/shard_limits.h"

#include <gtest/gtest.h>

#include "broker/model/records.h"

namespace broker::partition {
namespace {

Limits limits_of(std::string_view word) {
  auto limits = parse_limits(word);
  EXPECT_TRUE(limits.ok() && limits->has_value());
  return **limits;
}

TEST(ShardLimits, AreWords) {
  EXPECT_EQ(limits_of("aws"), (Limits{1000, 1 << 20, 5, 2 << 20}));
  EXPECT_EQ(limits_of("1"), limits_of("aws"));
  EXPECT_EQ(limits_of("0.5"), (Limits{500, 1 << 19, 2, 1 << 20}));
  EXPECT_EQ(limits_of("0.01").reads_out, 1);
  EXPECT_FALSE(parse_limits("none")->has_value());
  EXPECT_FALSE(parse_limits("")->has_value());
  for (const char* word : {"AWS", "-1", "0", "nan", "inf", "1x", "1e9"}) {
    EXPECT_EQ(parse_limits(word).code(), Code::kInvalidArgument) << word;
  }
}

TEST(ShardLimits, HoldInEverySecondAndOverManyOfThem) {
  ShardLimits limits(limits_of("aws"));
  std::deque<int64_t> taken;  // when
  int64_t total = 0;
  for (int64_t now = 0; now < 10'000; ++now) {
    for (int i = 0; i < 3; ++i) {
      while (!taken.empty() && taken.front() <= now - 1000) taken.pop_front();
      bool admitted = limits.admit(now, 1, 10);
      EXPECT_EQ(admitted, taken.size() < 1000) << now;
      if (!admitted) continue;
      taken.push_back(now);
      ++total;
    }
  }
  EXPECT_EQ(total, 10'000);
}

TEST(ShardLimits, ALargeRecordIsPaidBack) {
  ShardLimits limits(limits_of("aws"));
  EXPECT_TRUE(limits.admit(0, 1, 10 << 20));
  int64_t now = 0;
  while (!limits.admit(now, 1, 1)) ++now;
  EXPECT_EQ(now, 10'000);  // ten seconds' worth in ten seconds
  EXPECT_FALSE(limits.admit(now, 1, 10 << 20));
  // In a second that has been used it waits for a whole one.
  while (!limits.admit(now, 1, 10 << 20)) ++now;
  EXPECT_EQ(now, 11'000);
}

TEST(ShardLimits, FiveReadsAndTwoMebibytesASecond) {
  ShardLimits limits(limits_of("aws"));
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(limits.admit_read(i));
  EXPECT_FALSE(limits.admit_read(999));
  EXPECT_TRUE(limits.admit_read(1000));
  limits.note_read(1000, 10 << 20);
  // 10 MiB block the shard for the next five seconds.
  EXPECT_FALSE(limits.admit_read(5999));
  EXPECT_TRUE(limits.admit_read(6000));
}

Buffer batch_of(int count, size_t value_bytes) {
  RecordBatchBuilder builder;
  for (int i = 0; i < count; ++i) {
    builder.add(100 + i, "key" + std::to_string(i), std::string(value_bytes, 'v'));
  }
  return Buffer::from_string(*builder.build());
}

TEST(ShardLimits, ABatchIsCutWhereTheLimitIsReached) {
  ShardLimits limits(limits_of("aws"));
  ASSERT_TRUE(limits.admit(0, 997, 0));
  auto admitted = admit_records(limits, 0, batch_of(5, 10));
  ASSERT_TRUE(admitted.ok());
  EXPECT_EQ(admitted->records, 3);
  EXPECT_EQ(admitted->refused, 2);
  EXPECT_EQ(admitted->refused_bytes, 2 * 14);
  auto it = RecordIterator::open(admitted->batch.view(), 1 << 20);
  Record record;
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(it->next(record));
    EXPECT_EQ(record.key, "key" + std::to_string(i));
    EXPECT_EQ(record.timestamp_ms, 100 + i);
  }
  EXPECT_FALSE(it->next(record));
  admitted = admit_records(limits, 0, batch_of(5, 10));
  EXPECT_EQ(admitted->records, 0);
  EXPECT_TRUE(admitted->batch.empty());
  Buffer whole = batch_of(5, 10);
  admitted = admit_records(limits, 2000, whole);
  EXPECT_EQ(admitted->records, 5);
  EXPECT_EQ(admitted->batch.data(), whole.data());
}

TEST(ShardLimits, ReadsAreCutByRecordsAndBytes) {
  std::vector<Batch> batches;
  for (int64_t base : {0, 5}) {
    Buffer bytes = batch_of(5, 96);
    patch_batch(const_cast<char*>(bytes.data()), Offset{base}, Term{1});
    batches.push_back({*parse_batch_header(bytes.view()), bytes});
  }
  auto cut = cut_records(batches, Offset{3}, 4, 1000);
  EXPECT_EQ(cut->records, 4);
  EXPECT_EQ(cut->next, Offset{7});
  cut = cut_records(batches, Offset{3}, 100, 350);
  EXPECT_EQ(cut->records, 3);
  EXPECT_EQ(cut->bytes, 300);
  cut = cut_records(batches, Offset{3}, 100, 1);
  EXPECT_EQ(cut->records, 1);
  cut = cut_records(batches, Offset{3}, 100, 10'000);
  EXPECT_EQ(cut->next, Offset{10});
  EXPECT_EQ(cut_records({}, Offset{3}, 100, 10'000)->next, Offset{3});
}

}  // namespace
}  // namespace broker::partition
