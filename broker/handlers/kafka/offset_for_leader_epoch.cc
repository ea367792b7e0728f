// OffsetForLeaderEpoch: where the log of a term ends (KIP-101, KIP-320).
#include "broker/handlers/kafka/handlers.h"
#include "broker/handlers/kafka/topics.h"
#include "broker/partition/partition.h"

namespace broker::handlers::kafka {
namespace {

using Asked = wire::OffsetForLeaderEpochRequest::Topic::Partition;
using Answer = wire::OffsetForLeaderEpochResponse::Topic::Partition;

Answer answer(const Services& services, Exchange& exchange, const TopicRef& topic,
              const Asked& asked) {
  Answer answer;
  answer.partition = asked.partition;
  if (!topic.stream) {
    answer.error_code = exchange.fail(topic.error);
    return answer;
  }
  Led led = find_led(services, *topic.stream, asked.partition, asked.current_leader_epoch);
  answer.error_code = exchange.fail(led.error);
  if (led.error != Error::kNone) return answer;
  if (asked.leader_epoch < 0 || Term{asked.leader_epoch} > led.partition->term()) return answer;
  partition::TermEnd end = led.partition->term_end(Term{asked.leader_epoch});
  answer.leader_epoch = end.term.value;
  answer.end_offset = end.end.value;
  return answer;
}

}  // namespace

void handle(Context& context, const ExchangePtr& exchange,
            wire::OffsetForLeaderEpochRequest request) {
  wire::OffsetForLeaderEpochResponse response;
  for (const auto& asked : request.topics) {
    auto& topic = response.topics.emplace_back();
    topic.topic = asked.topic;
    TopicRef ref = find_topic(context.services, *exchange, security::Operation::kDescribe, asked.topic);
    for (const auto& partition : asked.partitions) {
      topic.partitions.push_back(answer(context.services, *exchange, ref, partition));
    }
  }
  respond(*exchange, response);
}

}  // namespace broker::handlers::kafka
