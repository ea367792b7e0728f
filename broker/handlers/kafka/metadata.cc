// Metadata: brokers, topics and who leads. Topics are never created here.
#include "broker/handlers/kafka/handlers.h"
#include "broker/handlers/kafka/topics.h"

namespace broker::handlers::kafka {
namespace {

using Topic = wire::MetadataResponse::Topic;

Topic describe(const Services& services, const cluster::Stream& stream) {
  Topic topic;
  topic.name = stream.name();
  topic.topic_id = stream.id;
  for (const v1::Shard& shard : stream.map.shards()) {
    PartitionView view = view_partition(services, stream, shard);
    auto& partition = topic.partitions.emplace_back();
    partition.error_code = wire::wire(view.error);
    partition.partition_index = view.index;
    partition.leader_id = view.leader;
    partition.leader_epoch = view.epoch;
    partition.replica_nodes = std::move(view.replicas);
    partition.isr_nodes = std::move(view.in_sync);
    partition.offline_replicas = std::move(view.offline);
  }
  return topic;
}

Topic lookup(const Services& services, Exchange& exchange,
             const wire::MetadataRequest::Topic& asked) {
  bool by_id = !asked.name.has_value();
  TopicRef ref = find_topic(services.metadata, asked.name.value_or(""), asked.topic_id, by_id);
  if (ref.stream) return describe(services, *ref.stream);
  Topic unknown;
  unknown.name = asked.name;
  unknown.topic_id = asked.topic_id;
  unknown.error_code = exchange.fail(ref.error);
  return unknown;
}

}  // namespace

void handle(Context& context, const ExchangePtr& exchange, wire::MetadataRequest request) {
  const Services& services = context.services;
  wire::MetadataResponse response;
  for (const v1::Broker* broker : live_brokers(services.metadata)) {
    auto& node = response.brokers.emplace_back();
    node.node_id = broker->id();
    node.host = broker->kafka().host();
    node.port = broker->kafka().port();
    if (!broker->zone().empty()) node.rack = broker->zone();
  }
  if (!services.metadata.cluster_id().empty()) response.cluster_id = services.metadata.cluster_id();
  response.controller_id = controller_id(services.metadata);
  bool all = !request.topics || (exchange->version() == 0 && request.topics->empty());
  if (all) {
    for (const auto& stream : services.metadata.streams()) {
      response.topics.push_back(describe(services, *stream));
    }
  } else {
    for (const auto& topic : *request.topics) {
      response.topics.push_back(lookup(services, *exchange, topic));
    }
  }
  respond(*exchange, response);
}

}  // namespace broker::handlers::kafka
