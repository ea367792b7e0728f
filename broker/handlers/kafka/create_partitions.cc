// CreatePartitions: raises the partition count of a partitioned stream.
#include "broker/handlers/kafka/admin_batch.h"
#include "broker/handlers/kafka/assignments.h"
#include "broker/handlers/kafka/handlers.h"
#include "broker/handlers/kafka/throttle.h"
#include "broker/handlers/kafka/topics.h"

namespace broker::handlers::kafka {
namespace {

using Request = wire::CreatePartitionsRequest;
using Response = wire::CreatePartitionsResponse;
constexpr int16_t kStrictQuotaVersionMin = 3;

Assignments assignments_of(const Request::Topic& asked) {
  Assignments out;
  if (!asked.assignments) return out;
  for (const auto& assignment : *asked.assignments) out.push_back(assignment.broker_ids);
  return out;
}

Refusal judge(const Services& services, const TopicRef& ref, const Request::Topic& asked) {
  if (!ref.stream) return {ref.error, "no such topic"};
  if (ref.stream->elastic()) {
    return {Error::kPolicyViolation, "an elastic stream's shards split and merge by themselves"};
  }
  int32_t current = ref.stream->map.shards_size();
  if (asked.count <= current) {
    return {Error::kInvalidPartitions,
            "the topic has " + std::to_string(current) + " partitions; the count can only grow"};
  }
  Assignments by_hand = assignments_of(asked);
  if (by_hand.empty()) return {};
  if (static_cast<int32_t>(by_hand.size()) != asked.count - current) {
    return {Error::kInvalidReplicaAssignment,
            "Attempted to add " + std::to_string(asked.count - current) +
                " additional partition(s), but only " + std::to_string(by_hand.size()) +
                " assignment(s) were specified."};
  }
  return check_assignments(services.metadata, by_hand, ref.stream->map.config().replication());
}

void grow(const Services& services, AdminBatch<Response>& batch, const Request::Topic& asked,
          bool validate_only) {
  size_t at = batch.response.results.size();
  auto& result = batch.response.results.emplace_back();
  result.name = asked.name;
  TopicRef ref = find_topic(services, batch.exchange(), security::Operation::kAlter, asked.name);
  auto [error, message] = judge(services, ref, asked);
  if (error == Error::kNone && !validate_only &&
      !admit_mutations(services, batch.exchange(), kStrictQuotaVersionMin,
                       asked.count - ref.stream->map.shards_size())) {
    error = Error::kThrottlingQuotaExceeded;
    message = kMutationsUsedUp;
  }
  if (error != Error::kNone) {
    result.error_code = batch.exchange().fail(error);
    result.error_message = message;
    return;
  }
  if (validate_only) return;
  v1::AdminRequest ask;
  v1::UpdateStream& update = *ask.mutable_update_stream();
  update.set_name(asked.name);
  update.mutable_config()->set_partitions(asked.count);
  update.add_fields("partitions");
  batch.ask(std::move(ask), [b = &batch, at, first = ref.stream->map.shards_size(),
                             by_hand = assignments_of(asked)](const Result<v1::AdminResponse>& answer) {
    auto fail = [b, at](const Refusal& refusal) {
      b->response.results[at].error_code = b->exchange().fail(refusal.error);
      b->response.results[at].error_message = refusal.message;
    };
    if (!answer.ok()) return fail({admin_error(answer.code()), answer.status().message()});
    place(*b, b->response.results[at].name, first, by_hand, fail);
  });
}

}  // namespace

void handle(Context& context, const ExchangePtr& exchange, Request request) {
  const Services& services = context.services;
  auto batch = std::make_shared<AdminBatch<Response>>(services, exchange, request.timeout_ms);
  for (const auto& topic : request.topics) {
    grow(services, *batch, topic, request.validate_only);
  }
  batch->finish();
}

}  // namespace broker::handlers::kafka
