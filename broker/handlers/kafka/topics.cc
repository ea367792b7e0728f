#include "broker/handlers/kafka/topics.h"

#include <algorithm>

#include "broker/handlers/kafka/authorize.h"
#include "broker/model/internal_streams.h"
#include "broker/partition/partition.h"

namespace broker::handlers::kafka {

bool is_legal_topic_name(std::string_view name) {
  if (name.empty() || name.size() > 249 || name == "." || name == "..") return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
  });
}

bool is_internal_topic(std::string_view name) {
  return is_internal_stream(name) || name == "__transaction_state" ||
         name == "__share_group_state" || name == "__cluster_metadata" || name == "__sluice_kinesis";
}

Uuid parse_uuid(std::string_view text) {
  return Uuid::parse(text).value_or(Uuid{});
}

TopicRef find_topic(const cluster::Metadata& metadata, std::string_view name, const Uuid& id,
                    bool by_id) {
  TopicRef ref;
  if (by_id) {
    ref.stream = metadata.find(id);
    if (!ref.stream) ref.error = Error::kUnknownTopicId;
  } else {
    ref.stream = metadata.find(name);
    if (!ref.stream) {
      ref.error = is_legal_topic_name(name) ? Error::kUnknownTopicOrPartition
                                            : Error::kInvalidTopicException;
    }
  }
  return ref;
}

namespace {

bool changes(security::Operation operation) {
  return operation == security::Operation::kWrite || operation == security::Operation::kAlter ||
         operation == security::Operation::kDelete ||
         operation == security::Operation::kAlterConfigs;
}

}  // namespace

TopicRef find_topic(const Services& services, Exchange& exchange, security::Operation operation,
                    std::string_view name, const Uuid& id, bool by_id) {
  TopicRef ref = find_topic(services.metadata, name, id, by_id);
  std::string_view subject = ref.stream ? std::string_view(ref.stream->name()) : name;
  // An id that names nothing tells nothing.
  if (!ref.stream && by_id) return ref;
  if (!allowed_on_topic(services, exchange, operation, subject)) {
    return {nullptr, Error::kTopicAuthorizationFailed};
  }
  // The brokers' own state is theirs to change.
  if (is_internal_stream(subject) && changes(operation)) {
    return {nullptr, Error::kInvalidTopicException};
  }
  return ref;
}

const v1::Endpoint& kafka_endpoint(const v1::Broker& broker, const Exchange& exchange) {
  const std::string& name = exchange.client->listener;
  if (!name.empty()) {
    for (const auto& listener : broker.listeners()) {
      if (listener.name() == name) return listener.endpoint();
    }
  }
  return broker.kafka();
}

Leader leader_of(const Services& services, const ShardId& id) {
  Leader leader;
  if (const v1::Shard* shard = services.metadata.find_shard(id)) {
    // While a term has no leader, clients hear of the one before: they take a leader only with an
    // epoch above any that they have heard, and this term's leader is still to come.
    leader.term = Term{shard->has_leader() ? shard->term() : shard->term() - 1};
    if (shard->has_leader()) leader.broker = BrokerId{shard->leader()};
  }
  const partition::Partition* partition = services.find_partition(id);
  if (partition && partition->leader() && partition->term() >= leader.term) {
    leader = {*partition->leader(), partition->term()};
  }
  return leader;
}

Led find_led(const Services& services, const cluster::Stream& stream, int32_t index,
             int32_t leader_epoch) {
  Led led;
  led.id = {stream.id, index};
  if (!stream.shard(index)) {
    led.error = Error::kUnknownTopicOrPartition;
    return led;
  }
  led.partition = services.find_partition(led.id);
  if (!led.partition || !led.partition->is_leader()) {
    led.error = Error::kNotLeaderOrFollower;
    led.leader = leader_of(services, led.id);
    return led;
  }
  Term term = led.partition->term();
  if (leader_epoch >= 0 && Term{leader_epoch} != term) {
    led.error = Term{leader_epoch} < term ? Error::kFencedLeaderEpoch : Error::kUnknownLeaderEpoch;
    led.leader = {services.self, term};
  }
  return led;
}

std::vector<const v1::Broker*> live_brokers(const cluster::Metadata& metadata) {
  std::vector<const v1::Broker*> live;
  for (const auto& [id, broker] : metadata.brokers()) {
    if (broker.alive() && broker.kafka().port() != 0) live.push_back(&broker);
  }
  return live;
}

int32_t controller_id(const cluster::Metadata& metadata) {
  auto live = live_brokers(metadata);
  return live.empty() ? -1 : live.front()->id();
}

PartitionView view_partition(const Services& services, const cluster::Stream& stream,
                             const v1::Shard& shard) {
  PartitionView view;
  view.index = shard.index();
  Leader leader = leader_of(services, {stream.id, shard.index()});
  view.leader = leader.broker.value;
  view.epoch = leader.term.value;
  for (const v1::Replica& replica : shard.replicas()) {
    view.replicas.push_back(replica.broker());
    const v1::Broker* broker = services.metadata.find_broker(BrokerId{replica.broker()});
    (broker && broker->alive() ? view.in_sync : view.offline).push_back(replica.broker());
  }
  const v1::Broker* broker = services.metadata.find_broker(leader.broker);
  if (!broker || !broker->alive()) {
    view.error = Error::kLeaderNotAvailable;
    view.leader = -1;
  }
  return view;
}

}  // namespace broker::handlers::kafka
