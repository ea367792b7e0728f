// The seal is a well-formed Kafka control batch and keeps its table.
#include "broker/partition/seal.h"

#include <gtest/gtest.h>

namespace broker::partition {
namespace {

TEST(Seal, RoundTripsAsAControlBatch) {
  std::string bytes = make_seal("table", 1234);
  auto header = parse_batch_header(bytes);
  ASSERT_TRUE(header.ok());
  EXPECT_TRUE(header->control());
  EXPECT_TRUE(batch_crc_matches(bytes));
  EXPECT_EQ(static_cast<size_t>(header->size), bytes.size());
  Batch batch{*header, Buffer::from_string(bytes)};
  auto table = parse_seal(batch);
  ASSERT_TRUE(table.ok());
  EXPECT_EQ(*table, "table");
  batch.header.attributes = 0;
  EXPECT_EQ(parse_seal(batch).code(), Code::kNotFound);
}

}  // namespace
}  // namespace broker::partition
