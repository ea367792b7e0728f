// CreateStream, DeleteStream.
#include "broker/handlers/kinesis/attributes.h"
#include "broker/handlers/kinesis/find.h"
#include "broker/handlers/kinesis/tags.h"

namespace broker::handlers::kinesis {
namespace {

constexpr int32_t kOnDemandShards = 4;
constexpr int64_t kDayMs = 24LL * 3600 * 1000;
constexpr int32_t kWarmMibpsMax = 10 * 1024;

}  // namespace

Handlers::Totals Handlers::totals() const {
  Totals totals;
  for (const auto& stream : services_.metadata.streams()) {
    if (is_internal_stream(stream->name())) continue;
    const int32_t open = open_shards(*stream);
    totals.shards += open;
    if (is_on_demand(*stream))
      ++totals.on_demand_streams;
    else
      totals.provisioned_shards += open;
  }
  return totals;
}

std::optional<wire::Error> Handlers::check_shard_limit(int32_t more,
                                                       const wire::Caller& caller) const {
  const int32_t now = totals().provisioned_shards;
  const int32_t limit = services_.options.shard_limit;
  if (now + more <= limit) return std::nullopt;
  return wire::limit_exceeded(
      "This request would exceed the shard limit for the account " + caller.account + " in " +
      caller.region + ". Current shard count for the account: " + std::to_string(now) +
      ". Limit: " + std::to_string(limit) +
      ". Number of additional shards that would have resulted from this request: " +
      std::to_string(more) + ".");
}

std::optional<wire::Error> Handlers::check_create(const wire::CreateStreamRequest& request,
                                                  bool on_demand,
                                                  const wire::Caller& caller) const {
  if (is_internal_stream(request.stream_name)) {
    return wire::invalid_argument("Stream names that begin with __sluice_ are reserved.");
  }
  if (request.tags) {
    if (auto error = check_tags(*request.tags, {}, request.stream_name, caller)) return error;
  }
  if (services_.metadata.find(request.stream_name)) {
    return wire::resource_in_use("Stream " + request.stream_name + " under account " +
                                 caller.account + " already exists.");
  }
  if (!on_demand) {
    if (!request.shard_count) {
      return wire::invalid_argument(
          "ShardCount must be specified for a stream in the PROVISIONED mode.");
    }
    if (request.warm_throughput_mibps) {
      return wire::invalid_argument(
          "WarmThroughputMiBps can only be specified for a stream in the ON_DEMAND mode.");
    }
    return check_shard_limit(*request.shard_count, caller);
  }
  if (request.warm_throughput_mibps.value_or(0) > kWarmMibpsMax) {
    return wire::invalid_argument("WarmThroughputMiBps must not exceed " +
                                  std::to_string(kWarmMibpsMax) + ".");
  }
  if (totals().on_demand_streams >= services_.options.on_demand_streams_max) {
    return wire::limit_exceeded("Limit for on-demand streams has been reached: " +
                                std::to_string(services_.options.on_demand_streams_max) + ".");
  }
  return std::nullopt;
}

void Handlers::handle(const Call&, wire::CreateStreamRequest& request,
                      Done<wire::CreateStreamResponse> done) {
  // Without a mode it is whether shards are asked for that tells it.
  const bool on_demand = request.stream_mode_details ? request.stream_mode_details->stream_mode ==
                                                           wire::StreamMode::kOnDemand
                                                     : !request.shard_count;
  if (auto error = check_create(request, on_demand, done.caller())) return done(*error);
  v1::AdminRequest admin_request;
  auto* create = admin_request.mutable_create_stream();
  create->set_name(request.stream_name);
  // Throughput asked for in advance is shards: one takes 1 MiB/s.
  const int32_t warm = std::clamp(request.warm_throughput_mibps.value_or(0), kOnDemandShards,
                                  services_.options.on_demand_shards_max);
  const int32_t shards = on_demand ? warm : *request.shard_count;
  const int32_t kib = request.max_record_size_in_kib.value_or(1024);
  auto& config = *create->mutable_config();
  config.set_mode(v1::STREAM_MODE_ELASTIC);
  config.set_partitions(shards);
  config.set_retention_ms(kDayMs);
  config.set_record_bytes_max(record_bytes_max(kib));
  // Equal bounds leave nothing to the autoscaler: a provisioned stream is as its owner says.
  config.set_shards_min(shards);
  config.set_shards_max(on_demand ? std::max(shards, services_.options.on_demand_shards_max)
                                  : shards);
  auto& kept = *create->mutable_attributes();
  kept[attributes::kMode] =
      on_demand ? wire::StreamMode::kOnDemand : wire::StreamMode::kProvisioned;
  kept[partition::kLimitsAttribute] = services_.options.limits;
  kept[attributes::kRecordKib] = std::to_string(kib);
  if (request.warm_throughput_mibps) {
    kept[attributes::kWarmMibps] = std::to_string(*request.warm_throughput_mibps);
  }
  if (request.tags) {
    for (const auto& [key, value] : *request.tags) kept[attributes::kTag + key] = value;
  }
  const std::string name = request.stream_name;
  admin(std::move(admin_request), [this, name, done](const Result<v1::AdminResponse>& answer) {
    if (answer.code() == Code::kAlreadyExists) {
      return done(wire::resource_in_use("Stream " + name + " under account " +
                                        done.caller().account + " already exists."));
    }
    // A stream that waits for brokers is CREATING, as after AWS's answer.
    const bool waits = answer.code() == Code::kTimeout && services_.metadata.find(name);
    if (!answer.ok() && !waits) return done(to_error(answer.status()));
    done(wire::CreateStreamResponse());
  });
}

void Handlers::handle(const Call&, wire::DeleteStreamRequest& request,
                      Done<wire::DeleteStreamResponse> done) {
  const bool enforce = request.enforce_consumer_deletion.value_or(false);
  with_stream(request, done, [this, enforce, done](const StreamPtr& stream) {
    const std::string name = stream->name();
    if (!enforce && !attributes::with_prefix(*stream, attributes::kConsumer).empty()) {
      return done(wire::resource_in_use(
          "Stream " + name + " under account " + done.caller().account +
          " has registered consumers. Deregister them, or set EnforceConsumerDeletion."));
    }
    v1::AdminRequest request;
    request.mutable_delete_stream()->set_name(name);
    admin(std::move(request),
          [this, name, id = stream->id, done](const Result<v1::AdminResponse>& answer) {
            // It goes on without us once the map says so.
            const bool goes_on = answer.code() == Code::kTimeout && !services_.metadata.find(id);
            if (answer.ok() || goes_on) return done(wire::DeleteStreamResponse());
            done(answer.code() == Code::kNotFound ? stream_not_found(name, done.caller())
                                                  : to_error(answer.status()));
          });
  });
}

}  // namespace broker::handlers::kinesis
