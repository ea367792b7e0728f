// The patterns as functions, against texts that keep and break them.
#include "broker/protocol/kinesis/patterns.h"

#include <gtest/gtest.h>

#include <string>

namespace broker::protocol::kinesis::patterns {
namespace {

TEST(KinesisPatterns, Names) {
  EXPECT_TRUE(name("aZ0_.-"));
  EXPECT_FALSE(name(""));
  EXPECT_FALSE(name("a b"));
  EXPECT_FALSE(name("é"));
}

TEST(KinesisPatterns, Numbers) {
  EXPECT_TRUE(number_39("0"));
  EXPECT_TRUE(number_39(std::string(39, '9')));
  EXPECT_FALSE(number_39(std::string(40, '9')));
  EXPECT_FALSE(number_39("00"));
  EXPECT_FALSE(number_39("-1"));
  EXPECT_FALSE(number_39(""));
  EXPECT_TRUE(number_129(std::string(129, '1')));
  EXPECT_FALSE(number_129(std::string(130, '1')));
}

TEST(KinesisPatterns, Arns) {
  EXPECT_TRUE(stream_arn("arn:aws:kinesis:us-east-1:123456789012:stream/a"));
  EXPECT_TRUE(stream_arn("arn:aws-cn:kinesis:x:123456789012:stream/a/b"));
  EXPECT_FALSE(stream_arn("arn:aws:kinesis:us-east-1:12345678901:stream/a"));
  EXPECT_FALSE(stream_arn("arn:aws:sqs:us-east-1:123456789012:stream/a"));
  EXPECT_FALSE(stream_arn("arn:aws:kinesis:us-east-1:123456789012:stream/"));
  EXPECT_FALSE(stream_arn("arn:aws:kinesis:us-east-1:123456789012:stream/a b"));
  EXPECT_FALSE(stream_arn("arn:aws:kinesis"));
  EXPECT_TRUE(consumer_arn("arn:aws:kinesis:r:123456789012:stream/a/consumer/c:15"));
  EXPECT_FALSE(consumer_arn("arn:aws:kinesis:r:123456789012:stream/a/consumer/c"));
  EXPECT_FALSE(consumer_arn("arn:aws:kinesis:r:123456789012:stream/a/consumer/c:x"));
  EXPECT_TRUE(resource_arn("arn:aws:kinesis:r:123456789012:stream/a/consumer/c:15"));
  EXPECT_TRUE(resource_arn("arn:aws:kinesis:r:123456789012:channel/a"));
  EXPECT_FALSE(resource_arn("arn:aws:kinesis:r:123456789012:queue/a"));
  EXPECT_FALSE(resource_arn("arn:aws:kinesis:r:123456789012:table/a"));
}

TEST(KinesisPatterns, StreamIds) {
  EXPECT_TRUE(stream_id("abcdefghij0123456789-abc"));
  EXPECT_FALSE(stream_id("abcdefghij0123456789-abC"));
  EXPECT_FALSE(stream_id("abcdefghij0123456789abcd"));
}

}  // namespace
}  // namespace broker::protocol::kinesis::patterns
