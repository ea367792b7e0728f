// DescribeQuorum and UpdateFeatures. No broker votes on metadata: the coordinator writes it and
// Kubernetes' etcd agrees on it. Tools get the closest true picture: the broker that is named
// controller stands for the coordinator, the others observe, and an offset is the number of updates
// that this broker has taken. There are no features to raise or lower.
#include "broker/handlers/kafka/authorize.h"
#include "broker/handlers/kafka/handlers.h"
#include "broker/handlers/kafka/topics.h"

namespace broker::handlers::kafka {
namespace {

using Response = wire::DescribeQuorumResponse;
constexpr std::string_view kMetadataTopic = "__cluster_metadata";

void describe(const Services& services, Response::Topic::Partition& partition) {
  const cluster::Metadata& metadata = services.metadata;
  int64_t now_ms = services.clock.wall_ms();
  auto version = static_cast<int64_t>(metadata.version());
  partition.leader_id = controller_id(metadata);
  partition.leader_epoch = 0;
  partition.high_watermark = version;
  for (const v1::Broker* broker : live_brokers(metadata)) {
    Uuid directory = parse_uuid(broker->directory());
    if (broker->id() == partition.leader_id) {
      partition.current_voters.push_back({broker->id(), directory, version, now_ms, now_ms, {}});
    } else {
      partition.observers.push_back({broker->id(), directory, version, now_ms, now_ms, {}});
    }
  }
}

}  // namespace

void handle(Context& context, const ExchangePtr& exchange, wire::DescribeQuorumRequest request) {
  const Services& services = context.services;
  Response response;
  for (const auto& asked : request.topics) {
    auto& topic = response.topics.emplace_back();
    topic.topic_name = asked.topic_name;
    for (const auto& p : asked.partitions) {
      auto& partition = topic.partitions.emplace_back();
      partition.partition_index = p.partition_index;
      if (asked.topic_name == kMetadataTopic && p.partition_index == 0) {
        describe(services, partition);
      } else {
        partition.error_code = exchange->fail(Error::kUnknownTopicOrPartition);
      }
    }
  }
  for (const v1::Broker* broker : live_brokers(services.metadata)) {
    auto& node = response.nodes.emplace_back();
    node.node_id = broker->id();
    const v1::Endpoint& reached = kafka_endpoint(*broker, *exchange);
    node.listeners.push_back(
        {"PLAINTEXT", reached.host(), static_cast<uint16_t>(reached.port()), {}});
  }
  respond(*exchange, response);
}

void handle(Context& context, const ExchangePtr& exchange, wire::UpdateFeaturesRequest request) {
  wire::UpdateFeaturesResponse response;
  if (!allowed_on_cluster(context.services, *exchange, Operation::kAlter)) {
    response.error_code = exchange->fail(Error::kClusterAuthorizationFailed);
    return respond(*exchange, response);
  }
  // A failed update fails the whole request, at every version: Kafka 4 answers a feature of its own
  // (versions 0 and 1) only where all were updated.
  if (!request.feature_updates.empty()) {
    response.error_code = exchange->fail(Error::kInvalidUpdateVersion);
    response.error_message =
        "The update failed for all features since " + request.feature_updates[0].feature +
        " had an error: features come with the version of the brokers; none can be changed";
  }
  respond(*exchange, response);
}

void handle(Context& context, const ExchangePtr& exchange, wire::UnregisterBrokerRequest request) {
  wire::UnregisterBrokerResponse response;
  if (!allowed_on_cluster(context.services, *exchange, Operation::kAlter)) {
    response.error_code = exchange->fail(Error::kClusterAuthorizationFailed);
  } else if (!context.services.metadata.find_broker(BrokerId{request.broker_id})) {
    response.error_code = exchange->fail(Error::kBrokerIdNotRegistered);
    response.error_message = "broker " + std::to_string(request.broker_id) + " is not registered";
  } else {
    response.error_code = exchange->fail(Error::kPolicyViolation);
    response.error_message =
        "brokers are removed by lowering spec.brokers of the StreamCluster, which empties them "
        "first";
  }
  respond(*exchange, response);
}

}  // namespace broker::handlers::kafka
