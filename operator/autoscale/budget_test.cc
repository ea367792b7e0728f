#include "operator/autoscale/budget.h"

#include <gtest/gtest.h>

namespace sluice_operator::autoscale {
namespace {

constexpr double kBudget = 0.0005;
constexpr int64_t kHourMs = 3600'000;

TEST(Budget, IsItselfWhileNothingIsKnown) {
  Budget budget;
  EXPECT_DOUBLE_EQ(budget.planned(kBudget), kBudget);
  budget.add(1000, 10, 0);
  EXPECT_NEAR(budget.planned(kBudget), kBudget, kBudget * 0.01);
}

TEST(Budget, GrowsWhileHardlyAnythingIsRefusedButNotBeyondItsBound) {
  Budget budget;
  double last = kBudget;
  for (int hour = 0; hour < 48; hour++) {
    for (int look = 0; look < 60; look++) budget.add(kHourMs / 60, 10, 0);
    EXPECT_GT(budget.planned(kBudget), last - 1e-12);
    last = budget.planned(kBudget);
  }
  EXPECT_GT(last, 3 * kBudget);
  EXPECT_LT(last, Budget::kMostBudgets * kBudget);
}

TEST(Budget, IsItselfAgainWhenAllOfItIsUsedUp) {
  Budget budget;
  for (int look = 0; look < 600; look++) budget.add(60'000, 10, 0);
  budget.add(60'000, 20, 10);  // a step that was followed late
  EXPECT_DOUBLE_EQ(budget.planned(kBudget), kBudget);
  // Half a day later it is forgotten, but for a part.
  for (int look = 0; look < 720; look++) budget.add(60'000, 10, 0);
  EXPECT_GT(budget.planned(kBudget), 2 * kBudget);
}

TEST(Budget, OfNothingIsNothing) {
  Budget budget;
  for (int look = 0; look < 600; look++) budget.add(60'000, 10, 0);
  EXPECT_EQ(budget.planned(0), 0);
}

}  // namespace
}  // namespace sluice_operator::autoscale
