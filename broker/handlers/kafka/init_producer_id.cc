// InitProducerId for idempotent producers. A transactional id is refused with UNSUPPORTED_VERSION:
// the Java client's and kafka-python's transactions fail at once with it, librdkafka's name it when
// their time is over; errors of coordinators or authorisation would be retried or mislead.
#include "broker/handlers/kafka/authorize.h"
#include "broker/handlers/kafka/handlers.h"
#include "broker/handlers/kafka/producer_ids.h"

namespace broker::handlers::kafka {

void handle(Context& context, const ExchangePtr& exchange, wire::InitProducerIdRequest request) {
  if (request.transactional_id) {
    wire::InitProducerIdResponse response;
    response.producer_epoch = -1;
    response.error_code = exchange->fail(
        request.transactional_id->empty() ? Error::kInvalidRequest : Error::kUnsupportedVersion);
    return respond(*exchange, response);
  }
  const Services& services = context.services;
  bool may_write =
      allowed_on_cluster(services, *exchange, Operation::kIdempotentWrite) ||
      services.authorizer->allowed_on_any(exchange->client->principal, Operation::kWrite,
                                          Resource::kTopic);
  if (!may_write) {
    wire::InitProducerIdResponse response;
    response.producer_epoch = -1;
    response.error_code = exchange->fail(Error::kClusterAuthorizationFailed);
    return respond(*exchange, response);
  }
  context.producer_ids->next([exchange](Result<int64_t> id) {
    wire::InitProducerIdResponse response;
    if (id.ok()) {
      response.producer_id = *id;
      response.producer_epoch = 0;
    } else {
      // Retried by every client, without looking for another coordinator.
      response.error_code = exchange->fail(Error::kCoordinatorLoadInProgress);
      response.producer_epoch = -1;
    }
    respond(*exchange, response);
  });
}

}  // namespace broker::handlers::kafka
