// TxnOffsetCommit: refused like everything else of transactions, with an error that ends them.
#include "broker/handlers/kafka/handlers.h"

namespace broker::handlers::kafka {

void handle(Context&, const ExchangePtr& exchange, wire::TxnOffsetCommitRequest asked) {
  wire::TxnOffsetCommitResponse response;
  for (const auto& topic : asked.topics) {
    auto& answered = response.topics.emplace_back();
    answered.name = topic.name;
    for (const auto& partition : topic.partitions) {
      auto& out = answered.partitions.emplace_back();
      out.partition_index = partition.partition_index;
      out.error_code = exchange->fail(Error::kInvalidTxnState);
    }
  }
  respond(*exchange, response);
}

}  // namespace broker::handlers::kafka
