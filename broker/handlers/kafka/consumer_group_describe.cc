// ConsumerGroupDescribe (KIP-848): members, what they read and what they are to read.
#include "broker/handlers/kafka/group_requests.h"
#include "broker/handlers/kafka/handlers.h"

namespace broker::handlers::kafka {
namespace {

using Response = wire::ConsumerGroupDescribeResponse;
constexpr int8_t kClassicMember = 0, kConsumerMember = 1;

template <class Out>
void fill_assignment(const Services& services, const groups::Assignment& assignment, Out& out) {
  for (const auto& [id, partitions] : assignment) {
    if (partitions.empty()) continue;
    auto& topic = out.topic_partitions.emplace_back();
    topic.topic_id = id;
    if (auto stream = services.metadata.find(id)) topic.topic_name = stream->name();
    topic.partitions.assign(partitions.begin(), partitions.end());
  }
}

void fill(const Services& services, Exchange& exchange, groups::DescribeResult& result,
          Response::Group& out) {
  out.error_code = exchange.fail(to_error(result.error));
  if (!result.message.empty()) out.error_message = result.message;
  out.group_state = result.state;
  out.group_epoch = result.epoch;
  out.assignment_epoch = result.assignment_epoch;
  out.assignor_name = result.protocol;
  for (auto& member : result.members) {
    auto& described = out.members.emplace_back();
    described.member_id = std::move(member.member);
    described.instance_id = std::move(member.instance);
    described.rack_id = std::move(member.rack);
    described.member_epoch = member.epoch;
    described.client_id = std::move(member.client_id);
    described.client_host = std::move(member.client_host);
    described.subscribed_topic_names = std::move(member.names);
    if (!member.regex.empty()) described.subscribed_topic_regex = std::move(member.regex);
    fill_assignment(services, member.assigned, described.assignment);
    fill_assignment(services, member.target, described.target_assignment);
    described.member_type = member.classic ? kClassicMember : kConsumerMember;
  }
}

}  // namespace

void handle(Context& context, const ExchangePtr& exchange,
            wire::ConsumerGroupDescribeRequest asked) {
  auto batch = std::make_shared<GroupBatch<Response>>(exchange);
  for (const std::string& group : asked.group_ids) {
    size_t at = batch->response.groups.size();
    batch->response.groups.emplace_back().group_id = group;
    batch->ask<groups::DescribeResult>(
        context, Operation::kDescribe, group,
        [&](Machine& machine, Now, const auto& to, Effects& fx) {
          fx.reply(to, machine.describe_consumer(group));
        },
        [&services = context.services, b = batch.get(), at,
         with_rights = asked.include_authorized_operations](groups::DescribeResult result) {
          auto& described = b->response.groups[at];
          fill(services, b->exchange(), result, described);
          if (!with_rights || result.error != GroupError::kNone) return;
          described.authorized_operations =
              group_operations(services, b->exchange(), described.group_id);
        });
  }
  batch->finish();
}

}  // namespace broker::handlers::kafka
