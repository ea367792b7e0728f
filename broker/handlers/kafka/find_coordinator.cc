// FindCoordinator. Consumer groups are not served yet, so there is no coordinator to name: clients
// keep asking, as they do of a cluster that is starting. A transaction's coordinator is this
// broker, whose InitProducerId then refuses the transactional id: clients report that refusal,
// while an error here would be retried without a word.
#include "broker/handlers/kafka/handlers.h"

namespace broker::handlers::kafka {
namespace {

constexpr int8_t kGroup = 0, kTransaction = 1;

struct Answer {
  Error error = Error::kNone;
  std::optional<std::string> message;
  int32_t node_id = -1;
  std::string host;
  int32_t port = -1;
};

Answer answer(const Services& services, int8_t key_type) {
  if (key_type == kGroup) {
    return {Error::kCoordinatorNotAvailable,
            "consumer groups are not served by this version; assign partitions by hand"};
  }
  if (key_type != kTransaction) {
    return {Error::kInvalidRequest,
            "coordinators of type " + std::to_string(key_type) + " are not served by this version"};
  }
  const v1::Broker* self = services.metadata.find_broker(services.self);
  if (!self) return {Error::kCoordinatorNotAvailable, "this broker is not registered yet"};
  return {Error::kNone, std::nullopt, self->id(), self->kafka().host(), self->kafka().port()};
}

}  // namespace

void handle(Context& context, const ExchangePtr& exchange, wire::FindCoordinatorRequest request) {
  Answer found = answer(context.services, request.key_type);
  wire::FindCoordinatorResponse response;
  response.error_code = exchange->fail(found.error);
  response.error_message = found.message;
  response.node_id = found.node_id;
  response.host = found.host;
  response.port = found.port;
  for (std::string& key : request.coordinator_keys) {
    auto& coordinator = response.coordinators.emplace_back();
    coordinator.key = std::move(key);
    coordinator.node_id = found.node_id;
    coordinator.host = found.host;
    coordinator.port = found.port;
    coordinator.error_code = wire::wire(found.error);
    coordinator.error_message = found.message;
  }
  respond(*exchange, response);
}

}  // namespace broker::handlers::kafka
