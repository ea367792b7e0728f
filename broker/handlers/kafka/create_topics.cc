// CreateTopics: a topic is a partitioned stream; the coordinator makes it and places its replicas.
#include <set>

#include "broker/handlers/kafka/admin_batch.h"
#include "broker/handlers/kafka/assignments.h"
#include "broker/handlers/kafka/authorize.h"
#include "broker/handlers/kafka/handlers.h"
#include "broker/handlers/kafka/throttle.h"
#include "broker/handlers/kafka/topic_configs.h"
#include "broker/handlers/kafka/topics.h"

namespace broker::handlers::kafka {
namespace {

using Request = wire::CreateTopicsRequest;
using Response = wire::CreateTopicsResponse;
constexpr int32_t kDefault = -1;
constexpr int16_t kStrictQuotaVersionMin = 6;

Refusal check_name(const Services& services, const std::string& name) {
  if (!is_legal_topic_name(name)) {
    return {Error::kInvalidTopicException,
            "a topic's name has 1 to 249 characters of a-z, A-Z, 0-9, '.', '_', '-' and is not "
            "'.' or '..'"};
  }
  if (services.metadata.find(name)) {
    return {Error::kTopicAlreadyExists, "Topic '" + name + "' already exists."};
  }
  return {};
}

// By partition; empty when their indexes are not 0, 1, 2, …
Assignments assignments_of(const Request::Topic& asked) {
  Assignments out(asked.assignments.size());
  for (const auto& assignment : asked.assignments) {
    size_t at = static_cast<size_t>(assignment.partition_index);
    if (assignment.partition_index < 0 || at >= out.size() || !out[at].empty()) return {};
    out[at] = assignment.broker_ids;
  }
  return out;
}

Refusal check_placed_by_hand(const Services& services, const Request::Topic& asked) {
  if (asked.num_partitions != kDefault) {
    return {Error::kInvalidRequest,
            "A manual partition assignment was specified, but numPartitions was not set to -1."};
  }
  if (asked.replication_factor != kDefault) {
    return {Error::kInvalidRequest,
            "A manual partition assignment was specified, but replication factor was not set to -1."};
  }
  Assignments assignments = assignments_of(asked);
  if (assignments.empty()) {
    return {Error::kInvalidReplicaAssignment,
            "partitions should be a consecutive 0-based integer sequence"};
  }
  return check_assignments(services.metadata, assignments, 0);
}

Refusal check_counts(const Services& services, const Request::Topic& asked) {
  if (!asked.assignments.empty()) return check_placed_by_hand(services, asked);
  if (asked.num_partitions < 1 && asked.num_partitions != kDefault) {
    return {Error::kInvalidPartitions, "the number of partitions must be at least 1"};
  }
  if (asked.replication_factor < 1 && asked.replication_factor != kDefault) {
    return {Error::kInvalidReplicationFactor, "the replication factor must be at least 1"};
  }
  return {};  // whether there are as many brokers is the coordinator's to say: it sees them all
}

// The stream that a topic asks for.
Refusal to_stream(const Request::Topic& asked, const Options& options, v1::CreateStream& stream) {
  stream.set_name(asked.name);
  ConfigChange change;
  v1::StreamConfig& config = change.config;
  config.set_mode(v1::STREAM_MODE_PARTITIONED);
  config.set_partitions(asked.num_partitions > 0 ? asked.num_partitions
                                                 : options.num_partitions);
  if (asked.replication_factor > 0) config.set_replication(asked.replication_factor);
  if (!asked.assignments.empty()) {
    config.set_partitions(static_cast<int32_t>(asked.assignments.size()));
    config.set_replication(static_cast<int32_t>(asked.assignments[0].broker_ids.size()));
  }
  for (const auto& setting : asked.configs) {
    Status status = set_topic_config(setting.name, setting.value, change);
    if (!status.ok()) return {Error::kInvalidConfig, status.message()};
  }
  if (config.replication() > 0 && config.min_insync() > config.replication()) {
    return {Error::kInvalidConfig, "min.insync.replicas is above the replication factor"};
  }
  *stream.mutable_config() = std::move(config);
  return {};
}

void describe(const Services& services, const v1::StreamConfig& config, Response::Topic& topic) {
  topic.num_partitions = config.partitions();
  topic.replication_factor = static_cast<int16_t>(config.replication());
  topic.configs.emplace();
  for (const ConfigValue& value : topic_configs(config, services.options)) {
    auto& described = topic.configs->emplace_back();
    described.name = value.name;
    described.value = value.value;
    described.read_only = value.read_only;
    described.config_source = static_cast<int8_t>(value.source);
  }
}

void on_answer(const Services& services, Exchange& exchange, const v1::StreamConfig& asked,
               const Result<v1::AdminResponse>& answer, Response::Topic& topic) {
  if (!answer.ok()) {
    topic.error_code = exchange.fail(admin_error(answer.code()));
    topic.error_message = answer.status().message();
    return;
  }
  topic.topic_id = parse_uuid(answer->stream_id());
  // With the defaults that the coordinator filled in, where its update has come already.
  cluster::StreamPtr stream = services.metadata.find(topic.topic_id);
  describe(services, stream ? stream->map.config() : asked, topic);
}

std::set<std::string> names_given_twice(const Request& request) {
  std::set<std::string> seen, twice;
  for (const auto& topic : request.topics) {
    if (!seen.insert(topic.name).second) twice.insert(topic.name);
  }
  return twice;
}

}  // namespace

void handle(Context& context, const ExchangePtr& exchange, Request request) {
  const Services& services = context.services;
  auto batch = std::make_shared<AdminBatch<Response>>(services, exchange, request.timeout_ms);
  std::set<std::string> twice = names_given_twice(request);
  for (const auto& asked : request.topics) {
    size_t at = batch->response.topics.size();
    auto& topic = batch->response.topics.emplace_back();
    topic.name = asked.name;
    v1::AdminRequest ask;
    v1::CreateStream& stream = *ask.mutable_create_stream();
    stream.set_validate_only(request.validate_only);
    Refusal refusal;
    if (twice.count(asked.name)) refusal = {Error::kInvalidRequest, "the topic is named twice"};
    if (!allowed_on_cluster(services, *exchange, Operation::kCreate) &&
        !allowed_on_topic(services, *exchange, Operation::kCreate, asked.name)) {
      refusal = {Error::kTopicAuthorizationFailed, "not authorized to create the topic"};
    }
    if (refusal.error == Error::kNone) refusal = check_name(services, asked.name);
    if (refusal.error == Error::kNone) refusal = check_counts(services, asked);
    if (refusal.error == Error::kNone) refusal = to_stream(asked, services.options, stream);
    if (refusal.error == Error::kNone && !request.validate_only &&
        !admit_mutations(services, *exchange, kStrictQuotaVersionMin,
                         stream.config().partitions())) {
      refusal = {Error::kThrottlingQuotaExceeded, kMutationsUsedUp};
    }
    if (refusal.error != Error::kNone) {
      topic.error_code = exchange->fail(refusal.error);
      topic.error_message = refusal.message;
      continue;
    }
    Assignments by_hand;
    if (!request.validate_only) by_hand = assignments_of(asked);
    batch->ask(ask, [&services, b = batch.get(), at, config = stream.config(), by_hand](
                        const Result<v1::AdminResponse>& answer) {
      on_answer(services, b->exchange(), config, answer, b->response.topics[at]);
      if (!answer.ok()) return;
      place(*b, b->response.topics[at].name, 0, by_hand, [b, at](const Refusal& refusal) {
        b->response.topics[at].error_code = b->exchange().fail(refusal.error);
        b->response.topics[at].error_message = refusal.message;
      });
    });
  }
  batch->finish();
}

}  // namespace broker::handlers::kafka
