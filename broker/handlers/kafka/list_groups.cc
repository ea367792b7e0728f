// ListGroups: what this broker coordinates; clients ask every broker.
#include <algorithm>

#include "broker/handlers/kafka/group_requests.h"
#include "broker/handlers/kafka/handlers.h"

namespace broker::handlers::kafka {
namespace {

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

bool wanted(const std::vector<std::string>& filter, const std::string& value) {
  return filter.empty() || std::any_of(filter.begin(), filter.end(), [&](const auto& each) {
           return lower(each) == lower(value);
         });
}

}  // namespace

void handle(Context& context, const ExchangePtr& exchange, wire::ListGroupsRequest asked) {
  groups::ListResult result = context.groups->list();
  wire::ListGroupsResponse response;
  response.error_code = exchange->fail(to_error(result.error));
  bool all = allowed_on_cluster(context.services, *exchange, Operation::kDescribe);
  for (auto& group : result.groups) {
    if (!all && !allowed_on_group(context.services, *exchange, Operation::kDescribe, group.group)) {
      continue;
    }
    std::string type = group.consumer ? "consumer" : "classic";
    if (!wanted(asked.states_filter, group.state) || !wanted(asked.types_filter, type)) continue;
    auto& out = response.groups.emplace_back();
    out.group_id = std::move(group.group);
    out.protocol_type = std::move(group.protocol_type);
    out.group_state = std::move(group.state);
    out.group_type = std::move(type);
  }
  respond(*exchange, response);
}

}  // namespace broker::handlers::kafka
