#pragma once
// Finding what a request names: topics by name or id, partitions and their leaders, and the rules
// of topic names. Used by all handlers on the reactor.
#include <optional>
#include <string_view>
#include <vector>

#include "broker/handlers/kafka/context.h"
#include "broker/model/shard.h"
#include "broker/proto/metadata.pb.h"

namespace broker::handlers::kafka {

// Kafka's rule: 1 to 249 of [a-zA-Z0-9._-], not "." or "..".
bool is_legal_topic_name(std::string_view name);
// Topics that the brokers keep for themselves, by Kafka's names; clients do not create them.
bool is_internal_topic(std::string_view name);
Uuid parse_uuid(std::string_view text);  // zero when it is none

// Versions with topic ids carry no names: one of the two is set.
struct TopicRef {
  cluster::StreamPtr stream;  // null when not found
  Error error = Error::kNone;
};
TopicRef find_topic(const cluster::Metadata& metadata, std::string_view name, const Uuid& id,
                    bool by_id);
// The same for a client that must be allowed `operation` on the topic: TOPIC_AUTHORIZATION_FAILED
// otherwise, whether there is such a topic or not.
TopicRef find_topic(const Services& services, Exchange& exchange, security::Operation operation,
                    std::string_view name, const Uuid& id = {}, bool by_id = false);

// Where a broker is reached by clients that came by this request's listener.
const v1::Endpoint& kafka_endpoint(const v1::Broker& broker, const Exchange& exchange);

struct Leader {
  BrokerId broker = kNoBroker;
  Term term = kNoTerm;
};
// As far as this broker knows; its own replica knows sooner than the metadata.
Leader leader_of(const Services& services, const ShardId& id);

// The partition that a client means to reach at its leader, or why not.
struct Led {
  ShardId id;
  partition::Partition* partition = nullptr;
  Error error = Error::kNone;
  Leader leader;  // set with NOT_LEADER_OR_FOLLOWER and the epoch errors
};
// Checks in Kafka's order: exists, led here, and `leader_epoch` (>= 0) against the term (KIP-320).
Led find_led(const Services& services, const cluster::Stream& stream, int32_t index,
             int32_t leader_epoch);

// The brokers that clients may connect to, by id.
std::vector<const v1::Broker*> live_brokers(const cluster::Metadata& metadata);
// Any broker takes administrative requests; the lowest id is named so that answers agree. -1: none.
int32_t controller_id(const cluster::Metadata& metadata);

// A shard as Kafka's partition. In sync and offline are views of who is alive.
struct PartitionView {
  Error error = Error::kNone;
  int32_t index = 0;
  int32_t leader = -1;
  int32_t epoch = -1;
  std::vector<int32_t> replicas, in_sync, offline;
};
PartitionView view_partition(const Services& services, const cluster::Stream& stream,
                             const v1::Shard& shard);

// Fills the tagged `node_endpoints` of Produce and Fetch with a leader's address, once.
template <class Endpoints>
void add_endpoint(const Services& services, const Exchange& exchange, BrokerId broker,
                  Endpoints& endpoints) {
  const v1::Broker* info = services.metadata.find_broker(broker);
  if (!info) return;
  for (const auto& known : endpoints) {
    if (known.node_id == broker.value) return;
  }
  auto& endpoint = endpoints.emplace_back();
  endpoint.node_id = broker.value;
  const v1::Endpoint& reached = kafka_endpoint(*info, exchange);
  endpoint.host = reached.host();
  endpoint.port = reached.port();
  if (!info->zone().empty()) endpoint.rack = info->zone();
}

}  // namespace broker::handlers::kafka
