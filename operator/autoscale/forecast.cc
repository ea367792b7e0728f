#include "operator/autoscale/forecast.h"

#include <algorithm>
#include <cmath>

namespace sluice_operator::autoscale {

namespace {
constexpr int64_t kPeaksMs = 8LL * 24 * 3600 * 1000;  // the longest window that is asked for
constexpr size_t kTrendLooks = 4;
constexpr int64_t kFallMs = 20'000;      // that long below the level is no dip
constexpr int64_t kMinuteMs = 60'000;
// Rare looks are too few to be counted: what one look in 50 goes beyond is stretched, as in a normal
// distribution, to one in 20 000. Looks come every second: one in 2000 would be taken for a step twice
// an hour, and a step is followed by a split of every shard and held for minutes.
constexpr double kUsualAtFirst = 1.2, kSeenEnough = 300;
constexpr double kSeen = 0.02, kStretch = 1.9;
// A window that tells the load no better than the other by so much does not replace it.
constexpr double kBetter = 0.005;
}  // namespace

// ---- Residuals ----

void Residuals::fade(int64_t elapsed_ms) {
  double fade = std::exp2(-static_cast<double>(elapsed_ms) / kHalfLifeMs);
  for (double& weight : weight_) weight *= fade;
  total_ *= fade;
}

void Residuals::add(double level_before, double load_now) {
  if (level_before <= 0 || load_now >= level_before * kStep) return;
  total_ += load_now;
  double over = load_now / level_before - 1;
  if (over < 0) return;
  size_t bin = std::min(static_cast<size_t>(over * kBins / (kStep - 1)), kBins - 1);
  weight_[bin] += level_before;
}

double Residuals::beyond(double share) const {
  double above = 0;
  for (size_t bin = kBins; bin-- > 0;) {
    above += weight_[bin];
    if (above > total_ * share) return 1 + (kStep - 1) * static_cast<double>(bin + 1) / kBins;
  }
  return 1;
}

double Residuals::headroom(double budget) const {
  if (total_ <= 0) return 1;
  // From the greatest factor down: what lies above the factor of each bin's lower edge.
  double allowed = budget * total_, above = 0, weights = 0;
  const double width = (kStep - 1) / kBins;
  for (size_t bin = kBins; bin-- > 0;) {
    above += weights * width + weight_[bin] * width / 2;
    weights += weight_[bin];
    if (above > allowed) return 1 + width * static_cast<double>(bin + 1);
  }
  return 1;
}

double Residuals::overflow(double factor) const {
  if (total_ <= 0) return 0;
  const double width = (kStep - 1) / kBins;
  double over = 0;
  for (size_t bin = 0; bin < kBins; bin++) {
    over += weight_[bin] * std::max(0.0, 1 + width * (static_cast<double>(bin) + 0.5) - factor);
  }
  return over / total_;
}

// ---- Noise ----

void Noise::fade(int64_t elapsed_ms) {
  for (Residuals* all : {&shorts_, &longs_, &minutes_}) all->fade(elapsed_ms);
}

void Noise::add(double short_before, double long_before, double load_now) {
  shorts_.add(short_before, load_now);
  longs_.add(long_before, load_now);
}

void Noise::settle(double budget) {
  double by_short = shorts_.headroom(budget), by_long = longs_.headroom(budget);
  long_ = long_ ? by_long <= by_short + kBetter : by_long < by_short - kBetter;
  double least = shorts_.total() < kSeenEnough ? kUsualAtFirst : 1.1;
  usual_ = std::max(least, 1 + kStretch * ((long_ ? longs_ : shorts_).beyond(kSeen) - 1));
  usual_minute_ = std::max(1.05, 1 + kStretch * (minutes_.beyond(kSeen) - 1));
}

// ---- Forecast ----

double Forecast::mean_of(size_t first, size_t last) const {
  if (first >= last) return 0;
  double before = recent_[first].sum - recent_[first].load;
  return (recent_[last - 1].sum - before) / static_cast<double>(last - first);
}

size_t Forecast::first_since(int64_t at_ms) const {
  auto it = std::lower_bound(recent_.begin() + static_cast<long>(begin_), recent_.end(), at_ms,
                             [](const Point& p, int64_t at) { return p.at_ms < at; });
  return static_cast<size_t>(it - recent_.begin());
}

void Forecast::begin_at(size_t index) {
  risen_ = mean_of(index, recent_.size()) > mean_of(begin_, index);
  begin_ = index;
}

void Forecast::find_step(const Noise& noise) {
  size_t n = recent_.size();
  int64_t now = recent_.back().at_ms;
  if (n - begin_ < 2) return;
  // Up: the last two looks, or the last one where it is as much above.
  size_t two = n - begin_ == 2 ? n - 1 : n - 2;
  double before = mean_of(begin_, two);
  double last = (recent_[n - 1].load + recent_[n - 2].load) / 2;
  if (last > before * noise.usual()) {
    bool both = two == n - 2 && recent_[two].load > before * noise.usual();
    return begin_at(both ? two : n - 1);
  }
  // Up or down by less than a look shows, or down for long enough to be no dip.
  size_t minute = first_since(now - kMinuteMs), fall = first_since(now - kFallMs);
  double highest = 0;  // lately: while it reaches the level, the load has not fallen
  for (size_t i = fall; i < n; i++) highest = std::max(highest, recent_[i].load);
  if (now - recent_[begin_].at_ms >= 2 * kMinuteMs) {
    double level = mean_of(begin_, minute), ratio = mean_of(minute, n) / level;
    bool fell = ratio * noise.usual_minute() < 1 && highest < level;
    if (ratio > noise.usual_minute() || fell) return begin_at(minute);
  }
  if (now - recent_[begin_].at_ms < 2 * kFallMs) return;
  double level = mean_of(begin_, fall);
  if (mean_of(fall, n) * noise.usual() < level && highest < level) begin_at(fall);
}

void Forecast::add(int64_t now_ms, double load, const Noise& noise) {
  recent_.push_back({now_ms, load, load + (recent_.empty() ? 0 : recent_.back().sum)});
  while (recent_.size() > 1 && now_ms - recent_.front().at_ms > Noise::kLongMs) {
    recent_.pop_front();
    if (begin_ > 0) begin_--;
  }
  find_step(noise);
  double now = level(noise);
  while (!peaks_.empty() && peaks_.back().level <= now) peaks_.pop_back();
  peaks_.push_back({now_ms, now});
  while (now_ms - peaks_.front().at_ms > kPeaksMs) peaks_.pop_front();
}

Forecast Forecast::scaled(double share) const {
  Forecast out = *this;
  for (auto& point : out.recent_) {
    point.load *= share;
    point.sum *= share;
  }
  for (auto& peak : out.peaks_) peak.level *= share;
  return out;
}

double Forecast::mean(int64_t window_ms) const {
  if (recent_.empty()) return 0;
  return mean_of(first_since(recent_.back().at_ms - window_ms), recent_.size());
}

int64_t Forecast::steady_ms() const {
  return recent_.empty() ? 0 : recent_.back().at_ms - recent_[begin_].at_ms;
}

bool Forecast::just_risen() const { return risen_ && steady_ms() < kMinuteMs; }

double Forecast::expected(int64_t ahead_ms, const Noise& noise) const {
  double now = level(noise);
  size_t n = recent_.size();
  if (!just_risen() || n < kTrendLooks) return now;
  double slowest = INFINITY;
  for (size_t i = n - kTrendLooks + 1; i < n; i++) {
    double step = recent_[i].load - recent_[i - 1].load;
    double elapsed = static_cast<double>(recent_[i].at_ms - recent_[i - 1].at_ms);
    if (step <= 0 || elapsed <= 0) return now;
    slowest = std::min(slowest, step / elapsed);
  }
  return std::max(now, recent_.back().load + slowest * static_cast<double>(ahead_ms));
}

double Forecast::peak(int64_t now_ms, int64_t window_ms) const {
  auto it = std::lower_bound(peaks_.begin(), peaks_.end(), now_ms - window_ms,
                             [](const Peak& p, int64_t at) { return p.at_ms < at; });
  return it == peaks_.end() ? 0 : it->level;
}

}  // namespace sluice_operator::autoscale
