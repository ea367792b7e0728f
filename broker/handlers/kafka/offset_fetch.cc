// OffsetFetch: committed offsets of one group, or of several (version 8 and later), by name or by
// topic id (version 10). What has no offset is answered with -1.
#include "broker/handlers/kafka/group_requests.h"
#include "broker/handlers/kafka/handlers.h"
#include "broker/handlers/kafka/topics.h"

namespace broker::handlers::kafka {
namespace {

using Request = wire::OffsetFetchRequest;
using Response = wire::OffsetFetchResponse;
using Batch = GroupBatch<Response>;

template <class Partition>
void fill_partition(const std::optional<groups::CommittedOffset>& committed, Partition& out) {
  out.committed_offset = committed ? committed->offset : -1;
  out.committed_leader_epoch = committed ? committed->leader_epoch : -1;
  out.metadata = committed ? committed->metadata : "";
}

// Topics of the answer in the order of the question; what is not asked of the coordinator (topic
// ids that nobody knows) is answered here already.
template <class Asked, class Topic>
std::vector<groups::TopicPartitions> lay_out(const Services& services, Exchange& exchange,
                                             const std::vector<Asked>& asked, bool by_id,
                                             std::vector<Topic>& answered) {
  std::vector<groups::TopicPartitions> request;
  for (const auto& topic : asked) {
    auto& out = answered.emplace_back();
    out.name = topic.name;
    std::string name = topic.name;
    Error error = Error::kNone;
    if constexpr (requires { topic.topic_id; }) {
      if (by_id) {
        out.topic_id = topic.topic_id;
        TopicRef ref = find_topic(services.metadata, "", topic.topic_id, true);
        error = ref.error;
        if (ref.stream) name = ref.stream->name();
      }
    }
    if (error == Error::kNone &&
        !allowed_on_topic(services, exchange, Operation::kDescribe, name)) {
      error = Error::kTopicAuthorizationFailed;
    }
    for (int32_t index : topic.partition_indexes) {
      auto& partition = out.partitions.emplace_back();
      partition.partition_index = index;
      partition.error_code = exchange.fail(error);
      fill_partition(std::nullopt, partition);
    }
    if (error == Error::kNone) request.push_back({name, topic.partition_indexes});
  }
  return request;
}

// Puts the coordinator's answer where lay_out() left room.
template <class Topic>
void fill_asked(Exchange& exchange, const groups::FetchOffsetsResult& result,
                std::vector<Topic>& topics) {
  size_t at = 0;
  for (auto& topic : topics) {
    for (auto& partition : topic.partitions) {
      if (partition.error_code != 0) continue;
      if (result.error != GroupError::kNone) {
        partition.error_code = exchange.fail(to_error(result.error));
      } else {
        fill_partition(result.offsets.at(at++).committed, partition);
      }
    }
  }
}

template <class Topic>
void fill_all(const Services& services, const Exchange& exchange,
              const groups::FetchOffsetsResult& result, std::vector<Topic>& topics) {
  for (const auto& fetched : result.offsets) {
    if (!allowed_on_topic(services, exchange, Operation::kDescribe, fetched.topic)) continue;
    if (topics.empty() || topics.back().name != fetched.topic) {
      auto& topic = topics.emplace_back();
      topic.name = fetched.topic;
      if constexpr (requires { topic.topic_id; }) {
        cluster::StreamPtr stream = services.metadata.find(fetched.topic);
        if (stream) topic.topic_id = stream->id;
      }
    }
    auto& partition = topics.back().partitions.emplace_back();
    partition.partition_index = fetched.partition;
    fill_partition(fetched.committed, partition);
  }
}

void handle_one(Context& context, const ExchangePtr& exchange, const Request& asked) {
  groups::FetchOffsetsRequest request;
  request.group = asked.group_id;
  auto response = std::make_shared<Response>();
  if (asked.topics) {
    request.topics = lay_out(context.services, *exchange, *asked.topics, false, response->topics);
  }
  bool all = !asked.topics;
  Reply<groups::FetchOffsetsResult> reply = [&services = context.services, exchange, response,
                                             all](const groups::FetchOffsetsResult& result) {
    response->error_code = exchange->fail(to_error(result.error));
    if (all) {
      fill_all(services, *exchange, result, response->topics);
    } else {
      fill_asked(*exchange, result, response->topics);
    }
    respond(*exchange, *response);
  };
  run_for(
      context, *exchange, Operation::kDescribe, asked.group_id, reply,
      [&](Machine& machine, Now, const auto& to, Effects& fx) { machine.fetch(request, to, fx); });
}

void ask_group(Context& context, const std::shared_ptr<Batch>& batch, const Request::Group& asked) {
  size_t at = batch->response.groups.size();
  auto& answered = batch->response.groups.emplace_back();
  answered.group_id = asked.group_id;
  groups::FetchOffsetsRequest request;
  request.group = asked.group_id;
  request.member = asked.member_id;
  request.epoch = asked.member_epoch;
  bool by_id = batch->exchange().version() >= 10, all = !asked.topics;
  if (!all) {
    request.topics =
        lay_out(context.services, batch->exchange(), *asked.topics, by_id, answered.topics);
  }
  batch->ask<groups::FetchOffsetsResult>(
      context, Operation::kDescribe, asked.group_id,
      [&](Machine& machine, Now, const auto& to, Effects& fx) { machine.fetch(request, to, fx); },
      [&services = context.services, b = batch.get(), at,
       all](const groups::FetchOffsetsResult& result) {
        auto& group = b->response.groups[at];
        group.error_code = b->exchange().fail(to_error(result.error));
        if (result.error != GroupError::kNone) {
          group.topics.clear();
        } else if (all) {
          fill_all(services, b->exchange(), result, group.topics);
        } else {
          fill_asked(b->exchange(), result, group.topics);
        }
      });
}

}  // namespace

void handle(Context& context, const ExchangePtr& exchange, Request asked) {
  if (exchange->version() < 8) return handle_one(context, exchange, asked);
  auto batch = std::make_shared<Batch>(exchange);
  batch->response.groups.reserve(asked.groups.size());
  for (const auto& group : asked.groups) ask_group(context, batch, group);
  batch->finish();
}

}  // namespace broker::handlers::kafka
