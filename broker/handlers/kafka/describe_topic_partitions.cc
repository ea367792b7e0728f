// DescribeTopicPartitions: partitions in pages, ordered by topic name and partition. Replicas that
// are in sync are all there is to elect from, so the eligible leader lists are empty.
#include <algorithm>

#include "broker/handlers/kafka/authorize.h"
#include "broker/handlers/kafka/handlers.h"
#include "broker/handlers/kafka/topics.h"

namespace broker::handlers::kafka {
namespace {

using Request = wire::DescribeTopicPartitionsRequest;
using Response = wire::DescribeTopicPartitionsResponse;
constexpr int32_t kPartitionsMax = 2000;

std::vector<std::string> names_in_order(const Services& services, const Exchange& exchange,
                                        const Request& request) {
  std::vector<std::string> names;
  for (const auto& topic : request.topics) names.push_back(topic.name);
  if (names.empty()) {
    for (const auto& stream : services.metadata.streams()) {
      if (allowed_on_topic(services, exchange, Operation::kDescribe, stream->name())) {
        names.push_back(stream->name());
      }
    }
  }
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

// Adds a topic's partitions from `first` on while `room` lasts; the index that did not fit, or -1.
int32_t add_topic(const Services& services, const cluster::Stream& stream, int32_t first,
                  int32_t& room, Response& response) {
  auto& topic = response.topics.emplace_back();
  topic.name = stream.name();
  topic.topic_id = stream.id;
  for (const v1::Shard& shard : stream.map.shards()) {
    if (shard.index() < first) continue;
    if (room == 0) return shard.index();
    --room;
    PartitionView view = view_partition(services, stream, shard);
    auto& partition = topic.partitions.emplace_back();
    partition.error_code = wire::wire(view.error);
    partition.partition_index = view.index;
    partition.leader_id = view.leader;
    partition.leader_epoch = view.epoch;
    partition.replica_nodes = std::move(view.replicas);
    partition.isr_nodes = std::move(view.in_sync);
    partition.offline_replicas = std::move(view.offline);
    partition.eligible_leader_replicas.emplace();
    partition.last_known_elr.emplace();
  }
  return -1;
}

}  // namespace

void handle(Context& context, const ExchangePtr& exchange, Request request) {
  const Services& services = context.services;
  Response response;
  int32_t room = std::clamp(request.response_partition_limit, 1, kPartitionsMax);
  for (const std::string& name : names_in_order(services, *exchange, request)) {
    int32_t first = 0;
    if (request.cursor) {
      if (name < request.cursor->topic_name) continue;
      if (name == request.cursor->topic_name) first = request.cursor->partition_index;
    }
    TopicRef ref = find_topic(services, *exchange, security::Operation::kDescribe, name);
    if (!ref.stream) {
      auto& unknown = response.topics.emplace_back();
      unknown.name = name;
      unknown.error_code = exchange->fail(ref.error);
      continue;
    }
    int32_t next = room > 0 ? add_topic(services, *ref.stream, first, room, response) : first;
    if (next >= 0) {
      response.next_cursor.emplace();
      response.next_cursor->topic_name = name;
      response.next_cursor->partition_index = next;
      break;
    }
  }
  respond(*exchange, response);
}

}  // namespace broker::handlers::kafka
