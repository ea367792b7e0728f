// JoinGroup: answered when the group's members are known, at most a rebalance time-out later.
#include "broker/handlers/kafka/group_requests.h"
#include "broker/handlers/kafka/handlers.h"

namespace broker::handlers::kafka {
namespace {

constexpr int16_t kKnownMemberVersionMin = 4, kSkipAssignmentVersionMin = 9;

groups::JoinRequest to_request(Exchange& exchange, wire::JoinGroupRequest&& asked) {
  groups::JoinRequest request;
  request.group = std::move(asked.group_id);
  request.member = std::move(asked.member_id);
  request.instance = std::move(asked.group_instance_id);
  request.client_id = exchange.header.client_id.value_or("");
  request.client_host = client_host(exchange);
  request.session_timeout_ms = asked.session_timeout_ms;
  request.rebalance_timeout_ms =
      exchange.version() == 0 ? asked.session_timeout_ms : asked.rebalance_timeout_ms;
  request.protocol_type = std::move(asked.protocol_type);
  for (auto& protocol : asked.protocols) {
    request.protocols.push_back({std::move(protocol.name), std::move(protocol.metadata)});
  }
  request.require_known_member = exchange.version() >= kKnownMemberVersionMin;
  request.supports_skip_assignment = exchange.version() >= kSkipAssignmentVersionMin;
  return request;
}

}  // namespace

void handle(Context& context, const ExchangePtr& exchange, wire::JoinGroupRequest asked) {
  std::string group = asked.group_id;
  Reply<groups::JoinResult> reply = [exchange](groups::JoinResult result) {
    wire::JoinGroupResponse response;
    response.error_code = exchange->fail(to_error(result.error));
    response.generation_id = result.generation;
    response.protocol_type = std::move(result.protocol_type);
    response.protocol_name = std::move(result.protocol_name);
    response.leader = std::move(result.leader);
    response.skip_assignment = result.skip_assignment;
    response.member_id = std::move(result.member);
    for (auto& member : result.members) {
      auto& out = response.members.emplace_back();
      out.member_id = std::move(member.member);
      out.group_instance_id = std::move(member.instance);
      out.metadata = std::move(member.metadata);
    }
    respond(*exchange, response);
  };
  auto request = to_request(*exchange, std::move(asked));
  run_for(context, *exchange, Operation::kRead, group, reply,
          [&](Machine& machine, Now now, const auto& to, Effects& fx) {
            machine.join(std::move(request), now, to, fx);
          });
}

}  // namespace broker::handlers::kafka
