// ElectLeaders: hands leadership to the preferred replicas. Unclean elections are refused: a leader
// always has every committed record.
#include "broker/handlers/kafka/admin_batch.h"
#include "broker/handlers/kafka/handlers.h"
#include "broker/handlers/kafka/topics.h"

namespace broker::handlers::kafka {
namespace {

using Request = wire::ElectLeadersRequest;
using Response = wire::ElectLeadersResponse;
constexpr int8_t kUnclean = 1;

Error election_error(Code code) {
  switch (code) {
    case Code::kAlreadyExists:
      return Error::kElectionNotNeeded;
    case Code::kUnavailable:
      return Error::kPreferredLeaderNotAvailable;
    case Code::kTimeout:
      return Error::kRequestTimedOut;
    default:
      return admin_error(code);
  }
}

void elect(AdminBatch<Response>& batch, const TopicRef& ref, const std::string& topic,
           int32_t index, bool all) {
  size_t t = batch.response.replica_election_results.size() - 1;
  auto& results = batch.response.replica_election_results[t].partition_result;
  const v1::Shard* shard = ref.stream ? ref.stream->shard(index) : nullptr;
  // Asked for everything, only what is done or fails is told.
  bool leads = shard && shard->has_leader() && shard->leader() == shard->replicas(0).broker();
  if (all && leads) return;
  size_t p = results.size();
  auto& result = results.emplace_back();
  result.partition_id = index;
  if (!shard || leads) {
    result.error_code = batch.exchange().fail(leads ? Error::kElectionNotNeeded
                                                    : Error::kUnknownTopicOrPartition);
    result.error_message = leads ? "Leader election not needed for topic partition."
                                 : "The partition does not exist.";
    return;
  }
  v1::AdminRequest ask;
  ask.mutable_elect_preferred()->set_stream(topic);
  ask.mutable_elect_preferred()->set_index(index);
  batch.ask(std::move(ask), [b = &batch, t, p](const Result<v1::AdminResponse>& answer) {
    if (answer.ok()) return;
    auto& result = b->response.replica_election_results[t].partition_result[p];
    result.error_code = b->exchange().fail(election_error(answer.code()));
    result.error_message = answer.status().message();
  });
}

}  // namespace

void handle(Context& context, const ExchangePtr& exchange, Request request) {
  const Services& services = context.services;
  auto batch = std::make_shared<AdminBatch<Response>>(services, exchange, request.timeout_ms);
  if (request.election_type == kUnclean) {
    batch->response.error_code = exchange->fail(Error::kPolicyViolation);
    return batch->finish();
  }
  auto begin_topic = [&](const std::string& name) {
    batch->response.replica_election_results.emplace_back().topic = name;
  };
  if (!request.topic_partitions) {
    for (const auto& stream : services.metadata.streams()) {
      begin_topic(stream->name());
      for (const v1::Shard& shard : stream->map.shards()) {
        elect(*batch, {stream, Error::kNone}, stream->name(), shard.index(), true);
      }
    }
  } else {
    for (const auto& asked : *request.topic_partitions) {
      begin_topic(asked.topic);
      TopicRef ref = find_topic(services.metadata, asked.topic, {}, false);
      for (int32_t index : asked.partitions) elect(*batch, ref, asked.topic, index, false);
    }
  }
  batch->finish();
}

}  // namespace broker::handlers::kafka
