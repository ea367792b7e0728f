// DeleteTopics by name or by topic id. Elastic streams are deleted as well: a topic is a stream.
#include "broker/handlers/kafka/admin_batch.h"
#include "broker/handlers/kafka/handlers.h"
#include "broker/handlers/kafka/throttle.h"
#include "broker/handlers/kafka/topics.h"

namespace broker::handlers::kafka {
namespace {

using Request = wire::DeleteTopicsRequest;
using Response = wire::DeleteTopicsResponse;
constexpr int16_t kStrictQuotaVersionMin = 5;

void delete_one(const Services& services, AdminBatch<Response>& batch,
                const std::optional<std::string>& name, const Uuid& id) {
  size_t at = batch.response.responses.size();
  auto& topic = batch.response.responses.emplace_back();
  topic.name = name;
  topic.topic_id = id;
  TopicRef ref = find_topic(services, batch.exchange(), security::Operation::kDelete,
                            name.value_or(""), id, !name.has_value());
  if (name && !id.is_zero()) ref = {nullptr, Error::kInvalidRequest};
  if (!ref.stream) {
    topic.error_code = batch.exchange().fail(ref.error);
    topic.error_message =
        ref.error == Error::kInvalidRequest ? "give either a name or an id" : "no such topic";
    return;
  }
  topic.name = ref.stream->name();
  topic.topic_id = ref.stream->id;
  if (!admit_mutations(services, batch.exchange(), kStrictQuotaVersionMin,
                       ref.stream->map.shards_size())) {
    topic.error_code = batch.exchange().fail(Error::kThrottlingQuotaExceeded);
    topic.error_message = kMutationsUsedUp;
    return;
  }
  v1::AdminRequest ask;
  ask.mutable_delete_stream()->set_name(ref.stream->name());
  batch.ask(std::move(ask), [b = &batch, at](const Result<v1::AdminResponse>& answer) {
    if (answer.ok()) return;
    auto& topic = b->response.responses[at];
    topic.error_code = b->exchange().fail(admin_error(answer.code()));
    topic.error_message = answer.status().message();
  });
}

}  // namespace

void handle(Context& context, const ExchangePtr& exchange, Request request) {
  const Services& services = context.services;
  auto batch = std::make_shared<AdminBatch<Response>>(services, exchange, request.timeout_ms);
  for (const auto& topic : request.topics) {
    delete_one(services, *batch, topic.name, topic.topic_id);
  }
  for (const auto& name : request.topic_names) delete_one(services, *batch, name, {});
  batch->finish();
}

}  // namespace broker::handlers::kafka
