// DescribeGroups: classic groups. One that is not there is "Dead"; version 6 says so by an error.
#include "broker/handlers/kafka/group_requests.h"
#include "broker/handlers/kafka/handlers.h"

namespace broker::handlers::kafka {
namespace {

using Response = wire::DescribeGroupsResponse;

void fill(Exchange& exchange, groups::DescribeResult& result, Response::Group& out) {
  bool absent = result.error == GroupError::kGroupIdNotFound;
  if (!absent || exchange.version() >= 6) {
    out.error_code = exchange.fail(to_error(result.error));
    if (!result.message.empty()) out.error_message = result.message;
  }
  out.group_state = result.state;
  out.protocol_type = result.protocol_type;
  out.protocol_data = result.protocol;
  for (auto& member : result.members) {
    auto& described = out.members.emplace_back();
    described.member_id = std::move(member.member);
    described.group_instance_id = std::move(member.instance);
    described.client_id = std::move(member.client_id);
    described.client_host = std::move(member.client_host);
    described.member_metadata = std::move(member.metadata);
    described.member_assignment = std::move(member.assignment);
  }
}

}  // namespace

void handle(Context& context, const ExchangePtr& exchange, wire::DescribeGroupsRequest asked) {
  auto batch = std::make_shared<GroupBatch<Response>>(exchange);
  for (const std::string& group : asked.groups) {
    size_t at = batch->response.groups.size();
    batch->response.groups.emplace_back().group_id = group;
    batch->ask<groups::DescribeResult>(
        context, Operation::kDescribe, group,
        [&](Machine& machine, Now, const auto& to, Effects& fx) {
          fx.reply(to, machine.describe_classic(group));
        },
        [&services = context.services, b = batch.get(), at,
         with_rights = asked.include_authorized_operations](groups::DescribeResult result) {
          auto& described = b->response.groups[at];
          fill(b->exchange(), result, described);
          if (!with_rights || result.error != GroupError::kNone) return;
          described.authorized_operations =
              group_operations(services, b->exchange(), described.group_id);
        });
  }
  batch->finish();
}

}  // namespace broker::handlers::kafka
