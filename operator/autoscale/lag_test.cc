// A group that reads and falls further behind counts; the sawtooth of its commits, a group that has
// gone, and one that keeps pace do not.
#include "operator/autoscale/lag.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

namespace sluice_operator::autoscale {
namespace {

class Reader {
 public:
  // A second at a time; a thousand records come in each, the group commits every `commit_s`.
  StreamLag after(int seconds, double reads_per_s, int commit_s = 5) {
    for (int i = 0; i < seconds; i++) {
      now_ms += 1000;
      end += 1000;
      read = std::min(end, read + reads_per_s);
      if (reads_per_s > 0 && now_ms / 1000 % commit_s == 0) committed = read;
      Offsets offsets;
      offsets.ends["s"][0] = end;
      offsets.committed["s"]["g"][0] = committed;
      if (change) change(offsets);
      tracker.add(now_ms, offsets);
    }
    auto lags = tracker.lags();
    return lags.contains("s") ? lags["s"] : StreamLag{};
  }
  LagTracker tracker;
  int64_t now_ms = 1'000'000;
  double end = 0, read = 0, committed = 0;
  std::function<void(Offsets&)> change;
};

TEST(Lag, AReaderThatFallsFurtherBehindGrows) {
  Reader reader;
  reader.after(120, 1000);
  auto lag = reader.after(120, 500);
  EXPECT_EQ(lag.growing, std::set<int32_t>{0});
  EXPECT_EQ(lag.group, "g");
  EXPECT_NEAR(lag.records, 60'000, 6'000);
  EXPECT_NEAR(lag.growth_per_s, 500, 150);
}

TEST(Lag, NothingGrowsBeforeAWholeMinuteIsSeen) {
  Reader reader;
  EXPECT_TRUE(reader.after(50, 100).growing.empty());
}

TEST(Lag, CommittingByTheClockIsNoGrowth) {
  for (int commit_s : {1, 5, 30}) {
    Reader reader;
    for (int i = 0; i < 120; i++) {
      EXPECT_TRUE(reader.after(2, 1000, commit_s).growing.empty()) << commit_s << " " << i;
    }
  }
}

TEST(Lag, AReaderThatCatchesUpOrKeepsPaceDoesNotGrow) {
  Reader reader;
  reader.after(200, 500);
  EXPECT_TRUE(reader.after(120, 1000).growing.empty());  // as far behind as it was
  auto lag = reader.after(60, 1500);
  EXPECT_TRUE(lag.growing.empty());
  EXPECT_GT(lag.records, 10'000);
  EXPECT_LT(lag.growth_per_s, 0);
}

TEST(Lag, AGroupThatHasGoneKeepsNothing) {
  Reader reader;
  reader.after(120, 500);
  EXPECT_FALSE(reader.after(5 * 60, 0).growing.empty());  // perhaps it comes back
  EXPECT_TRUE(reader.after(10 * 60, 0).growing.empty());
}

TEST(Lag, AnEndThatIsMissingIsNotKnownUntilTheShardIsGone) {
  Reader reader;
  reader.after(120, 500);
  reader.change = [](Offsets& offsets) { offsets.ends["s"] = {{7, 1}}; };
  auto lag = reader.after(30, 500);
  EXPECT_EQ(lag.unknown, std::set<int32_t>{0});
  EXPECT_TRUE(lag.growing.empty());
  EXPECT_TRUE(reader.after(60, 500).unknown.empty());  // deleted by retention: its offset stays
}

TEST(Lag, AStreamWithoutAnyEndIsNotKnownForAsLongAsItTakes) {
  Reader reader;
  reader.change = [](Offsets& offsets) { offsets.ends.clear(); };
  EXPECT_EQ(reader.after(1, 500).unknown, std::set<int32_t>{0});
  EXPECT_EQ(reader.after(300, 500).unknown, std::set<int32_t>{0});
}

}  // namespace
}  // namespace sluice_operator::autoscale
