#pragma once
// How fast something happened lately, and how long to pause for it to be within a quota: Kafka's
// sampled rate (quota.window.num samples of quota.window.size.seconds) and its token bucket
// (KIP-599). Used by ClientQuotas on the reactor; pure, the caller says what time it is.
// Invariant: a rate never counts less than all full windows but one, so that what comes in the first
// moments is not taken for a flood.
#include <cstdint>
#include <deque>

namespace broker::quotas {

inline constexpr int kWindows = 11;            // quota.window.num
inline constexpr int64_t kWindowMs = 1000;     // quota.window.size.seconds
inline constexpr int64_t kSpanMs = kWindows * kWindowMs;

class SampledRate {
 public:
  // A negative amount takes back what was recorded and did not happen.
  void record(int64_t now_ms, double amount);
  double per_second(int64_t now_ms);
  // How long nothing may be added until the rate is at `limit`; 0 when it is not above it.
  int64_t throttle_ms(int64_t now_ms, double limit);

 private:
  struct Sample {
    int64_t began_ms;
    double sum;
  };
  void forget_old(int64_t now_ms);
  int64_t span_ms(int64_t now_ms) const;

  std::deque<Sample> samples_;
};

// Fills with `limit` tokens a second up to all windows' worth. It may be overdrawn once; then nothing
// is let in until it is paid back.
class TokenBucket {
 public:
  void record(int64_t now_ms, double limit, double amount);
  // How long until it is not overdrawn.
  int64_t throttle_ms(int64_t now_ms, double limit);
  bool full(int64_t now_ms, double limit);

 private:
  void fill(int64_t now_ms, double limit);

  double tokens_ = 0;
  int64_t filled_ms_ = 0;
  bool begun_ = false;
};

}  // namespace broker::quotas
