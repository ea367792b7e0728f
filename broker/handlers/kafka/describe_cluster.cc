// DescribeCluster: the brokers that are alive.
#include "broker/handlers/kafka/handlers.h"
#include "broker/handlers/kafka/topics.h"

namespace broker::handlers::kafka {
namespace {
constexpr int8_t kBrokers = 1;
}

void handle(Context& context, const ExchangePtr& exchange, wire::DescribeClusterRequest request) {
  const cluster::Metadata& metadata = context.services.metadata;
  wire::DescribeClusterResponse response;
  response.endpoint_type = request.endpoint_type;
  response.cluster_id = metadata.cluster_id();
  response.controller_id = controller_id(metadata);
  if (request.endpoint_type != kBrokers) {
    response.error_code = exchange->fail(Error::kMismatchedEndpointType);
    response.error_message = "there are no controllers to connect to; ask for brokers (type 1)";
    return respond(*exchange, response);
  }
  for (const v1::Broker* info : live_brokers(metadata)) {
    auto& broker = response.brokers.emplace_back();
    broker.broker_id = info->id();
    const v1::Endpoint& reached = kafka_endpoint(*info, *exchange);
    broker.host = reached.host();
    broker.port = reached.port();
    if (!info->zone().empty()) broker.rack = info->zone();
  }
  respond(*exchange, response);
}

}  // namespace broker::handlers::kafka
