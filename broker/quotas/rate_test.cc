// The numbers are those of Kafka's documentation and of its formula, worked out by hand.
#include "broker/quotas/rate.h"

#include <gtest/gtest.h>

namespace broker::quotas {
namespace {

TEST(SampledRate, TheFirstMomentsCountAsTenWindows) {
  SampledRate rate;
  rate.record(5000, 10'000);
  EXPECT_DOUBLE_EQ(rate.per_second(5000), 1000);  // in 10 s
  EXPECT_EQ(rate.throttle_ms(5000, 1000), 0);
}

TEST(SampledRate, ThePauseBringsTheRateToTheLimit) {
  SampledRate rate;
  rate.record(0, 20'000);  // 2000/s over 10 s
  // (2000 - 1000) / 1000 * 10 s: after 10 s more the 20,000 are 1000/s of 20 s.
  EXPECT_EQ(rate.throttle_ms(0, 1000), 10'000);
}

TEST(SampledRate, SteadyTrafficBelowTheLimitIsNeverPaused) {
  SampledRate rate;
  for (int64_t now = 0; now < 60'000; now += 100) {
    rate.record(now, 100);
    EXPECT_EQ(rate.throttle_ms(now, 1100), 0) << now;
  }
  EXPECT_NEAR(rate.per_second(60'000), 1000, 100);
}

TEST(SampledRate, ForgetsAfterElevenWindows) {
  SampledRate rate;
  rate.record(0, 1'000'000);
  EXPECT_GT(rate.throttle_ms(10'999, 1), 0);
  EXPECT_DOUBLE_EQ(rate.per_second(11'000), 0);
  EXPECT_EQ(rate.throttle_ms(11'000, 1), 0);
}

TEST(SampledRate, TakesBackWhatDidNotHappen) {
  SampledRate rate;
  rate.record(0, 50'000);
  rate.record(10, -50'000);
  EXPECT_DOUBLE_EQ(rate.per_second(10), 0);
}

TEST(SampledRate, ALimitOfNothingStopsAll) {
  SampledRate rate;
  EXPECT_EQ(rate.throttle_ms(0, 0), 0);
  rate.record(0, 1);
  EXPECT_EQ(rate.throttle_ms(0, 0), 86'400'000);
}

TEST(TokenBucket, ABurstOfAllWindowsThenAPause) {
  TokenBucket bucket;
  bucket.record(0, 2, 22);  // 11 windows of 2
  EXPECT_EQ(bucket.throttle_ms(0, 2), 0);
  bucket.record(0, 2, 10);
  EXPECT_EQ(bucket.throttle_ms(0, 2), 5000);
  EXPECT_EQ(bucket.throttle_ms(4000, 2), 1000);
  EXPECT_EQ(bucket.throttle_ms(5000, 2), 0);
  EXPECT_FALSE(bucket.full(5000, 2));
  EXPECT_TRUE(bucket.full(16'000, 2));
}

TEST(TokenBucket, ASmallerQuotaLeavesAtMostItsOwnBurst) {
  TokenBucket bucket;
  bucket.record(0, 100, 0);
  bucket.record(0, 1, 12);
  EXPECT_EQ(bucket.throttle_ms(0, 1), 1000);
}

}  // namespace
}  // namespace broker::quotas
