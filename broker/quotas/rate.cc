#include "broker/quotas/rate.h"

#include <algorithm>
#include <cmath>

namespace broker::quotas {
namespace {

// A quota may be as small as anybody likes: a pause is never more than a day.
constexpr double kThrottleMsMax = 86'400'000;

int64_t to_ms(double ms) {
  return static_cast<int64_t>(std::llround(std::clamp(ms, 0.0, kThrottleMsMax)));
}

}  // namespace

void SampledRate::record(int64_t now_ms, double amount) {
  forget_old(now_ms);
  if (samples_.empty() || now_ms - samples_.back().began_ms >= kWindowMs) {
    samples_.push_back({now_ms, 0});
  }
  samples_.back().sum += amount;
}

void SampledRate::forget_old(int64_t now_ms) {
  while (!samples_.empty() && now_ms - samples_.front().began_ms >= kSpanMs) samples_.pop_front();
}

// What has gone by since the oldest sample began, and at least all windows but the current one.
int64_t SampledRate::span_ms(int64_t now_ms) const {
  int64_t elapsed_ms = samples_.empty() ? 0 : now_ms - samples_.front().began_ms;
  const int64_t whole = elapsed_ms / kWindowMs;
  if (whole < kWindows - 1) elapsed_ms += (kWindows - 1 - whole) * kWindowMs;
  return std::max<int64_t>(elapsed_ms, 1);
}

double SampledRate::per_second(int64_t now_ms) {
  forget_old(now_ms);
  double sum = 0;
  for (const Sample& sample : samples_) sum += sample.sum;
  return sum * 1000 / static_cast<double>(span_ms(now_ms));
}

int64_t SampledRate::throttle_ms(int64_t now_ms, double limit) {
  const double rate = per_second(now_ms);
  if (rate <= limit) return 0;
  if (limit <= 0) return static_cast<int64_t>(kThrottleMsMax);
  return to_ms((rate - limit) / limit * static_cast<double>(span_ms(now_ms)));
}

void TokenBucket::fill(int64_t now_ms, double limit) {
  const double most = limit * kSpanMs / 1000;
  if (!begun_) {
    tokens_ = most;
    begun_ = true;
  } else {
    tokens_ = std::min(most, tokens_ + static_cast<double>(now_ms - filled_ms_) * limit / 1000);
  }
  filled_ms_ = now_ms;
}

void TokenBucket::record(int64_t now_ms, double limit, double amount) {
  fill(now_ms, limit);
  tokens_ -= amount;
}

int64_t TokenBucket::throttle_ms(int64_t now_ms, double limit) {
  fill(now_ms, limit);
  if (tokens_ >= 0) return 0;
  if (limit <= 0) return static_cast<int64_t>(kThrottleMsMax);
  return std::max<int64_t>(1, to_ms(-tokens_ / limit * 1000));
}

bool TokenBucket::full(int64_t now_ms, double limit) {
  fill(now_ms, limit);
  return tokens_ >= limit * kSpanMs / 1000;
}

}  // namespace broker::quotas
