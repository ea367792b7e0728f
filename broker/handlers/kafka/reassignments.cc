// AlterPartitionReassignments and ListPartitionReassignments: an administrator's wish for a
// partition's replicas, as many as are named. The coordinator moves them one at a time and then leaves
// the partition where it was put; a null list gives the wish up. Once all partitions of a topic have
// another number than the topic, it is the topic's (adopt_copies).
#include <algorithm>

#include "broker/coordination/shard_map.h"
#include "broker/handlers/kafka/admin_batch.h"
#include "broker/handlers/kafka/handlers.h"
#include "broker/handlers/kafka/topics.h"

namespace broker::handlers::kafka {
namespace {

using Alter = wire::AlterPartitionReassignmentsRequest;
using Altered = wire::AlterPartitionReassignmentsResponse;
using List = wire::ListPartitionReassignmentsRequest;
using Listed = wire::ListPartitionReassignmentsResponse;

bool contains(const std::vector<int32_t>& brokers, int32_t broker) {
  return std::find(brokers.begin(), brokers.end(), broker) != brokers.end();
}

// Where a shard's replicas are, those that arrive and those that leave.
struct Moves {
  std::vector<int32_t> replicas, adding, removing;
  bool any() const { return !adding.empty() || !removing.empty(); }
};

Moves moves_of(const v1::Shard& shard) {
  Moves moves;
  std::vector<int32_t> wanted(shard.wanted_brokers().begin(), shard.wanted_brokers().end());
  for (const auto& replica : shard.replicas()) moves.replicas.push_back(replica.broker());
  if (wanted.empty()) return moves;
  for (int32_t broker : moves.replicas) {
    if (!contains(wanted, broker)) moves.removing.push_back(broker);
  }
  for (int32_t broker : wanted) {
    if (contains(moves.replicas, broker)) continue;
    moves.adding.push_back(broker);
    moves.replicas.push_back(broker);
  }
  return moves;
}

// `may_resize`: whether another number of replicas is wanted too (KIP-860).
std::pair<Error, std::string> judge(const Services& services, const TopicRef& topic,
                                    const Alter::Topic::Partition& asked, bool may_resize) {
  const v1::Shard* shard = topic.stream ? topic.stream->shard(asked.partition_index) : nullptr;
  if (!shard) return {Error::kUnknownTopicOrPartition, "The partition does not exist."};
  if (!asked.replicas) {
    if (moves_of(*shard).any()) return {Error::kNone, ""};
    return {Error::kNoReassignmentInProgress, "No partition reassignment is in progress."};
  }
  if (asked.replicas->empty()) {
    return {Error::kInvalidReplicaAssignment, "The replica list is empty."};
  }
  for (int32_t broker : *asked.replicas) {
    if (!services.metadata.find_broker(BrokerId{broker})) {
      return {Error::kInvalidReplicaAssignment,
              "broker " + std::to_string(broker) + " is not registered"};
    }
  }
  const int copies = coordination::copies_of(topic.stream->map, *shard);
  if (!may_resize && static_cast<int>(asked.replicas->size()) != copies) {
    return {Error::kInvalidReplicationFactor,
            "The replication factor is changed from " + std::to_string(copies) + " to " +
                std::to_string(asked.replicas->size())};
  }
  return {Error::kNone, ""};
}

}  // namespace

void handle(Context& context, const ExchangePtr& exchange, Alter request) {
  const Services& services = context.services;
  auto batch = std::make_shared<AdminBatch<Altered>>(services, exchange, request.timeout_ms);
  batch->response.allow_replication_factor_change = request.allow_replication_factor_change;
  for (const auto& asked : request.topics) {
    auto& topic = batch->response.responses.emplace_back();
    topic.name = asked.name;
    topic.partitions.resize(asked.partitions.size());
  }
  for (size_t t = 0; t < request.topics.size(); ++t) {
    const auto& asked = request.topics[t];
    TopicRef ref = find_topic(services.metadata, asked.name, {}, false);
    for (size_t p = 0; p < asked.partitions.size(); ++p) {
      const auto& partition = asked.partitions[p];
      auto& result = batch->response.responses[t].partitions[p];
      result.partition_index = partition.partition_index;
      auto [error, message] = judge(services, ref, partition, request.allow_replication_factor_change);
      if (error != Error::kNone) {
        result.error_code = exchange->fail(error);
        result.error_message = message;
        continue;
      }
      v1::AdminRequest ask;
      v1::ReassignShard& move = *ask.mutable_reassign_shard();
      move.set_stream(asked.name);
      move.set_index(partition.partition_index);
      if (partition.replicas) {
        move.mutable_brokers()->Assign(partition.replicas->begin(), partition.replicas->end());
      }
      batch->ask(std::move(ask), [b = batch.get(), t, p](const Result<v1::AdminResponse>& answer) {
        if (answer.ok()) return;
        auto& result = b->response.responses[t].partitions[p];
        bool bad = answer.code() == Code::kInvalidArgument;
        result.error_code = b->exchange().fail(bad ? Error::kInvalidReplicaAssignment
                                                   : admin_error(answer.code()));
        result.error_message = answer.status().message();
      });
    }
  }
  batch->finish();
}

void handle(Context& context, const ExchangePtr& exchange, List request) {
  const Services& services = context.services;
  Listed response;
  auto add = [&](const cluster::Stream& stream, const std::vector<int32_t>* indexes) {
    Listed::Topic topic;
    topic.name = stream.name();
    for (const v1::Shard& shard : stream.map.shards()) {
      if (indexes && !contains(*indexes, shard.index())) continue;
      Moves moves = moves_of(shard);
      if (!moves.any()) continue;
      topic.partitions.push_back({shard.index(), std::move(moves.replicas),
                                  std::move(moves.adding), std::move(moves.removing), {}});
    }
    if (!topic.partitions.empty()) response.topics.push_back(std::move(topic));
  };
  if (!request.topics) {
    for (const auto& stream : services.metadata.streams()) add(*stream, nullptr);
  } else {
    for (const auto& asked : *request.topics) {
      if (auto stream = services.metadata.find(asked.name)) add(*stream, &asked.partition_indexes);
    }
  }
  respond(*exchange, response);
}

}  // namespace broker::handlers::kafka
