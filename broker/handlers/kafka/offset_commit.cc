// OffsetCommit: by name, by topic id from version 10. Answered when the offsets are committed to
// the coordinators' stream.
#include "broker/handlers/kafka/group_requests.h"
#include "broker/handlers/kafka/handlers.h"
#include "broker/handlers/kafka/topics.h"

namespace broker::handlers::kafka {
namespace {

using Request = wire::OffsetCommitRequest;
using Response = wire::OffsetCommitResponse;

// The answer's frame, in the order of the request, and what the coordinator is asked.
void lay_out(const Services& services, const Exchange& exchange, const Request& asked,
             Response& response, groups::CommitRequest& request) {
  bool by_id = exchange.version() >= 10;
  for (const auto& topic : asked.topics) {
    auto& answered = response.topics.emplace_back();
    answered.name = topic.name;
    answered.topic_id = topic.topic_id;
    TopicRef ref = find_topic(services.metadata, topic.name, topic.topic_id, by_id);
    for (const auto& partition : topic.partitions) {
      answered.partitions.emplace_back().partition_index = partition.partition_index;
      groups::CommitItem& item = request.items.emplace_back();
      item.partition = partition.partition_index;
      item.offset = partition.committed_offset;
      item.leader_epoch = partition.committed_leader_epoch;
      item.metadata = partition.committed_metadata.value_or("");
      if (!ref.stream) {
        item.error = by_id ? GroupError::kUnknownTopicId : GroupError::kUnknownTopicOrPartition;
        continue;
      }
      if (!allowed_on_topic(services, exchange, Operation::kRead, ref.stream->name())) {
        item.error = GroupError::kTopicAuthorizationFailed;
        continue;
      }
      item.topic = ref.stream->name();
      item.topic_id = ref.stream->id;
    }
  }
}

void fill(Exchange& exchange, const groups::CommitResult& result, Response& response) {
  size_t at = 0;
  for (auto& topic : response.topics) {
    for (auto& partition : topic.partitions) {
      GroupError error = result.error == GroupError::kNone ? result.items.at(at++) : result.error;
      partition.error_code = exchange.fail(to_error(error));
    }
  }
}

}  // namespace

void handle(Context& context, const ExchangePtr& exchange, Request asked) {
  auto response = std::make_shared<Response>();
  groups::CommitRequest request;
  request.group = asked.group_id;
  request.member = asked.member_id;
  request.instance = asked.group_instance_id;
  request.generation = asked.generation_id_or_member_epoch;
  request.version = exchange->version();
  request.retention_ms = asked.retention_time_ms;
  lay_out(context.services, *exchange, asked, *response, request);
  Reply<groups::CommitResult> reply = [exchange, response](const groups::CommitResult& result) {
    fill(*exchange, result, *response);
    respond(*exchange, *response);
  };
  run_for(context, *exchange, Operation::kRead, asked.group_id, reply,
          [&](Machine& machine, Now now, const auto& to, Effects& fx) {
            machine.commit(std::move(request), now, to, fx);
          });
}

}  // namespace broker::handlers::kafka
