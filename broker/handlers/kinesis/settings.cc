// What a stream and the account are set to: retention, encryption, monitoring, mode, throughput,
// record size, the billing commitment.
#include <sstream>

#include "broker/handlers/kinesis/attributes.h"
#include "broker/handlers/kinesis/find.h"
#include "broker/handlers/kinesis/monitoring.h"

namespace broker::handlers::kinesis {
namespace {

constexpr int64_t kHourMs = 3600 * 1000;
constexpr int32_t kRetentionHoursMin = 24, kRetentionHoursMax = 8760;
constexpr int kEncryptionChangesPerDay = 25, kModeChangesPerDay = 2;
constexpr int32_t kOnDemandShardsMin = 4;
constexpr int32_t kWarmMibpsMax = 10 * 1024;

std::optional<wire::Error> check_hours(int32_t hours) {
  const std::string requested =
      " Requested retention period (" + std::to_string(hours) + " hours) is too ";
  if (hours < kRetentionHoursMin) {
    return wire::invalid_argument("Minimum allowed retention period is " +
                                  std::to_string(kRetentionHoursMin) + " hours." + requested +
                                  "short.");
  }
  if (hours > kRetentionHoursMax) {
    return wire::invalid_argument("Maximum allowed retention period is " +
                                  std::to_string(kRetentionHoursMax) + " hours." + requested +
                                  "long.");
  }
  return std::nullopt;
}

wire::Error wrong_direction(int32_t hours, const cluster::Stream& stream, const char* word,
                            const char* other) {
  return wire::invalid_argument(
      "Requested retention period (" + std::to_string(hours) + " hours) for stream " +
      stream.name() + " can not be " + word + " than existing retention period (" +
      std::to_string(retention_hours(stream)) + " hours). Use " + other + "RetentionPeriod API.");
}

// A list of 24 hours with one more change, or AWS's refusal.
std::variant<std::string, wire::Error> one_more_today(const cluster::Stream& stream,
                                                      const char* attribute, int most,
                                                      const char* what, int64_t now_ms) {
  const std::string times(attributes::get(stream, attribute));
  if (has_limits(stream) && attributes::count_of_day(times, now_ms) >= most) {
    return wire::limit_exceeded(std::string(what) + " may be called " + std::to_string(most) +
                                " times per rolling 24-hour period for a stream.");
  }
  return attributes::add_to_day(times, now_ms);
}

}  // namespace

// ---- retention ----

void Handlers::change_retention(const StreamPtr& stream, int32_t hours, Changed changed) {
  v1::StreamConfig config;
  config.set_retention_ms(hours * kHourMs);
  update_config(stream->name(), config, {"retention_ms"}, std::move(changed));
}

void Handlers::handle(const Call&, wire::IncreaseStreamRetentionPeriodRequest& request,
                      Done<wire::IncreaseStreamRetentionPeriodResponse> done) {
  const int32_t hours = request.retention_period_hours;
  if (auto error = check_hours(hours)) return done(*error);
  with_active_stream(request, done, [this, hours, done](const StreamPtr& stream) {
    if (hours < retention_hours(*stream)) {
      return done(wrong_direction(hours, *stream, "shorter", "Decrease"));
    }
    change_retention(stream, hours, respond_or_fail(done));
  });
}

void Handlers::handle(const Call&, wire::DecreaseStreamRetentionPeriodRequest& request,
                      Done<wire::DecreaseStreamRetentionPeriodResponse> done) {
  const int32_t hours = request.retention_period_hours;
  if (auto error = check_hours(hours)) return done(*error);
  with_active_stream(request, done, [this, hours, done](const StreamPtr& stream) {
    if (hours > retention_hours(*stream)) {
      return done(wrong_direction(hours, *stream, "longer", "Increase"));
    }
    change_retention(stream, hours, respond_or_fail(done));
  });
}

// ---- encryption: said and shown, as the API wants it; the data is not encrypted by it ----

void Handlers::handle(const Call&, wire::StartStreamEncryptionRequest& request,
                      Done<wire::StartStreamEncryptionResponse> done) {
  if (request.encryption_type != wire::EncryptionType::kKms) {
    return done(wire::invalid_argument("EncryptionType must be KMS."));
  }
  with_stream(request, done, [this, &request, done](const StreamPtr& stream) {
    const int64_t now_ms = services_.clock.wall_ms();
    auto decide = [key = request.key_id, now_ms,
                   caller = done.caller()](const cluster::Stream& stream) -> OrError<Change> {
      if (!is_active(stream)) return stream_not_active(stream.name(), caller, status_of(stream));
      auto times = one_more_today(stream, attributes::kEncryptionChanges, kEncryptionChangesPerDay,
                                  "StartStreamEncryption", now_ms);
      if (auto* error = std::get_if<wire::Error>(&times)) return *error;
      return Change{{{attributes::kEncryptionKey, key},
                     {attributes::kEncryptionChanges, std::get<std::string>(times)}},
                    {},
                    {attributes::kEncryptionKey, attributes::kEncryptionChanges}};
    };
    change_attributes(done.caller(), stream->name(), std::move(decide), respond_or_fail(done));
  });
}

void Handlers::handle(const Call&, wire::StopStreamEncryptionRequest& request,
                      Done<wire::StopStreamEncryptionResponse> done) {
  if (request.encryption_type != wire::EncryptionType::kKms) {
    return done(wire::invalid_argument("EncryptionType must be KMS."));
  }
  with_stream(request, done, [this, done](const StreamPtr& stream) {
    const int64_t now_ms = services_.clock.wall_ms();
    auto decide = [now_ms,
                   caller = done.caller()](const cluster::Stream& stream) -> OrError<Change> {
      if (!is_active(stream)) return stream_not_active(stream.name(), caller, status_of(stream));
      if (attributes::get(stream, attributes::kEncryptionKey).empty()) return Change{};
      auto times = one_more_today(stream, attributes::kEncryptionStops, kEncryptionChangesPerDay,
                                  "StopStreamEncryption", now_ms);
      if (auto* error = std::get_if<wire::Error>(&times)) return *error;
      return Change{{{attributes::kEncryptionStops, std::get<std::string>(times)}},
                    {attributes::kEncryptionKey},
                    {attributes::kEncryptionKey, attributes::kEncryptionStops}};
    };
    change_attributes(done.caller(), stream->name(), std::move(decide), respond_or_fail(done));
  });
}

// ---- monitoring ----

namespace {

const std::vector<std::string>& all_metrics() {
  using M = wire::MetricsName;
  static const std::vector<std::string> all = {std::string(M::kIncomingBytes),
                                               std::string(M::kIncomingRecords),
                                               std::string(M::kOutgoingBytes),
                                               std::string(M::kOutgoingRecords),
                                               std::string(M::kWriteProvisionedThroughputExceeded),
                                               std::string(M::kReadProvisionedThroughputExceeded),
                                               std::string(M::kIteratorAgeMilliseconds)};
  return all;
}

bool contains(const std::vector<std::string>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace

std::vector<std::string> monitored_metrics(const cluster::Stream& stream) {
  std::istringstream in{std::string(attributes::get(stream, attributes::kMonitoring))};
  std::vector<std::string> names;
  for (std::string name; in >> name;) names.push_back(name);
  return names;
}

template <class Request, class Response>
void Handlers::change_monitoring(const Request& request, bool enable, const Done<Response>& done) {
  with_active_stream(request, done, [this, &request, enable, done](const StreamPtr& stream) {
    const auto& asked = request.shard_level_metrics;
    const bool all = contains(asked, wire::MetricsName::kAll);
    Response response;
    response.stream_name = stream->name();
    response.stream_arn = stream_arn(done.caller(), stream->name());
    response.current_shard_level_metrics = monitored_metrics(*stream);
    std::vector<std::string> desired;
    for (const auto& name : all_metrics()) {
      const bool named = all || contains(asked, name);
      const bool before = contains(*response.current_shard_level_metrics, name);
      if (enable ? before || named : before && !named) desired.push_back(name);
    }
    response.desired_shard_level_metrics = desired;
    std::string text;
    for (const auto& name : desired) text += (text.empty() ? "" : " ") + name;
    auto decide = [text](const cluster::Stream&) -> OrError<Change> {
      if (text.empty()) return Change{{}, {attributes::kMonitoring}, {}};
      return Change{{{attributes::kMonitoring, text}}, {}, {}};
    };
    change_attributes(done.caller(), stream->name(), std::move(decide),
                      respond_or_fail(done, std::move(response)));
  });
}

void Handlers::handle(const Call&, wire::EnableEnhancedMonitoringRequest& request,
                      Done<wire::EnableEnhancedMonitoringResponse> done) {
  change_monitoring(request, true, done);
}

void Handlers::handle(const Call&, wire::DisableEnhancedMonitoringRequest& request,
                      Done<wire::DisableEnhancedMonitoringResponse> done) {
  change_monitoring(request, false, done);
}

// ---- mode and throughput ----

namespace {

std::optional<wire::Error> check_warm(std::optional<int32_t> mibps, bool on_demand) {
  if (!mibps) return std::nullopt;
  if (!on_demand) {
    return wire::invalid_argument(
        "WarmThroughputMiBps can only be specified for a stream in the ON_DEMAND mode.");
  }
  if (*mibps <= kWarmMibpsMax) return std::nullopt;
  return wire::limit_exceeded("WarmThroughputMiBps must not exceed " +
                              std::to_string(kWarmMibpsMax) + ".");
}

}  // namespace

void Handlers::handle(const Call&, wire::UpdateStreamModeRequest& request,
                      Done<wire::UpdateStreamModeResponse> done) {
  with_stream(request, done, [this, &request, done](const StreamPtr& stream) {
    if (!stream->elastic()) {
      return done(wire::invalid_argument("Stream " + stream->name() +
                                         " is a topic with a fixed number of partitions."));
    }
    const std::string mode = request.stream_mode_details.stream_mode;
    const bool on_demand = mode == wire::StreamMode::kOnDemand;
    const auto warm = request.warm_throughput_mibps;
    if (auto error = check_warm(warm, on_demand)) return done(*error);
    const int64_t now_ms = services_.clock.wall_ms();
    auto decide = [mode, on_demand, now_ms,
                   caller = done.caller()](const cluster::Stream& stream) -> OrError<Change> {
      if (!is_active(stream)) return stream_not_active(stream.name(), caller, status_of(stream));
      if (is_on_demand(stream) == on_demand) return Change{};
      auto times = one_more_today(stream, attributes::kModeChanges, kModeChangesPerDay,
                                  "UpdateStreamMode", now_ms);
      if (auto* error = std::get_if<wire::Error>(&times)) return *error;
      return Change{
          {{attributes::kMode, mode}, {attributes::kModeChanges, std::get<std::string>(times)}},
          {},
          {attributes::kMode, attributes::kModeChanges}};
    };
    auto warm_up = [this, stream, warm, done](const std::optional<wire::Error>& error) {
      if (error) return done(*error);
      if (!warm) return done(wire::UpdateStreamModeResponse());
      set_warm_throughput(done.caller(), stream->name(), *warm, respond_or_fail(done));
    };
    auto changed = [this, stream, on_demand, done, warm_up](const std::optional<wire::Error>& error) {
      if (error) return done(*error);
      const int32_t open = open_shards(*stream);
      const int32_t least = on_demand ? std::min(kOnDemandShardsMin, open) : open;
      const int32_t most =
          on_demand ? std::max(open, services_.options.on_demand_shards_max) : open;
      set_bounds(stream, least, most, warm_up);
    };
    change_attributes(done.caller(), stream->name(), std::move(decide), std::move(changed));
  });
}

void Handlers::handle(const Call&, wire::UpdateStreamWarmThroughputRequest& request,
                      Done<wire::UpdateStreamWarmThroughputResponse> done) {
  with_stream(request, done, [this, &request, done](const StreamPtr& stream) {
    const int32_t mibps = request.warm_throughput_mibps;
    if (auto error = check_warm(mibps, true)) return done(*error);
    const int32_t open = open_shards(*stream);
    wire::UpdateStreamWarmThroughputResponse response;
    response.stream_name = stream->name();
    response.stream_arn = stream_arn(done.caller(), stream->name());
    response.warm_throughput = wire::WarmThroughputObject{mibps, std::min(open, mibps)};
    set_warm_throughput(done.caller(), stream->name(), mibps,
                        respond_or_fail(done, std::move(response)));
  });
}

// One shard takes 1 MiB/s: throughput in advance is shards in advance.
void Handlers::set_warm_throughput(const wire::Caller& caller, const std::string& name,
                                   int32_t mibps, Changed changed) {
  const int32_t wanted = std::min(mibps, services_.options.on_demand_shards_max);
  auto decide = [mibps, wanted, caller](const cluster::Stream& stream) -> OrError<Change> {
    if (!is_on_demand(stream)) {
      return wire::validation("Stream " + stream.name() + " under account " + caller.account +
                              " is not in the ON_DEMAND mode.");
    }
    if (!is_active(stream)) return stream_not_active(stream.name(), caller, status_of(stream));
    Change change;
    change.set[attributes::kWarmMibps] = std::to_string(mibps);
    if (wanted > open_shards(stream)) {
      change.set[attributes::kTargetShards] = std::to_string(wanted);
    }
    change.decided_on = {attributes::kTargetShards, attributes::kMode};
    return change;
  };
  change_attributes(caller, name, std::move(decide), std::move(changed));
}

void Handlers::handle(const Call&, wire::UpdateMaxRecordSizeRequest& request,
                      Done<wire::UpdateMaxRecordSizeResponse> done) {
  with_active_stream(request, done, [this, &request, done](const StreamPtr& stream) {
    const int32_t kib = request.max_record_size_in_kib;
    v1::StreamConfig config;
    config.set_record_bytes_max(record_bytes_max(kib));
    auto changed = [this, stream, kib, done](const std::optional<wire::Error>& error) {
      if (error) return done(*error);
      auto decide = [kib](const cluster::Stream&) -> OrError<Change> {
        return Change{{{attributes::kRecordKib, std::to_string(kib)}}, {}, {}};
      };
      change_attributes(done.caller(), stream->name(), decide, respond_or_fail(done));
    };
    update_config(stream->name(), config, {"record_bytes_max"}, std::move(changed));
  });
}

// ---- the account's commitment to a least throughput ----

namespace {

constexpr const char* kCommitment = "commitment";
constexpr int64_t kCommitmentMs = 24 * kHourMs;

// "ENABLED start" or "DISABLED start end", times in Unix ms; empty: never asked for.
wire::MinimumThroughputBillingCommitmentOutput read_commitment(const std::string& text,
                                                               int64_t now_ms) {
  using Status = wire::MinimumThroughputBillingCommitmentOutputStatus;
  wire::MinimumThroughputBillingCommitmentOutput out;
  std::istringstream in(text);
  int64_t start = 0, end = 0;
  in >> out.status >> start >> end;
  if (text.empty()) {
    out.status = Status::kDisabled;
    return out;
  }
  out.started_at_ms = start;
  if (out.status == Status::kEnabled) {
    out.earliest_allowed_end_at_ms = start + kCommitmentMs;
  } else if (now_ms < end) {
    out.status = Status::kEnabledUntilEarliestAllowedEnd;
    out.earliest_allowed_end_at_ms = end;
  } else {
    out.ended_at_ms = end;
  }
  return out;
}

}  // namespace

void Handlers::handle(const Call&, wire::DescribeAccountSettingsRequest&,
                      Done<wire::DescribeAccountSettingsResponse> done) {
  wire::DescribeAccountSettingsResponse response;
  response.minimum_throughput_billing_commitment =
      read_commitment(state_.setting(kCommitment), services_.clock.wall_ms());
  done(response);
}

void Handlers::handle(const Call&, wire::UpdateAccountSettingsRequest& request,
                      Done<wire::UpdateAccountSettingsResponse> done) {
  using Status = wire::MinimumThroughputBillingCommitmentOutputStatus;
  const int64_t now_ms = services_.clock.wall_ms();
  const bool enable = request.minimum_throughput_billing_commitment.status ==
                      wire::MinimumThroughputBillingCommitmentInputStatus::kEnabled;
  const auto now = read_commitment(state_.setting(kCommitment), now_ms);
  const bool runs = now.status != Status::kDisabled;
  std::string text;
  if (enable) {
    // An end that was asked for and has not come is taken back.
    text = "ENABLED " + std::to_string(runs ? *now.started_at_ms : now_ms);
  } else if (now.status == Status::kEnabled) {
    text = "DISABLED " + std::to_string(*now.started_at_ms) + " " +
           std::to_string(std::max(now_ms, *now.earliest_allowed_end_at_ms));
  }
  wire::UpdateAccountSettingsResponse response;
  response.minimum_throughput_billing_commitment =
      text.empty() ? now : read_commitment(text, now_ms);
  if (text.empty()) return done(response);
  state_.set_setting(kCommitment, text, [done, response](const broker::Status& status) {
    status.ok() ? done(response) : done(to_error(status));
  });
}

}  // namespace broker::handlers::kinesis
