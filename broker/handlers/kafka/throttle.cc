#include "broker/handlers/kafka/throttle.h"

#include <algorithm>

namespace broker::handlers::kafka {

using quotas::Quota;

Working::Working(Exchange& exchange) : exchange_(exchange) {
  const Services* services = exchange.counts_work;
  if (!services || exchange.turn_began_us >= 0) return;
  if (!services->quotas->any(Quota::kRequestPercentage)) return;
  exchange.turn_began_us = services->clock.mono_us();
  counts_ = true;
}

Working::~Working() {
  if (!counts_) return;
  // Answered meanwhile: what was counted then is gone from work_us.
  if (exchange_.counts_work) {
    exchange_.work_us += exchange_.counts_work->clock.mono_us() - exchange_.turn_began_us;
  }
  exchange_.turn_began_us = -1;
}

void charge(const Services& services, Exchange& exchange, Quota quota, double amount) {
  if (!services.quotas) return;
  const int64_t pause_ms = services.quotas->record(quota, quota_client(exchange), amount);
  exchange.throttle_ms = std::max(exchange.throttle_ms, pause_ms);
}

void charge_work(Exchange& exchange) {
  const Services* services = std::exchange(exchange.counts_work, nullptr);
  if (!services) return;
  int64_t work_us = exchange.work_us;
  if (exchange.turn_began_us >= 0) work_us += services->clock.mono_us() - exchange.turn_began_us;
  if (work_us == 0) return;
  const int64_t pause_ms = services->quotas->record_work(quota_client(exchange), work_us);
  exchange.throttle_ms = std::max(exchange.throttle_ms, pause_ms);
}

void begin_pause(Exchange& exchange) {
  charge_work(exchange);
  if (exchange.throttle_ms > 0 && exchange.client->mute) exchange.client->mute(exchange.throttle_ms);
}

bool admit_mutations(const Services& services, Exchange& exchange, int16_t strict_from,
                     int64_t shards) {
  if (!services.quotas || !services.quotas->any(Quota::kControllerMutationRate)) return true;
  if (exchange.version() < strict_from) {
    charge(services, exchange, Quota::kControllerMutationRate, static_cast<double>(shards));
    return true;
  }
  const quotas::Client client = quota_client(exchange);
  const int64_t wait_ms = services.quotas->refusal_ms(Quota::kControllerMutationRate, client);
  if (wait_ms > 0) {
    exchange.throttle_ms = std::max(exchange.throttle_ms, wait_ms);
    return false;
  }
  // What overdraws it is done; the next one waits.
  services.quotas->record(Quota::kControllerMutationRate, client, static_cast<double>(shards));
  return true;
}

}  // namespace broker::handlers::kafka
