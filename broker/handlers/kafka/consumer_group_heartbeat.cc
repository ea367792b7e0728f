// ConsumerGroupHeartbeat (KIP-848): joins, subscribes, acknowledges, learns, leaves.
#include "broker/handlers/kafka/group_requests.h"
#include "broker/handlers/kafka/handlers.h"

namespace broker::handlers::kafka {
namespace {

groups::ConsumerHeartbeatRequest to_request(Exchange& exchange,
                                            wire::ConsumerGroupHeartbeatRequest&& asked) {
  groups::ConsumerHeartbeatRequest request;
  request.group = std::move(asked.group_id);
  request.member = std::move(asked.member_id);
  request.client_id = exchange.header.client_id.value_or("");
  request.client_host = client_host(exchange);
  request.epoch = asked.member_epoch;
  request.instance = std::move(asked.instance_id);
  request.rack = std::move(asked.rack_id);
  request.assignor = std::move(asked.server_assignor);
  request.regex = std::move(asked.subscribed_topic_regex);
  request.rebalance_timeout_ms = asked.rebalance_timeout_ms;
  request.names = std::move(asked.subscribed_topic_names);
  if (asked.topic_partitions) {
    request.owned.emplace();
    for (const auto& topic : *asked.topic_partitions) {
      (*request.owned)[topic.topic_id].insert(topic.partitions.begin(), topic.partitions.end());
    }
  }
  request.client_makes_id = exchange.version() >= 1;
  return request;
}

}  // namespace

void handle(Context& context, const ExchangePtr& exchange,
            wire::ConsumerGroupHeartbeatRequest asked) {
  std::string group = asked.group_id;
  Reply<groups::ConsumerHeartbeatResult> reply =
      [exchange](groups::ConsumerHeartbeatResult result) {
        wire::ConsumerGroupHeartbeatResponse response;
        response.error_code = exchange->fail(to_error(result.error));
        if (!result.message.empty()) response.error_message = std::move(result.message);
        if (!result.member.empty()) response.member_id = std::move(result.member);
        response.member_epoch = result.epoch;
        response.heartbeat_interval_ms = result.heartbeat_ms;
        if (result.assignment) {
          auto& assignment = response.assignment.emplace();
          for (const auto& [topic, partitions] : *result.assignment) {
            if (partitions.empty()) continue;
            auto& out = assignment.topic_partitions.emplace_back();
            out.topic_id = topic;
            out.partitions.assign(partitions.begin(), partitions.end());
          }
        }
        respond(*exchange, response);
      };
  auto request = to_request(*exchange, std::move(asked));
  for (const std::string& topic : request.names.value_or(std::vector<std::string>())) {
    if (allowed_on_topic(context.services, *exchange, Operation::kDescribe, topic)) continue;
    groups::ConsumerHeartbeatResult refused;
    refused.error = GroupError::kTopicAuthorizationFailed;
    return reply(std::move(refused));
  }
  run_for(context, *exchange, Operation::kRead, group, reply,
          [&](Machine& machine, Now now, const auto& to, Effects& fx) {
            machine.consumer_heartbeat(request, now, to, fx);
          });
}

}  // namespace broker::handlers::kafka
