// Heartbeat: a member of a classic group is alive, and learns of a rebalance.
#include "broker/handlers/kafka/group_requests.h"
#include "broker/handlers/kafka/handlers.h"

namespace broker::handlers::kafka {

void handle(Context& context, const ExchangePtr& exchange, wire::HeartbeatRequest asked) {
  Reply<groups::HeartbeatResult> reply = [exchange](groups::HeartbeatResult result) {
    // Members of old take a coordinator that starts for one that has gone (KAFKA-3210); as Apache
    // Kafka does, a loading coordinator says that all is well, and keeps the member.
    if (result.error == GroupError::kCoordinatorLoadInProgress) result.error = GroupError::kNone;
    wire::HeartbeatResponse response;
    response.error_code = exchange->fail(to_error(result.error));
    respond(*exchange, response);
  };
  groups::HeartbeatRequest request{asked.group_id, std::move(asked.member_id),
                                   std::move(asked.group_instance_id), asked.generation_id};
  run_for(context, *exchange, Operation::kRead, asked.group_id, reply,
          [&](Machine& machine, Now now, const auto& to, Effects& fx) {
            machine.heartbeat(request, now, to, fx);
          });
}

}  // namespace broker::handlers::kafka
