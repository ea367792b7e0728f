// CreatePartitions: raises the partition count of a partitioned stream.
#include "broker/handlers/kafka/admin_batch.h"
#include "broker/handlers/kafka/handlers.h"
#include "broker/handlers/kafka/throttle.h"
#include "broker/handlers/kafka/topics.h"

namespace broker::handlers::kafka {
namespace {

using Request = wire::CreatePartitionsRequest;
using Response = wire::CreatePartitionsResponse;
constexpr int16_t kStrictQuotaVersionMin = 3;

std::pair<Error, std::string> judge(const TopicRef& ref, const Request::Topic& asked) {
  if (!ref.stream) return {ref.error, "no such topic"};
  if (ref.stream->elastic()) {
    return {Error::kPolicyViolation, "an elastic stream's shards split and merge by themselves"};
  }
  if (asked.assignments && !asked.assignments->empty()) {
    return {Error::kInvalidReplicaAssignment,
            "replicas are placed by the cluster; leave the assignment out"};
  }
  int32_t current = ref.stream->map.shards_size();
  if (asked.count <= current) {
    return {Error::kInvalidPartitions,
            "the topic has " + std::to_string(current) + " partitions; the count can only grow"};
  }
  return {Error::kNone, ""};
}

void grow(const Services& services, AdminBatch<Response>& batch, const Request::Topic& asked,
          bool validate_only) {
  size_t at = batch.response.results.size();
  auto& result = batch.response.results.emplace_back();
  result.name = asked.name;
  TopicRef ref = find_topic(services, batch.exchange(), security::Operation::kAlter, asked.name);
  auto [error, message] = judge(ref, asked);
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
  batch.ask(std::move(ask), [b = &batch, at](const Result<v1::AdminResponse>& answer) {
    if (answer.ok()) return;
    auto& result = b->response.results[at];
    result.error_code = b->exchange().fail(admin_error(answer.code()));
    result.error_message = answer.status().message();
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
