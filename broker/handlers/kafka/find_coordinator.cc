// FindCoordinator: a group's coordinator is the leader of its partition of the coordinators'
// stream, which is made when it is first asked for. A transaction's coordinator is this broker,
// whose InitProducerId then refuses the transactional id: clients report that refusal, while an
// error here would be retried without a word.
#include "broker/handlers/kafka/group_requests.h"
#include "broker/handlers/kafka/handlers.h"
#include "broker/handlers/kafka/topics.h"

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

Answer name_broker(const Services& services, const Exchange& exchange, BrokerId id,
                   const char* otherwise) {
  const v1::Broker* broker = services.metadata.find_broker(id);
  if (!broker || !broker->alive() || broker->kafka().port() == 0) {
    return {Error::kCoordinatorNotAvailable, otherwise};
  }
  const v1::Endpoint& endpoint = kafka_endpoint(*broker, exchange);
  return {Error::kNone, std::nullopt, broker->id(), endpoint.host(), endpoint.port()};
}

Answer find(Context& context, const Exchange& exchange, int8_t key_type, const std::string& key) {
  if (key_type == kTransaction) {
    return name_broker(context.services, exchange, context.services.self,
                       "this broker is not registered yet");
  }
  if (key_type != kGroup) {
    return {Error::kInvalidRequest,
            "coordinators of type " + std::to_string(key_type) + " are not served by this version"};
  }
  if (!allowed_on_group(context.services, exchange, Operation::kDescribe, key)) {
    return {Error::kGroupAuthorizationFailed, "not authorized to describe the group"};
  }
  auto shard = context.groups->shard_of(key);
  if (!shard) {
    return {Error::kCoordinatorNotAvailable, "the coordinators' stream is being made"};
  }
  return name_broker(context.services, exchange, leader_of(context.services, *shard).broker,
                     "the group's partition has no leader now");
}

}  // namespace

void handle(Context& context, const ExchangePtr& exchange, wire::FindCoordinatorRequest request) {
  wire::FindCoordinatorResponse response;
  if (exchange->version() < 4) {
    Answer found = find(context, *exchange, request.key_type, request.key);
    response.error_code = exchange->fail(found.error);
    response.error_message = std::move(found.message);
    response.node_id = found.node_id;
    response.host = std::move(found.host);
    response.port = found.port;
    return respond(*exchange, response);
  }
  for (std::string& key : request.coordinator_keys) {
    Answer found = find(context, *exchange, request.key_type, key);
    auto& coordinator = response.coordinators.emplace_back();
    coordinator.key = std::move(key);
    coordinator.node_id = found.node_id;
    coordinator.host = std::move(found.host);
    coordinator.port = found.port;
    coordinator.error_code = exchange->fail(found.error);
    coordinator.error_message = std::move(found.message);
  }
  respond(*exchange, response);
}

}  // namespace broker::handlers::kafka
