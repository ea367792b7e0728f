// Metadata: brokers, topics and who leads. A topic that is asked for by name and missing is created
// first, where the client allows it and the broker's setting does; the answer then waits for it.
#include <set>

#include "broker/handlers/kafka/admin_batch.h"
#include "broker/handlers/kafka/authorize.h"
#include "broker/handlers/kafka/departed_brokers.h"
#include "broker/handlers/kafka/handlers.h"
#include "broker/handlers/kafka/topics.h"

namespace broker::handlers::kafka {
namespace {

using Request = wire::MetadataRequest;
using Response = wire::MetadataResponse;
using Topic = Response::Topic;

constexpr int16_t kRebootstrapVersionMin = 13;
constexpr int32_t kCreateMs = 10'000;
constexpr size_t kCreatedAtOnceMax = 100;

Topic describe(const Services& services, const cluster::Stream& stream) {
  Topic topic;
  topic.name = stream.name();
  topic.topic_id = stream.id;
  topic.is_internal = is_internal_topic(stream.name());
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

Topic lookup(const Services& services, Exchange& exchange, const Request::Topic& asked) {
  bool by_id = !asked.name.has_value();
  TopicRef ref = find_topic(services, exchange, security::Operation::kDescribe, asked.name.value_or(""),
                            asked.topic_id, by_id);
  if (ref.stream) return describe(services, *ref.stream);
  Topic unknown;
  unknown.name = asked.name;
  unknown.topic_id = asked.topic_id;
  unknown.error_code = exchange.fail(ref.error);
  return unknown;
}

Response answer(const Context& context, Exchange& exchange, const Request& request) {
  const Services& services = context.services;
  Response response;
  auto brokers = live_brokers(services.metadata);
  // A broker that knows of no cluster sends its client back to the bootstrap servers (KIP-1102).
  if (brokers.empty() && exchange.version() >= kRebootstrapVersionMin) {
    response.error_code = exchange.fail(Error::kRebootstrapRequired);
    return response;
  }
  for (const v1::Broker* broker : context.departed_brokers->listed()) brokers.push_back(broker);
  for (const v1::Broker* broker : brokers) {
    auto& node = response.brokers.emplace_back();
    node.node_id = broker->id();
    const v1::Endpoint& reached = kafka_endpoint(*broker, exchange);
    node.host = reached.host();
    node.port = reached.port();
    if (!broker->zone().empty()) node.rack = broker->zone();
  }
  if (!services.metadata.cluster_id().empty()) response.cluster_id = services.metadata.cluster_id();
  response.controller_id = controller_id(services.metadata);
  bool all = !request.topics || (exchange.version() == 0 && request.topics->empty());
  if (all) {
    for (const auto& stream : services.metadata.streams()) {
      if (!allowed_on_topic(services, exchange, Operation::kDescribe, stream->name())) continue;
      response.topics.push_back(describe(services, *stream));
    }
    return response;
  }
  for (const auto& topic : *request.topics) {
    response.topics.push_back(lookup(services, exchange, topic));
  }
  return response;
}

std::set<std::string> names_to_create(const Services& services, const Request& request) {
  std::set<std::string> names;
  if (!request.topics || !request.allow_auto_topic_creation ||
      !services.options.auto_create_topics) {
    return names;
  }
  for (const auto& topic : *request.topics) {
    if (!topic.name || services.metadata.find(*topic.name) || !is_legal_topic_name(*topic.name) ||
        is_internal_topic(*topic.name) || names.size() == kCreatedAtOnceMax) {
      continue;
    }
    names.insert(*topic.name);
  }
  return names;
}

}  // namespace

void handle(Context& context, const ExchangePtr& exchange, Request request) {
  const Services& services = context.services;
  std::set<std::string> missing = names_to_create(services, request);
  if (missing.empty()) return respond(*exchange, answer(context, *exchange, request));
  auto left = std::make_shared<size_t>(missing.size());
  auto shared = std::make_shared<Request>(std::move(request));
  for (const std::string& name : missing) {
    v1::AdminRequest ask;
    ask.mutable_create_stream()->set_name(name);
    v1::StreamConfig& config = *ask.mutable_create_stream()->mutable_config();
    config.set_mode(v1::STREAM_MODE_PARTITIONED);
    config.set_partitions(services.options.num_partitions);
    services.admin(std::move(ask), kCreateMs,
                   [&context, exchange, left, shared](const Result<v1::AdminResponse>&) {
                     // Made, made by somebody else meanwhile, or unknown as before: what is, is told.
                     if (--*left == 0) respond(*exchange, answer(context, *exchange, *shared));
                   });
  }
}

}  // namespace broker::handlers::kafka
