#include "operator/autoscale/forecast.h"

#include <algorithm>
#include <cmath>

namespace sluice_operator::autoscale {

namespace {
constexpr int64_t kPeaksMs = 8LL * 24 * 3600 * 1000;  // the longest window that is asked for
constexpr size_t kTrendLooks = 4;
}  // namespace

void Forecast::add(int64_t now_ms, double load) {
  if (recent_.empty()) since_ms_ = now_ms;
  recent_.push_back({now_ms, load});
  sum_ += load;
  while (recent_.size() > 1 && now_ms - recent_.front().at_ms > kLevelMs) {
    sum_ -= recent_.front().load;
    recent_.pop_front();
  }
  while (!peaks_.empty() && peaks_.back().load <= mean()) peaks_.pop_back();
  peaks_.push_back({now_ms, mean()});
  while (now_ms - peaks_.front().at_ms > kPeaksMs) peaks_.pop_front();
}

double Forecast::mean() const {
  return recent_.empty() ? 0 : sum_ / static_cast<double>(recent_.size());
}

double Forecast::level(double usual) const {
  size_t n = recent_.size();
  if (n < 2) return mean();
  double last = recent_[n - 1].load, two = (last + recent_[n - 2].load) / 2;
  double before = n == 2 ? recent_[0].load : (sum_ - 2 * two) / static_cast<double>(n - 2);
  return two > before * usual ? std::max(last, two) : mean();
}

double Forecast::expected(int64_t ahead_ms, double usual) const {
  double now = level(usual);
  size_t n = recent_.size();
  if (n < kTrendLooks) return now;
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
                             [](const Point& p, int64_t at) { return p.at_ms < at; });
  return it == peaks_.end() ? mean() : it->load;
}

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

double Residuals::usual() const {
  double above = 0;
  for (size_t bin = kBins; bin-- > 0;) {
    above += weight_[bin];
    double factor = 1 + (kStep - 1) * static_cast<double>(bin + 1) / kBins;
    if (above > total_ * 0.005) return std::max(1.1, factor);
  }
  return 1.1;
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

}  // namespace sluice_operator::autoscale
