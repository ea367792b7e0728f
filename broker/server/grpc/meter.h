#pragma once
// Client quotas at the gRPC door (broker/quotas): a client over its quota is not read from, or not
// written to, until its pause is over; a unary call begins later; changes of shards are refused with
// RESOURCE_EXHAUSTED. gRPC's clients have no client id: it is empty. On the reactor.
#include <algorithm>
#include <string>

#include "broker/handlers/grpc/handlers.h"
#include "broker/quotas/client_quotas.h"
#include "broker/server/grpc/caller.h"

namespace broker::server::grpc {

class Meter {
 public:
  // `quotas` may be null: nobody pauses.
  Meter(quotas::ClientQuotas* quotas, Gate& gate, env::Clock& clock)
      : quotas_(quotas), gate_(gate), clock_(clock) {}

  // Milliseconds to pause after what a call took or gave.
  int64_t bytes(const Claim& claim, quotas::Quota quota, size_t bytes) {
    if (!counts(quota)) return 0;
    return quotas_->record(quota, client_of(claim), static_cast<double>(bytes));
  }
  // Does `work`, and gives the pause that the reactor's time for it costs.
  template <class Work>
  int64_t work(const Claim& claim, Work work) {
    if (!counts(quotas::Quota::kRequestPercentage)) {
      work();
      return 0;
    }
    const int64_t began_us = clock_.mono_us();
    work();
    return quotas_->record_work(client_of(claim), clock_.mono_us() - began_us);
  }
  // How long a call waits before it begins.
  int64_t wait_ms(const Claim& claim) {
    if (!counts(quotas::Quota::kRequestPercentage)) return 0;
    return quotas_->refusal_ms(quotas::Quota::kRequestPercentage, client_of(claim));
  }
  // Shards that a call makes, removes, splits or merges.
  Status admit_mutations(const Claim& claim, int64_t shards) {
    constexpr auto kRate = quotas::Quota::kControllerMutationRate;
    if (shards == 0 || !counts(kRate)) return {};
    const quotas::Client client = client_of(claim);
    const int64_t wait_ms = quotas_->refusal_ms(kRate, client);
    if (wait_ms > 0) {
      return Status(Code::kResourceExhausted, "the quota controller_mutation_rate is used up; try "
                                              "again in " + std::to_string(wait_ms) + " ms");
    }
    quotas_->record(kRate, client, static_cast<double>(shards));
    return {};
  }

 private:
  bool counts(quotas::Quota quota) const { return quotas_ && quotas_->any(quota); }
  quotas::Client client_of(const Claim& claim) { return {gate_.user_of(claim), ""}; }

  quotas::ClientQuotas* quotas_;
  Gate& gate_;
  env::Clock& clock_;
};

}  // namespace broker::server::grpc
