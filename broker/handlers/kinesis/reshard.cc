// SplitShard, MergeShards, UpdateShardCount.
#include "broker/handlers/kinesis/attributes.h"
#include "broker/handlers/kinesis/find.h"

namespace broker::handlers::kinesis {
namespace {

constexpr int kCountChangesPerDay = 10;
constexpr int32_t kTargetMax = 10'000;

// Why the stream's shards cannot be changed by hand, or nothing.
std::optional<wire::Error> check_reshardable(const cluster::Stream& stream,
                                             const wire::Caller& caller) {
  if (!stream.elastic()) {
    return wire::invalid_argument("Stream " + stream.name() + " under account " + caller.account +
                                  " is a topic with a fixed number of partitions: its shards "
                                  "neither split nor merge.");
  }
  if (is_on_demand(stream)) {
    return wire::validation("Request is invalid. Stream " + stream.name() + " under account " +
                            caller.account + " is in On-Demand mode.");
  }
  if (is_active(stream)) return std::nullopt;
  return stream_not_active(stream.name(), caller, status_of(stream));
}

std::variant<const v1::Shard*, wire::Error> open_shard(const cluster::Stream& stream,
                                                       const std::string& text,
                                                       const wire::Caller& caller) {
  const auto* shard = find_shard(stream, text);
  if (!shard) {
    return shard_not_found(format_shard_id(*parse_shard_id(text)), stream.name(), caller);
  }
  if (shard->state() == v1::SHARD_STATE_OPEN) return shard;
  return wire::invalid_argument("Shard " + format_shard_id(shard->index()) + " in stream " +
                                stream.name() + " under account " + caller.account +
                                " has already been merged or split, and thus is not eligible for "
                                "merging or splitting.");
}

bool has_fixed_bounds(const cluster::Stream& stream) {
  return stream.map.config().shards_min() == stream.map.config().shards_max();
}

std::optional<wire::Error> check_target(int32_t open, int32_t target) {
  const std::string counts =
      " your current open shard count. Current open shard count: " + std::to_string(open) +
      " Target shard count: " + std::to_string(target);
  if (target > open * 2) {
    return wire::invalid_argument("UpdateShardCount cannot scale up over double" + counts);
  }
  if (target * 2 < open) {
    return wire::invalid_argument("UpdateShardCount cannot scale down below half" + counts);
  }
  return std::nullopt;
}

}  // namespace

void Handlers::set_bounds(const StreamPtr& stream, int32_t shards_min, int32_t shards_max,
                          Changed changed) {
  const auto& now = stream->map.config();
  if (now.shards_min() == shards_min && now.shards_max() == shards_max) {
    return changed(std::nullopt);
  }
  v1::StreamConfig config;
  config.set_shards_min(shards_min);
  config.set_shards_max(shards_max);
  update_config(stream->name(), config, {"shards_min", "shards_max"}, std::move(changed));
}

void Handlers::reshard(const StreamPtr& stream, int32_t open, v1::AdminRequest request,
                       Changed changed) {
  const bool fixed = has_fixed_bounds(*stream);
  const auto& config = stream->map.config();
  auto fix = [this, stream, fixed, open, changed](const std::optional<wire::Error>& error) {
    if (error || !fixed) return changed(error);
    auto now = services_.metadata.find(stream->id);
    if (!now) return changed(std::nullopt);
    set_bounds(now, open, open, changed);
  };
  auto act = [this, request = std::move(request), fix,
              changed](const std::optional<wire::Error>& error) mutable {
    if (error) return changed(error);
    admin(std::move(request), [fix, changed](const Result<v1::AdminResponse>& answer) {
      // A seal that takes its time goes on by itself: the stream is UPDATING meanwhile.
      if (answer.ok() || answer.code() == Code::kTimeout) return fix(std::nullopt);
      changed(to_error(answer.status()));
    });
  };
  set_bounds(stream, std::min(config.shards_min(), open), std::max(config.shards_max(), open),
             std::move(act));
}

void Handlers::handle(const Call&, wire::SplitShardRequest& request,
                      Done<wire::SplitShardResponse> done) {
  if (!parse_shard_id(request.shard_to_split)) {
    return done(shard_not_found(request.shard_to_split, name_in(request), done.caller()));
  }
  with_stream(request, done, [this, &request, done](const StreamPtr& stream) {
    if (auto error = check_reshardable(*stream, done.caller())) return done(*error);
    auto found = open_shard(*stream, request.shard_to_split, done.caller());
    if (auto* error = std::get_if<wire::Error>(&found)) return done(*error);
    const auto& shard = *std::get<const v1::Shard*>(found);
    const auto range = range_of(*stream, shard);
    auto key = coordination::parse_hash_key(request.new_starting_hash_key);
    if (!key || *key <= range.first + 1 || *key >= range.last) {
      return done(wire::invalid_argument(
          "NewStartingHashKey " + request.new_starting_hash_key +
          " used in SplitShard() on shard " + format_shard_id(shard.index()) + " in stream " +
          stream->name() + " under account " + done.caller().account +
          " is not both greater than one plus the shard's StartingHashKey " +
          coordination::format_hash_key(range.first) + " and less than the shard's EndingHashKey " +
          coordination::format_hash_key(range.last) + "."));
    }
    if (auto error = check_shard_limit(1, done.caller())) return done(*error);
    v1::AdminRequest admin_request;
    auto* split = admin_request.mutable_split_shard();
    split->set_stream(stream->name());
    split->set_index(shard.index());
    split->add_at(request.new_starting_hash_key);
    reshard(stream, open_shards(*stream) + 1, std::move(admin_request), respond_or_fail(done));
  });
}

void Handlers::handle(const Call&, wire::MergeShardsRequest& request,
                      Done<wire::MergeShardsResponse> done) {
  for (const auto& id : {request.shard_to_merge, request.adjacent_shard_to_merge}) {
    if (!parse_shard_id(id)) return done(shard_not_found(id, name_in(request), done.caller()));
  }
  with_stream(request, done, [this, &request, done](const StreamPtr& stream) {
    if (auto error = check_reshardable(*stream, done.caller())) return done(*error);
    auto first = open_shard(*stream, request.shard_to_merge, done.caller());
    if (auto* error = std::get_if<wire::Error>(&first)) return done(*error);
    auto second = open_shard(*stream, request.adjacent_shard_to_merge, done.caller());
    if (auto* error = std::get_if<wire::Error>(&second)) return done(*error);
    const auto& shard = *std::get<const v1::Shard*>(first);
    const auto& adjacent = *std::get<const v1::Shard*>(second);
    // In this order, as at AWS.
    const auto low = range_of(*stream, shard), high = range_of(*stream, adjacent);
    if (!coordination::are_adjacent(low, high) || low.first > high.first) {
      return done(wire::invalid_argument(
          "Shards " + format_shard_id(shard.index()) + " and " + format_shard_id(adjacent.index()) +
          " in stream " + stream->name() + " under account " + done.caller().account +
          " are not an adjacent pair of shards eligible for merging"));
    }
    v1::AdminRequest admin_request;
    auto* merge = admin_request.mutable_merge_shards();
    merge->set_stream(stream->name());
    merge->set_index(shard.index());
    merge->set_adjacent(adjacent.index());
    reshard(stream, open_shards(*stream) - 1, std::move(admin_request), respond_or_fail(done));
  });
}

void Handlers::handle(const Call&, wire::UpdateShardCountRequest& request,
                      Done<wire::UpdateShardCountResponse> done) {
  with_stream(request, done, [this, &request, done](const StreamPtr& stream) {
    if (auto error = check_reshardable(*stream, done.caller())) return done(*error);
    const int32_t open = open_shards(*stream), target = request.target_shard_count;
    if (target > kTargetMax) {
      return done(wire::limit_exceeded("UpdateShardCount scales to " + std::to_string(kTargetMax) +
                                       " shards at most."));
    }
    const bool limited = has_limits(*stream);
    if (limited) {
      if (auto error = check_target(open, target)) return done(*error);
    }
    if (auto error = check_shard_limit(target - open, done.caller())) return done(*error);
    wire::UpdateShardCountResponse response;
    response.stream_name = stream->name();
    response.stream_arn = stream_arn(done.caller(), stream->name());
    response.current_shard_count = open;
    response.target_shard_count = target;
    const int64_t now_ms = services_.clock.wall_ms();
    auto decide = [target, limited, now_ms,
                   caller = done.caller()](const cluster::Stream& stream) -> OrError<Change> {
      if (!is_active(stream)) return stream_not_active(stream.name(), caller, status_of(stream));
      const std::string changes(attributes::get(stream, attributes::kCountChanges));
      if (limited && attributes::count_of_day(changes, now_ms) >= kCountChangesPerDay) {
        return wire::limit_exceeded("UpdateShardCount may be called " +
                                    std::to_string(kCountChangesPerDay) +
                                    " times per rolling 24-hour period for a stream.");
      }
      Change change;
      change.set[attributes::kTargetShards] = std::to_string(target);
      change.set[attributes::kCountChanges] = attributes::add_to_day(changes, now_ms);
      change.decided_on = {attributes::kTargetShards, attributes::kCountChanges};
      return change;
    };
    change_attributes(done.caller(), stream->name(), std::move(decide),
                      respond_or_fail(done, std::move(response)));
  });
}

}  // namespace broker::handlers::kinesis
