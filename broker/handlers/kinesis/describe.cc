// DescribeStream, DescribeStreamSummary, DescribeLimits, ListStreams, ListShards.
#include "broker/handlers/kinesis/attributes.h"
#include "broker/handlers/kinesis/find.h"
#include "broker/handlers/kinesis/monitoring.h"
#include "broker/handlers/kinesis/pages.h"

namespace broker::handlers::kinesis {
namespace {

constexpr int32_t kDescribeShards = 100, kListStreams = 100, kListShards = 1000;
constexpr size_t kNameMax = 128;  // a topic's may be longer: Kinesis could not ask for it

wire::StreamModeDetails mode_of(const cluster::Stream& stream) {
  return {std::string(is_on_demand(stream) ? wire::StreamMode::kOnDemand
                                           : wire::StreamMode::kProvisioned)};
}

// What both descriptions say.
template <class Description>
void describe_common(const cluster::Stream& stream, const wire::Caller& caller, Description& out) {
  out.stream_name = stream.name();
  out.stream_arn = stream_arn(caller, stream.name());
  out.stream_status = status_of(stream);
  out.stream_mode_details = mode_of(stream);
  out.retention_period_hours = retention_hours(stream);
  out.stream_creation_timestamp_ms = created_ms(stream);
  out.enhanced_monitoring.push_back({monitored_metrics(stream)});
  const std::string key(attributes::get(stream, attributes::kEncryptionKey));
  out.encryption_type =
      std::string(key.empty() ? wire::EncryptionType::kNone : wire::EncryptionType::kKms);
  if (!key.empty()) out.key_id = key;
}

bool is_listed(const cluster::Stream& stream) {
  return !is_internal_stream(stream.name()) && stream.name().size() <= kNameMax;
}

}  // namespace

void Handlers::handle(const Call&, wire::DescribeStreamRequest& request,
                      Done<wire::DescribeStreamResponse> done) {
  with_stream(request, done, [this, &request, done](const StreamPtr& stream) {
    wire::DescribeStreamResponse response;
    auto& out = response.stream_description;
    describe_common(*stream, done.caller(), out);
    const size_t limit = page_size(request.limit, kDescribeShards);
    int32_t after = -1;
    if (request.exclusive_start_shard_id) {
      auto index = parse_shard_id(*request.exclusive_start_shard_id);
      if (!index) {
        return done(
            shard_not_found(*request.exclusive_start_shard_id, stream->name(), done.caller()));
      }
      after = *index;
    }
    for (const auto* shard : live_shards(*stream, services_.clock.wall_ms())) {
      if (shard->index() <= after) continue;
      if (out.shards.size() == limit) {
        out.has_more_shards = true;
        break;
      }
      out.shards.push_back(describe(*stream, *shard));
    }
    done(response);
  });
}

void Handlers::handle(const Call&, wire::DescribeStreamSummaryRequest& request,
                      Done<wire::DescribeStreamSummaryResponse> done) {
  with_stream(request, done, [done](const StreamPtr& stream) {
    wire::DescribeStreamSummaryResponse response;
    auto& out = response.stream_description_summary;
    describe_common(*stream, done.caller(), out);
    out.stream_id = stream_id_text(stream->id);
    out.open_shard_count = open_shards(*stream);
    out.consumer_count =
        static_cast<int32_t>(attributes::with_prefix(*stream, attributes::kConsumer).size());
    out.max_record_size_in_kib = record_kib(*stream);
    const auto warm = attributes::get_number(*stream, attributes::kWarmMibps, 0);
    if (warm > 0 && is_on_demand(*stream)) {
      out.warm_throughput = wire::WarmThroughputObject{
          static_cast<int32_t>(warm), std::min(static_cast<int32_t>(warm), open_shards(*stream))};
    }
    done(response);
  });
}

void Handlers::handle(const Call&, wire::DescribeLimitsRequest&,
                      Done<wire::DescribeLimitsResponse> done) {
  const Totals now = totals();
  wire::DescribeLimitsResponse response;
  response.shard_limit = services_.options.shard_limit;
  response.open_shard_count = now.shards;
  response.on_demand_stream_count = now.on_demand_streams;
  response.on_demand_stream_count_limit = services_.options.on_demand_streams_max;
  done(response);
}

void Handlers::handle(const Call&, wire::ListStreamsRequest& request,
                      Done<wire::ListStreamsResponse> done) {
  with_page<wire::ListStreamsResponse>(
      wire::Operation::kListStreams, request.next_token, done,
      [this, &request, done](const PageToken& page) {
        const std::string after =
            page.last.empty() ? request.exclusive_start_stream_name.value_or("") : page.last;
        const size_t limit = page_size(request.limit, kListStreams);
        wire::ListStreamsResponse response;
        response.stream_summaries.emplace();
        for (const auto& stream : services_.metadata.streams()) {
          if (!is_listed(*stream) || stream->name() <= after) continue;
          if (!access_.may_describe(done.caller(), stream->name())) continue;
          if (response.stream_names.size() == limit) {
            response.has_more_streams = true;
            break;
          }
          response.stream_names.push_back(stream->name());
          response.stream_summaries->push_back(
              {stream->name(), stream_arn(done.caller(), stream->name()),
               std::string(status_of(*stream)), mode_of(*stream), created_ms(*stream)});
        }
        if (!response.has_more_streams) return done(response);
        PageToken next = page;
        next.operation = wire::to_string(wire::Operation::kListStreams);
        next.last = response.stream_names.back();
        respond_with_page(done, std::move(response), std::move(next));
      });
}

namespace {

// A filter of ListShards, kept in tokens as text: TYPE[ VALUE].
struct Filter {
  std::string type;
  int32_t after_shard = -1;
  int64_t at_ms = 0;
};

std::variant<Filter, wire::Error> read_filter(const std::optional<wire::ShardFilter>& wanted,
                                              int64_t now_ms) {
  Filter filter;
  if (!wanted) return filter;
  filter.type = wanted->type;
  if (filter.type == wire::ShardFilterType::kAfterShardId) {
    auto index = parse_shard_id(wanted->shard_id.value_or(""));
    if (!index) {
      return wire::invalid_argument(
          "A ShardFilter of the type AFTER_SHARD_ID must have a valid ShardId.");
    }
    filter.after_shard = *index;
  } else if (wanted->shard_id) {
    return wire::invalid_argument("ShardId is only for a ShardFilter of the type AFTER_SHARD_ID.");
  }
  const bool timed = filter.type == wire::ShardFilterType::kAtTimestamp ||
                     filter.type == wire::ShardFilterType::kFromTimestamp;
  if (timed != wanted->timestamp_ms.has_value()) {
    return wire::invalid_argument(
        "Timestamp is for a ShardFilter of the type AT_TIMESTAMP or FROM_TIMESTAMP, and these "
        "must have it.");
  }
  if (timed && *wanted->timestamp_ms > now_ms) {
    return wire::invalid_argument("The ShardFilter's Timestamp lies in the future.");
  }
  filter.at_ms = wanted->timestamp_ms.value_or(0);
  return filter;
}

std::string to_text(const Filter& filter) {
  return filter.type + " " + std::to_string(filter.after_shard) + " " +
         std::to_string(filter.at_ms);
}

Filter from_text(const std::string& text) {
  Filter filter;
  size_t space = text.find(' ');
  if (space == std::string::npos) return filter;
  filter.type = text.substr(0, space);
  char* end = nullptr;
  filter.after_shard = static_cast<int32_t>(std::strtol(text.c_str() + space, &end, 10));
  filter.at_ms = std::strtoll(end, nullptr, 10);
  return filter;
}

bool was_open_at(const v1::Shard& shard, int64_t at_ms) {
  return shard.opened_ms() <= at_ms &&
         (shard.state() != v1::SHARD_STATE_CLOSED || shard.closed_ms() > at_ms);
}

bool passes(const Filter& filter, const cluster::Stream& stream, const v1::Shard& shard,
            int64_t now_ms) {
  using Type = wire::ShardFilterType;
  if (filter.type == Type::kAfterShardId) return shard.index() > filter.after_shard;
  if (filter.type == Type::kAtLatest) return shard.state() != v1::SHARD_STATE_CLOSED;
  const int64_t retention_ms = stream.map.config().retention_ms();
  const int64_t born_ms = created_ms(stream);
  // Nothing is older than the stream.
  auto in_life = [&](int64_t at_ms) { return std::max(at_ms, born_ms); };
  if (filter.type == Type::kAtTrimHorizon) {
    return was_open_at(shard, in_life(retention_ms < 0 ? 0 : now_ms - retention_ms));
  }
  if (filter.type == Type::kAtTimestamp) return was_open_at(shard, in_life(filter.at_ms));
  if (filter.type == Type::kFromTimestamp) {
    return shard.state() != v1::SHARD_STATE_CLOSED || shard.closed_ms() >= filter.at_ms;
  }
  return true;  // FROM_TRIM_HORIZON, or no filter
}

}  // namespace

void Handlers::handle(const Call&, wire::ListShardsRequest& request,
                      Done<wire::ListShardsResponse> done) {
  const bool named = request.stream_name || request.stream_arn;
  if (!request.next_token && !named) {
    return done(wire::invalid_argument("Either NextToken or StreamName should be provided."));
  }
  if (request.next_token && request.stream_name) {
    return done(wire::invalid_argument("NextToken and StreamName cannot be provided together."));
  }
  if (request.next_token && (request.exclusive_start_shard_id ||
                             request.stream_creation_timestamp_ms || request.shard_filter)) {
    return done(
        wire::invalid_argument("NextToken cannot be provided together with ExclusiveStartShardId, "
                               "StreamCreationTimestamp or ShardFilter."));
  }
  if (!request.next_token) {
    return with_stream(request, done, [this, &request, done](const StreamPtr& stream) {
      list_shards(stream, request, {}, done);
    });
  }
  with_page<wire::ListShardsResponse>(
      wire::Operation::kListShards, request.next_token, done,
      [this, &request, done](const PageToken& page) {
        auto stream = services_.metadata.find(page.stream);
        if (!stream) return done(wire::resource_not_found("The token's stream is gone."));
        if (auto denied = access_.check(done.caller(), wire::Operation::kListShards,
                                        stream->name())) {
          return done(*denied);
        }
        list_shards(stream, request, page, done);
      });
}

void Handlers::list_shards(const StreamPtr& stream, const wire::ListShardsRequest& request,
                           const PageToken& page, const Done<wire::ListShardsResponse>& done) {
  const int64_t now_ms = services_.clock.wall_ms();
  auto read = read_filter(request.shard_filter, now_ms);
  if (auto* error = std::get_if<wire::Error>(&read)) return done(*error);
  const Filter filter = page.filter.empty() ? std::get<Filter>(read) : from_text(page.filter);
  if (request.stream_creation_timestamp_ms &&
      *request.stream_creation_timestamp_ms / 1000 != created_ms(*stream) / 1000) {
    return done(stream_not_found(stream->name(), done.caller()));
  }
  const std::string after_text =
      page.last.empty() ? request.exclusive_start_shard_id.value_or("") : page.last;
  int32_t after = -1;
  if (!after_text.empty()) {
    auto index = parse_shard_id(after_text);
    if (!index) return done(shard_not_found(after_text, stream->name(), done.caller()));
    after = *index;
  }
  const size_t limit = page_size(request.max_results, kListShards);
  wire::ListShardsResponse response;
  response.shards.emplace();
  for (const auto* shard : live_shards(*stream, now_ms)) {
    if (shard->index() <= after || !passes(filter, *stream, *shard, now_ms)) continue;
    if (response.shards->size() == limit) {
      PageToken next{std::string(wire::to_string(wire::Operation::kListShards)), stream->id,
                     response.shards->back().shard_id, to_text(filter), 0};
      return respond_with_page(done, std::move(response), std::move(next));
    }
    response.shards->push_back(describe(*stream, *shard));
  }
  done(response);
}

}  // namespace broker::handlers::kinesis
