// LeaveGroup: members go, or an administrator removes static ones.
#include "broker/handlers/kafka/group_requests.h"
#include "broker/handlers/kafka/handlers.h"

namespace broker::handlers::kafka {

void handle(Context& context, const ExchangePtr& exchange, wire::LeaveGroupRequest asked) {
  bool one_member = exchange->version() < 3;
  Reply<groups::LeaveResult> reply = [exchange, one_member](groups::LeaveResult result) {
    wire::LeaveGroupResponse response;
    if (one_member && result.error == GroupError::kNone && !result.members.empty()) {
      result.error = result.members.front().error;
    }
    response.error_code = exchange->fail(to_error(result.error));
    for (auto& member : result.members) {
      auto& out = response.members.emplace_back();
      out.member_id = std::move(member.member);
      out.group_instance_id = std::move(member.instance);
      out.error_code = exchange->fail(to_error(member.error));
    }
    respond(*exchange, response);
  };
  groups::LeaveRequest request;
  request.group = asked.group_id;
  if (one_member) request.members.push_back({std::move(asked.member_id), std::nullopt});
  for (auto& member : asked.members) {
    request.members.push_back({std::move(member.member_id), std::move(member.group_instance_id)});
  }
  run_for(context, *exchange, Operation::kRead, asked.group_id, reply,
          [&](Machine& machine, Now now, const auto& to, Effects& fx) {
            machine.leave(std::move(request), now, to, fx);
          });
}

}  // namespace broker::handlers::kafka
