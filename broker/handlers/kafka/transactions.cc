// What administrators ask of producers and transactions. The producers of a partition are those
// that it remembers; there are no transactions, so none are listed and none is found.
#include "broker/handlers/kafka/authorize.h"
#include "broker/handlers/kafka/handlers.h"
#include "broker/handlers/kafka/topics.h"
#include "broker/partition/partition.h"

namespace broker::handlers::kafka {

void handle(Context& context, const ExchangePtr& exchange, wire::DescribeProducersRequest request) {
  const Services& services = context.services;
  wire::DescribeProducersResponse response;
  for (const auto& asked : request.topics) {
    auto& topic = response.topics.emplace_back();
    topic.name = asked.name;
    TopicRef ref = find_topic(services, *exchange, security::Operation::kRead, asked.name);
    for (int32_t index : asked.partition_indexes) {
      auto& partition = topic.partitions.emplace_back();
      partition.partition_index = index;
      if (!ref.stream) {
        partition.error_code = exchange->fail(ref.error);
        continue;
      }
      Led led = find_led(services, *ref.stream, index, -1);
      partition.error_code = exchange->fail(led.error);
      if (led.error != Error::kNone) continue;
      led.partition->producers().for_each([&](const partition::Producers::View& producer) {
        auto& active = partition.active_producers.emplace_back();
        active.producer_id = producer.id;
        active.producer_epoch = producer.epoch;
        active.last_sequence = producer.last_sequence;
        active.last_timestamp = producer.last_timestamp_ms;
        active.coordinator_epoch = -1;
      });
    }
  }
  respond(*exchange, response);
}

void handle(Context&, const ExchangePtr& exchange, wire::ListTransactionsRequest) {
  respond(*exchange, wire::ListTransactionsResponse{});
}

void handle(Context& context, const ExchangePtr& exchange,
            wire::DescribeTransactionsRequest request) {
  wire::DescribeTransactionsResponse response;
  for (std::string& id : request.transactional_ids) {
    auto& state = response.transaction_states.emplace_back();
    state.transactional_id = std::move(id);
    const bool may = allowed(context.services, *exchange, Operation::kDescribe,
                             Resource::kTransactionalId, state.transactional_id);
    state.error_code = exchange->fail(may ? Error::kTransactionalIdNotFound
                                          : Error::kTransactionalIdAuthorizationFailed);
  }
  respond(*exchange, response);
}

}  // namespace broker::handlers::kafka
