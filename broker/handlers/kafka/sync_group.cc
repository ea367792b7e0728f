// SyncGroup: the leader brings the assignments, everybody fetches the own one.
#include "broker/handlers/kafka/group_requests.h"
#include "broker/handlers/kafka/handlers.h"

namespace broker::handlers::kafka {

void handle(Context& context, const ExchangePtr& exchange, wire::SyncGroupRequest asked) {
  Reply<groups::SyncResult> reply = [exchange](groups::SyncResult result) {
    wire::SyncGroupResponse response;
    response.error_code = exchange->fail(to_error(result.error));
    response.protocol_type = std::move(result.protocol_type);
    response.protocol_name = std::move(result.protocol_name);
    response.assignment = std::move(result.assignment);
    respond(*exchange, response);
  };
  // KIP-559: from version 5 on members say which protocol they mean.
  if (exchange->version() >= 5 && (!asked.protocol_type || !asked.protocol_name)) {
    groups::SyncResult refused;
    refused.error = GroupError::kInconsistentGroupProtocol;
    return reply(std::move(refused));
  }
  groups::SyncRequest request;
  request.group = asked.group_id;
  request.member = std::move(asked.member_id);
  request.instance = std::move(asked.group_instance_id);
  request.protocol_type = std::move(asked.protocol_type);
  request.protocol_name = std::move(asked.protocol_name);
  request.generation = asked.generation_id;
  for (auto& assignment : asked.assignments) {
    request.assignments[std::move(assignment.member_id)] = std::move(assignment.assignment);
  }
  run_for(context, *exchange, Operation::kRead, asked.group_id, reply,
          [&](Machine& machine, Now now, const auto& to, Effects& fx) {
            machine.sync(std::move(request), now, to, fx);
          });
}

}  // namespace broker::handlers::kafka
