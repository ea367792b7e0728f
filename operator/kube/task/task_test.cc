// A stop wakes sleepers at once, runs the actions that are registered then, and no others.
#include "operator/kube/task/task.h"

#include <gtest/gtest.h>

#include <atomic>

namespace sluice_operator::kube {
namespace {

TEST(StopSignal, WakesASleeperAndRunsActions) {
  StopSignal signal;
  std::atomic<int> ran{0};
  bool cut_short = false;
  Thread sleeper("sleeper", [&] { cut_short = signal.wait_ms(60'000); });
  {
    OnStop gone(signal, [&] { ran += 100; });
  }
  OnStop stays(signal, [&] { ran += 1; });
  EXPECT_FALSE(signal.wait_ms(1));
  signal.stop();
  signal.stop();
  sleeper.join();
  EXPECT_TRUE(cut_short);
  EXPECT_EQ(ran, 1);
  OnStop late(signal, [&] { ran += 10; });
  EXPECT_EQ(ran, 11);
}

}  // namespace
}  // namespace sluice_operator::kube
