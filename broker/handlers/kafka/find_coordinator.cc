// FindCoordinator: consumer groups are not served yet, so there is no coordinator to name: clients
// keep asking, as they do of a cluster that is starting. Transactions and share groups are refused
// for good, so that their clients fail at once and say why.
#include "broker/handlers/kafka/handlers.h"

namespace broker::handlers::kafka {
namespace {

constexpr int8_t kGroup = 0, kTransaction = 1;

std::pair<Error, std::string> answer(int8_t key_type) {
  if (key_type == kGroup) {
    return {Error::kCoordinatorNotAvailable,
            "consumer groups are not served by this version; assign partitions by hand"};
  }
  if (key_type == kTransaction) {
    return {Error::kUnsupportedVersion, "transactions are not served by this version"};
  }
  return {Error::kInvalidRequest, "coordinators of type " + std::to_string(key_type) +
                                      " are not served by this version"};
}

}  // namespace

void handle(Context&, const ExchangePtr& exchange, wire::FindCoordinatorRequest request) {
  auto [error, message] = answer(request.key_type);
  wire::FindCoordinatorResponse response;
  response.error_code = exchange->fail(error);
  response.error_message = message;
  response.node_id = -1;
  response.port = -1;
  for (std::string& key : request.coordinator_keys) {
    auto& coordinator = response.coordinators.emplace_back();
    coordinator.key = std::move(key);
    coordinator.node_id = -1;
    coordinator.port = -1;
    coordinator.error_code = wire::wire(error);
    coordinator.error_message = message;
  }
  respond(*exchange, response);
}

}  // namespace broker::handlers::kafka
