#pragma once
// PURE: what a shard's load will be when new shards could take it, from what it was. Kept between
// looks by decide(). Loads are in shares of a shard's limit: 1 is full.
#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>

namespace sluice_operator::autoscale {

// The recent past of one load.
class Forecast {
 public:
  static constexpr int64_t kLevelMs = 60'000;

  void add(int64_t now_ms, double load);
  bool empty() const { return recent_.empty(); }
  double latest() const { return recent_.empty() ? 0 : recent_.back().load; }
  // What the load is: the mean of the last minute; where the last two looks were above it by more
  // than the factor `usual`, which noise reaches, the load has risen and it is the last look's. A
  // dip counts only as it lasts.
  double level(double usual) const;
  double mean() const;
  // The level, and where the load has grown at each of the last looks, what it will be after
  // `ahead_ms` of the slowest of these growths: a single step is no trend.
  double expected(int64_t ahead_ms, double usual) const;
  // The highest mean of a minute in the last `window_ms`.
  double peak(int64_t now_ms, int64_t window_ms) const;
  int64_t since_ms() const { return since_ms_; }

 private:
  struct Point {
    int64_t at_ms;
    double load;
  };
  std::deque<Point> recent_;  // kLevelMs
  double sum_ = 0;            // of recent_
  std::deque<Point> peaks_;   // falling means of a minute, the highest first
  int64_t since_ms_ = 0;
};

// How much more than expected loads have turned out to be: the weight of each factor, older ones
// fading.
class Residuals {
 public:
  // Beyond it a change is a step, which no headroom that is worth its price would cover.
  static constexpr double kStep = 1.5;

  void fade(int64_t elapsed_ms);  // once a look
  void add(double level_before, double load_now);
  // The factor that a look in 200 goes beyond; between 1.1 and kStep.
  double usual() const;
  // The least factor on the level over which on average no more than `budget` of the load lies.
  double headroom(double budget) const;

 private:
  static constexpr double kHalfLifeMs = 20 * 60'000;
  static constexpr size_t kBins = 100;  // of 0.5 %
  std::array<double, kBins> weight_{};
  double total_ = 0;
};

}  // namespace sluice_operator::autoscale
