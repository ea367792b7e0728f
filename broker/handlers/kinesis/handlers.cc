#include "broker/handlers/kinesis/handlers.h"

#include "broker/handlers/kinesis/find.h"

namespace broker::handlers::kinesis {
namespace {

// Whose rate the call counts against, where AWS counts per stream or per shard.
struct Subject {
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
      state_(services_),
      rates_(services_.clock, services_.options.operation_rates),
      key_tables_(services_.metadata),
      rescaler_(services_) {}

void Handlers::handle(wire::CallPtr call) {
  const std::string subject = std::visit(Subject(), call->request());
  if (auto refused = rates_.admit(call->operation(), subject, call->caller())) {
    return call->fail(*refused);
  }
  wire::dispatch(*this, call);
}

}  // namespace broker::handlers::kinesis
