#pragma once
// PURE: what a shard's load will be when new shards could take it, from what it was. Kept between
// looks by decide(). Loads are in shares of a shard's limit: 1 is full.
#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>

namespace sluice_operator::autoscale {

// How much more than expected loads have turned out to be: the weight of each factor, older ones
// fading.
class Residuals {
 public:
  // Beyond it a change is a step, which no headroom that is worth its price would cover.
  static constexpr double kStep = 1.5;

  void fade(int64_t elapsed_ms);  // once a look
  void add(double level_before, double load_now);
  // The factor that this share of the looks goes beyond, at most kStep.
  double beyond(double share) const;
  // The least factor on the level over which on average no more than `budget` of the load lies.
  double headroom(double budget) const;
  // The share of the load that lies over `factor` times the level on average.
  double overflow(double factor) const;
  double total() const { return total_; }  // load that was seen, in looks of full shards

 private:
  static constexpr double kHalfLifeMs = 60 * 60'000;
  static constexpr size_t kBins = 100;  // of 0.5 %
  std::array<double, kBins> weight_{};
  double total_ = 0;
};

// The noise of a stream's loads, by what forecasts over a minute and over ten were lately wrong by:
// load that is noise around a level is told best by a long mean, load that wanders by a short one.
class Noise {
 public:
  static constexpr int64_t kShortMs = 60'000, kLongMs = 600'000;

  void fade(int64_t elapsed_ms);
  void add(double short_before, double long_before, double load_now);
  void add_minute(double long_mean, double minute_mean) { minutes_.add(long_mean, minute_mean); }
  // Once a look, before its levels are asked for.
  void settle(double budget);
  int64_t window_ms() const { return long_ ? kLongMs : kShortMs; }
  double headroom(double budget) const { return (long_ ? longs_ : shorts_).headroom(budget); }
  double overflow(double factor) const { return (long_ ? longs_ : shorts_).overflow(factor); }
  // Factors on the level that noise hardly reaches: by a look, by the mean of a minute.
  double usual() const { return usual_; }
  double usual_minute() const { return usual_minute_; }

 private:
  Residuals shorts_, longs_, minutes_;
  bool long_ = false;
  double usual_ = 1.1, usual_minute_ = 1.05;
};

// The recent past of one load. Where the load has left its level by more than noise does, what was
// before is no longer looked at.
class Forecast {
 public:
  void add(int64_t now_ms, double load, const Noise& noise);
  // The past of a load of which this one is such a share.
  Forecast scaled(double share) const;
  bool empty() const { return recent_.empty(); }
  double latest() const { return recent_.empty() ? 0 : recent_.back().load; }
  size_t looks() const { return recent_.size(); }
  // The mean of the last `window_ms`, no older than the last change of level.
  double mean(int64_t window_ms) const;
  double level(const Noise& noise) const { return mean(noise.window_ms()); }
  // The level, and where it has just left a lower one and grown at each of the last looks, what it
  // will be after `ahead_ms` of the slowest of these growths: a single step is no trend.
  double expected(int64_t ahead_ms, const Noise& noise) const;
  // The highest level of the last `window_ms`.
  double peak(int64_t now_ms, int64_t window_ms) const;
  // For how long the level has not changed by more than noise does.
  int64_t steady_ms() const;
  // It has just left a lower level, and what it will be is known by a few looks.
  bool just_risen() const;

 private:
  struct Point {
    int64_t at_ms;
    double load, sum;  // sum: of this one and all before
  };
  struct Peak {
    int64_t at_ms;
    double level;
  };
  double mean_of(size_t first, size_t last) const;  // of [first, last)
  size_t first_since(int64_t at_ms) const;
  void begin_at(size_t index);
  void find_step(const Noise& noise);

  std::deque<Point> recent_;  // Noise::kLongMs, of which [begin_, end) are of this level
  size_t begin_ = 0;
  bool risen_ = false;        // this level is above the one before it
  std::deque<Peak> peaks_;    // falling levels, the highest first
};

}  // namespace sluice_operator::autoscale
