#include "broker/quotas/client_quotas.h"

#include <algorithm>

#include "broker/base/log.h"

namespace broker::quotas {
namespace {

constexpr const char* kAnonymous = "ANONYMOUS";
// Client ids are the clients' to choose: beyond so many there is one row of metrics for the others.
constexpr size_t kRowsMax = 1000;

std::string user_name(const Client& client) {
  return client.user.empty() ? kAnonymous : client.user;
}

}  // namespace

ClientQuotas::ClientQuotas(env::Clock& clock, Metrics& metrics)
    : clock_(clock),
      metrics_(metrics),
      in_force_(metrics.gauge("sluice_client_quotas", "Client quotas in force")) {}

void ClientQuotas::update(const sluice::v1::ClientQuotas& quotas) {
  for (auto& limits : limits_) limits.clear();
  for (auto& [key, use] : uses_) use.paused_until_ms = 0;
  double count = 0;
  for (const auto& quota : quotas.quotas()) {
    auto entity = parse_entity(quota.entity());
    if (!entity.ok()) {
      log_error("quotas", "a quota is not enforced", {{"why", entity.status().message()}});
      continue;
    }
    for (const auto& [name, value] : quota.values()) {
      auto known = find_quota(name);
      if (!known) {
        log_error("quotas", "a quota is not enforced", {{"quota", name}});
        continue;
      }
      limits_[static_cast<size_t>(*known)][*entity] = value;
      count += 1;
    }
  }
  in_force_.Set(count);
}

std::optional<Match> ClientQuotas::find(Quota quota, const Client& client) const {
  if (!any(quota)) return std::nullopt;
  return find_limit(limits_[static_cast<size_t>(quota)], user_name(client), client.client_id);
}

int64_t ClientQuotas::pause_ms(Quota quota, const Match& match, Use& use, int64_t now_ms) const {
  if (quota == Quota::kControllerMutationRate) return use.bucket.throttle_ms(now_ms, match.limit);
  const int64_t pause_ms = use.rate.throttle_ms(now_ms, match.limit);
  return quota == Quota::kRequestPercentage ? std::min(pause_ms, kWindowMs) : pause_ms;
}

int64_t ClientQuotas::record(Quota quota, const Client& client, double amount) {
  auto match = find(quota, client);
  if (!match) return 0;
  const int64_t now_ms = clock_.mono_ms();
  forget_idle(now_ms);
  Use& use = uses_[{quota, match->counted}];
  use.used_ms = now_ms;
  if (quota == Quota::kControllerMutationRate) {
    use.bucket.record(now_ms, match->limit, amount);
  } else {
    use.rate.record(now_ms, amount);
  }
  const int64_t pause = pause_ms(quota, *match, use, now_ms);
  if (pause == 0) return 0;
  use.paused_until_ms = std::max(use.paused_until_ms, now_ms + pause);
  note_pause(quota, match->counted, pause);
  return pause;
}

int64_t ClientQuotas::record_work(const Client& client, int64_t work_us) {
  return record(Quota::kRequestPercentage, client, static_cast<double>(work_us) * 100 / 1e6);
}

void ClientQuotas::take_back(Quota quota, const Client& client, double amount) {
  auto match = find(quota, client);
  if (!match) return;
  auto use = uses_.find({quota, match->counted});
  if (use != uses_.end()) use->second.rate.record(clock_.mono_ms(), -amount);
}

int64_t ClientQuotas::refusal_ms(Quota quota, const Client& client) {
  auto match = find(quota, client);
  if (!match) return 0;
  auto use = uses_.find({quota, match->counted});
  if (use == uses_.end()) return 0;
  const int64_t now_ms = clock_.mono_ms();
  const int64_t pause = quota == Quota::kControllerMutationRate
                            ? pause_ms(quota, *match, use->second, now_ms)
                            : std::max<int64_t>(0, use->second.paused_until_ms - now_ms);
  if (pause > 0) note_pause(quota, match->counted, pause);
  return pause;
}

int64_t ClientQuotas::bytes_max(Quota quota, const Client& client) const {
  auto match = find(quota, client);
  if (!match) return INT64_MAX;
  const double most = match->limit * (kWindows - 1) * kWindowMs / 1000;
  return most >= 9e18 ? INT64_MAX : static_cast<int64_t>(most);
}

void ClientQuotas::note_pause(Quota quota, const Entity& counted, int64_t pause_ms) {
  Key key{quota, counted};
  if (!throttles_.contains(key) && throttles_.size() >= kRowsMax) key.second = Entity{};
  auto [it, made] = throttles_.try_emplace(key);
  if (made) {
    Metrics::Labels labels{{"quota", std::string(to_string(quota))},
                           {"user", key.second.user.name},
                           {"client_id", key.second.client_id.name}};
    it->second = {&metrics_.counter("sluice_client_quota_throttled_requests_total",
                                    "Requests that went over a client quota", labels),
                  &metrics_.counter("sluice_client_quota_throttle_time_seconds_total",
                                    "Pauses that clients were told to make", labels)};
  }
  it->second.requests->Increment();
  it->second.seconds->Increment(static_cast<double>(pause_ms) / 1000);
}

// Of whoever did nothing for all windows nothing is left to be counted, but a debt of mutations.
void ClientQuotas::forget_idle(int64_t now_ms) {
  if (now_ms - forgot_ms_ < kSpanMs) return;
  forgot_ms_ = now_ms;
  for (auto it = uses_.begin(); it != uses_.end();) {
    it = is_idle(it->first, it->second, now_ms) ? uses_.erase(it) : std::next(it);
  }
}

bool ClientQuotas::is_idle(const Key& key, Use& use, int64_t now_ms) const {
  if (now_ms - use.used_ms < kSpanMs || now_ms < use.paused_until_ms) return false;
  if (key.first != Quota::kControllerMutationRate) return true;
  auto match = find_limit(limits_[static_cast<size_t>(key.first)], key.second.user.name,
                          key.second.client_id.name);
  return !match || use.bucket.full(now_ms, match->limit);
}

}  // namespace broker::quotas
