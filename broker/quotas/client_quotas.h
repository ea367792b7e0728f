#pragma once
// What every client of this broker has used of its quotas, whichever door it came by. The doors ask
// here and nowhere else: each records what a request took and pauses the client for what it is told
// (Kafka: throttle_time_ms and a muted connection; gRPC: no reading or writing on; Kinesis: the next
// request is refused). Made by app, told of quotas with the metadata. On the reactor.
// Invariant: a client that no quota is for is never counted, and costs a look-up at most.
#include <array>
#include <cstdint>
#include <map>
#include <string>

#include "broker/base/metrics.h"
#include "broker/env/env.h"
#include "broker/quotas/entity.h"
#include "broker/quotas/rate.h"

namespace broker::quotas {

struct Client {
  std::string user;       // of its principal; empty: anonymous, which is the user ANONYMOUS
  std::string client_id;  // as it calls itself
};

class ClientQuotas {
 public:
  ClientQuotas(env::Clock& clock, Metrics& metrics);
  // Those in force, all of them. What was used stays counted, pauses end.
  void update(const sluice::v1::ClientQuotas& quotas);

  bool any(Quota quota) const { return !limits_[static_cast<size_t>(quota)].empty(); }
  // Counts, and gives the milliseconds that the client is to pause; 0 where it is within its quota.
  int64_t record(Quota quota, const Client& client, double amount);
  // Of work of the reactor for a request, in microseconds; the pause is one window at most.
  int64_t record_work(const Client& client, int64_t work_us);
  // Takes back what was recorded and did not happen.
  void take_back(Quota quota, const Client& client, double amount);
  // For doors that refuse rather than delay: what is left of the longest pause that the client, or one
  // who shares its count, was told to make. (The rate alone stays high for up to all windows.)
  int64_t refusal_ms(Quota quota, const Client& client);
  // What one answer may hold of a quota counted in bytes: all windows but one. INT64_MAX: anything.
  int64_t bytes_max(Quota quota, const Client& client) const;

 private:
  struct Use {
    SampledRate rate;
    TokenBucket bucket;
    int64_t used_ms = 0, paused_until_ms = 0;
  };
  struct Throttles {
    prometheus::Counter* requests;
    prometheus::Counter* seconds;
  };
  using Key = std::pair<Quota, Entity>;

  std::optional<Match> find(Quota quota, const Client& client) const;
  int64_t pause_ms(Quota quota, const Match& match, Use& use, int64_t now_ms) const;
  void note_pause(Quota quota, const Entity& counted, int64_t pause_ms);
  void forget_idle(int64_t now_ms);
  bool is_idle(const Key& key, Use& use, int64_t now_ms) const;

  env::Clock& clock_;
  Metrics& metrics_;
  prometheus::Gauge& in_force_;
  std::array<Limits, kQuotas> limits_;
  std::map<Key, Use> uses_;
  std::map<Key, Throttles> throttles_;
  int64_t forgot_ms_ = 0;
};

}  // namespace broker::quotas
