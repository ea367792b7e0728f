#include "broker/handlers/kinesis/handlers.h"

#include "broker/handlers/kinesis/find.h"

namespace broker::handlers::kinesis {
namespace {

// Whose rate the call counts against, where AWS counts per stream or per shard.
struct RateSubject {
  template <class Request>
  std::string operator()(const Request& request) const {
    std::string name = name_in(request);
    if constexpr (requires { request.shard_iterator_type; })
      name = request.shard_id + " of " + name;
    return name;
  }
};

}  // namespace

Handlers::Handlers(Services services)
    : services_(std::move(services)),
      access_(services_),
      throttle_(services_),
      state_(services_),
      rates_(services_.clock, services_.options.operation_rates),
      key_tables_(services_.metadata),
      rescaler_(services_) {}

void Handlers::handle(wire::CallPtr call) {
  if (auto denied = access_.check(*call)) return call->fail(*denied);
  if (auto refused = throttle_.admit(*call)) return call->fail(*refused);
  const std::string subject = std::visit(RateSubject(), call->request());
  if (auto refused = rates_.admit(call->operation(), subject, call->caller())) {
    return call->fail(*refused);
  }
  if (!throttle_.counts_work()) return wire::dispatch(*this, call);
  const int64_t began_us = services_.clock.mono_us();
  wire::dispatch(*this, call);
  throttle_.worked(call->caller(), services_.clock.mono_us() - began_us);
}

}  // namespace broker::handlers::kinesis
