// The window in which shards are kept follows from what it costs to give them up and take them back:
// little within the allowance of actions, much beyond it.
#include "operator/autoscale/hold.h"

#include <gtest/gtest.h>

namespace sluice_operator::autoscale {
namespace {

// The window, in seconds, after half a day of a load that is low and high in turn, and a quarter
// before it in which it was high. Refused records weigh nothing here.
int64_t window_after(double low, int low_s, double high, int high_s) {
  Policy policy;
  policy.throttle_budget = 1;
  Noise noise;
  Forecast total;
  HoldWindow hold;
  for (int64_t t = 0; t < 18 * 3600; t += 2) {
    bool is_low = t >= 6 * 3600 && t % (low_s + high_s) < low_s;
    total.add(t * 1000, is_low ? low : high, noise);
    hold.add(policy, t * 1000, 2000, total, 1);
  }
  return hold.window_ms(policy) / 1000;
}

TEST(Hold, ActionsWithinTheAllowanceAreUsed) {
  EXPECT_EQ(window_after(20, 250, 40, 2000), 60);  // 1.7 for each shard and hour
}

TEST(Hold, ActionsBeyondTheAllowanceAreSaved) {
  EXPECT_EQ(window_after(10, 300, 30, 100), 480);  // more than ten
}

TEST(Hold, WhatIsSeldomNeededIsNotKept) {
  EXPECT_EQ(window_after(10, 7000, 30, 200), 60);
}

}  // namespace
}  // namespace sluice_operator::autoscale
