// DeleteGroups: groups without members, with their offsets.
#include "broker/handlers/kafka/group_requests.h"
#include "broker/handlers/kafka/handlers.h"

namespace broker::handlers::kafka {

void handle(Context& context, const ExchangePtr& exchange, wire::DeleteGroupsRequest asked) {
  auto batch = std::make_shared<GroupBatch<wire::DeleteGroupsResponse>>(exchange);
  for (const std::string& group : asked.groups_names) {
    size_t at = batch->response.results.size();
    batch->response.results.emplace_back().group_id = group;
    batch->ask<groups::DeleteGroupResult>(
        context, Operation::kDelete, group,
        [&](Machine& machine, Now, const auto& to, Effects& fx) {
          machine.delete_group(group, to, fx);
        },
        [b = batch.get(), at](const groups::DeleteGroupResult& result) {
          b->response.results[at].error_code = b->exchange().fail(to_error(result.error));
        });
  }
  batch->finish();
}

}  // namespace broker::handlers::kafka
