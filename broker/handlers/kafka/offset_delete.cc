// OffsetDelete: forgets offsets of topics that the group's members do not read.
#include "broker/handlers/kafka/group_requests.h"
#include "broker/handlers/kafka/handlers.h"

namespace broker::handlers::kafka {

void handle(Context& context, const ExchangePtr& exchange, wire::OffsetDeleteRequest asked) {
  auto response = std::make_shared<wire::OffsetDeleteResponse>();
  groups::DeleteOffsetsRequest request;
  request.group = asked.group_id;
  for (const auto& topic : asked.topics) {
    auto& answered = response->topics.emplace_back();
    answered.name = topic.name;
    Error error = Error::kNone;
    if (!allowed_on_topic(context.services, *exchange, Operation::kRead, topic.name)) {
      error = Error::kTopicAuthorizationFailed;
    } else if (!context.services.metadata.find(topic.name)) {
      error = Error::kUnknownTopicOrPartition;
    }
    groups::TopicPartitions wanted{topic.name, {}};
    for (const auto& partition : topic.partitions) {
      auto& out = answered.partitions.emplace_back();
      out.partition_index = partition.partition_index;
      out.error_code = exchange->fail(error);
      wanted.partitions.push_back(partition.partition_index);
    }
    if (error == Error::kNone) request.topics.push_back(std::move(wanted));
  }
  Reply<groups::DeleteOffsetsResult> reply = [exchange,
                                              response](groups::DeleteOffsetsResult result) {
    response->error_code = exchange->fail(to_error(result.error));
    if (result.error != GroupError::kNone) response->topics.clear();
    for (auto& topic : response->topics) {
      auto found = result.topics.find(topic.name);
      if (found == result.topics.end()) continue;
      for (auto& partition : topic.partitions) {
        partition.error_code = exchange->fail(to_error(found->second));
      }
    }
    respond(*exchange, *response);
  };
  run_for(context, *exchange, Operation::kDelete, asked.group_id, reply,
          [&](Machine& machine, Now, const auto& to, Effects& fx) {
            machine.delete_offsets(request, to, fx);
          });
}

}  // namespace broker::handlers::kafka
