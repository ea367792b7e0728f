#pragma once
// A Kafka client's quotas (KIP-13, KIP-124, KIP-219, KIP-599): what a request took is recorded, its
// answer carries throttle_time_ms, and the connection is muted for that long. Used by the dispatcher and
// the handlers on the reactor. Invariant: an answer is never delayed, the next request is.
#include "broker/handlers/kafka/context.h"

namespace broker::handlers::kafka {

inline quotas::Client quota_client(const Exchange& exchange) {
  return {exchange.client->principal.user, exchange.header.client_id.value_or("")};
}

// The reactor works for the request while this lives.
class Working {
 public:
  explicit Working(Exchange& exchange);
  ~Working();
  Working(const Working&) = delete;
  Working& operator=(const Working&) = delete;

 private:
  Exchange& exchange_;
  bool counts_ = false;
};

// Records, and lets the client pause for it.
void charge(const Services& services, Exchange& exchange, quotas::Quota quota, double amount);
// The same for the work done so far, which is not counted again.
void charge_work(Exchange& exchange);
// Takes that many shards' worth of controller_mutation_rate. False from version `strict_from` on where
// it is used up: THROTTLING_QUOTA_EXCEEDED. Earlier versions are let through, and pause.
bool admit_mutations(const Services& services, Exchange& exchange, int16_t strict_from,
                     int64_t shards);

inline constexpr const char* kMutationsUsedUp =
    "The throttling quota has been exceeded: controller_mutation_rate";

}  // namespace broker::handlers::kafka
