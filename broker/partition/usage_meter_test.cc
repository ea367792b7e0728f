// The count of a shard from where its map stands, over reports, leaders and lost answers.
#include "broker/partition/usage_meter.h"

#include <gtest/gtest.h>

#include "broker/model/records.h"

namespace broker::partition {
namespace {

Batch batch_at(int64_t base, int records, size_t size) {
  RecordBatchBuilder builder;
  for (int i = 0; i < records; ++i) builder.add(1, "k", std::string(size, 'x'));
  std::string bytes = *builder.build();
  patch_batch(bytes.data(), Offset{base}, Term{1});
  auto header = *parse_batch_header(bytes);
  return {header, Buffer::from_string(std::move(bytes))};
}

TEST(UsageMeter, CountsCommittedBatchesFromWhereTheMapStands) {
  UsageMeter meter;
  meter.count(batch_at(0, 1, 10));  // not begun
  meter.follow(Offset{0}, Offset{0});
  meter.count(batch_at(0, 2, 10));
  meter.count(batch_at(2, 1, 30'000));
  EXPECT_EQ(meter.next(), Offset{3});
  auto told = meter.tell(Offset{2});
  EXPECT_EQ(told.end, Offset{2});
  EXPECT_EQ(told.counted.put_units, 2);
  told = meter.tell(Offset{3});
  EXPECT_EQ(told.end, Offset{3});
  EXPECT_EQ(told.counted.put_units, 4);
  EXPECT_EQ(told.counted.records, 3);
}

TEST(UsageMeter, GoesOnBehindAnyReportThatTheMapTook) {
  UsageMeter meter;
  meter.follow(Offset{0}, Offset{0});
  for (int64_t at = 0; at < 5; ++at) {
    meter.count(batch_at(at, 1, 10));
    meter.tell(Offset{at + 1});
  }
  meter.follow(Offset{2}, Offset{0});
  EXPECT_EQ(meter.from(), Offset{2});
  EXPECT_EQ(meter.next(), Offset{5});
  EXPECT_EQ(meter.tell(Offset{5}).counted.records, 3);
  meter.follow(Offset{5}, Offset{0});
  EXPECT_EQ(meter.tell(Offset{5}).counted.records, 0);
  EXPECT_EQ(meter.tell(Offset{5}).end, Offset{5});
}

TEST(UsageMeter, BeginsAgainWhereAnotherLeadersReportEnds) {
  UsageMeter meter;
  meter.follow(Offset{0}, Offset{0});
  meter.count(batch_at(0, 5, 10));
  meter.tell(Offset{5});
  meter.follow(Offset{3}, Offset{0});  // nobody here has told 3
  EXPECT_EQ(meter.next(), Offset{3});
  EXPECT_EQ(meter.tell(Offset{5}).end, Offset{3});
  meter.count(batch_at(5, 1, 10));  // there is a gap: the log is read first
  EXPECT_EQ(meter.next(), Offset{3});
}

TEST(UsageMeter, PassesOverWhatIsGone) {
  UsageMeter meter;
  meter.follow(Offset{0}, Offset{7});
  EXPECT_EQ(meter.next(), Offset{7});
  meter.count(batch_at(7, 1, 10));
  EXPECT_EQ(meter.tell(Offset{8}).end, Offset{8});
  EXPECT_EQ(meter.from(), Offset{0});
}

// A log that begins within a batch (DeleteRecords) was never counted again.
TEST(UsageMeter, GoesOnWhereTheLogBeginsWithinABatch) {
  UsageMeter meter;
  meter.follow(Offset{0}, Offset{7});
  meter.count(batch_at(5, 4, 10));
  EXPECT_EQ(meter.next(), Offset{9});
  EXPECT_EQ(meter.tell(Offset{9}).counted.records, 4);
  meter.count(batch_at(5, 4, 10));
  EXPECT_EQ(meter.tell(Offset{9}).counted.records, 4);
}

}  // namespace
}  // namespace broker::partition
