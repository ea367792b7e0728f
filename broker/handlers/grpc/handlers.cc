#include "broker/handlers/grpc/handlers.h"

#include <algorithm>
#include "broker/metering/bill.h"

namespace broker::handlers::grpc {

namespace {

constexpr int64_t kAdminTimeoutMs = 15'000;
constexpr int64_t kDescribeTimeoutMs = 1'000;
// A stream that the coordinator has made reaches this broker's metadata that soon.
constexpr int64_t kCreatedGraceMs = 3'000;

Status check_name(const std::string& name) {
  if (!name.empty()) return {};
  return Status(Code::kInvalidArgument, "the stream's name is missing");
}

// DescribeStream while shards' leaders are asked: answers when the last one has, or in time.
struct Description : std::enable_shared_from_this<Description> {
  v1::DescribeStreamResponse response;
  Done<v1::DescribeStreamResponse> done;
  int left = 0;

  void answer() {
    if (!done) return;
    auto finish = std::move(done);
    done = nullptr;
    finish(std::move(response));
  }
  void on_offsets(int position, const Result<routing::ShardOffsets>& offsets) {
    if (!done) return;
    if (offsets.ok()) {
      auto* info = response.mutable_shards(position);
      info->set_log_start(offsets->log_start.value);
      info->set_high_watermark(offsets->high_watermark.value);
    }
    if (--left == 0) answer();
  }
};

}  // namespace

Handlers::Handlers(BrokerId self, Parts parts)
    : flow_metrics_(parts.metrics),
      watch_(parts.metadata),
      producer_ids_(parts.random),
      context_{self,   parts.clock,   parts.executor, parts.metadata, parts.shards,
               watch_, flow_metrics_, producer_ids_,  parts.admin} {}

void Handlers::create_stream(const v1::CreateStreamRequest& request,
                             Done<v1::DescribeStreamResponse> done) {
  if (Status status = check_name(request.name()); !status.ok()) return done(status);
  if (Status status = check_not_internal(request.name()); !status.ok()) return done(status);
  v1::AdminRequest admin;
  admin.mutable_create_stream()->set_name(request.name());
  *admin.mutable_create_stream()->mutable_config() = request.config();
  context_.admin(std::move(admin), kAdminTimeoutMs,
                 [this, name = request.name(), done](Result<v1::AdminResponse> response) {
                   if (!response.ok()) return done(response.status());
                   describe_when_known(name, context_.clock.mono_ms() + kCreatedGraceMs, done);
                 });
}

void Handlers::delete_stream(const v1::DeleteStreamRequest& request,
                             Done<v1::DeleteStreamResponse> done) {
  if (Status status = check_name(request.name()); !status.ok()) return done(status);
  if (Status status = check_not_internal(request.name()); !status.ok()) return done(status);
  v1::AdminRequest admin;
  admin.mutable_delete_stream()->set_name(request.name());
  context_.admin(std::move(admin), kAdminTimeoutMs, [done](Result<v1::AdminResponse> response) {
    if (!response.ok()) return done(response.status());
    done(v1::DeleteStreamResponse());
  });
}

void Handlers::update_stream(const v1::UpdateStreamRequest& request,
                             Done<v1::DescribeStreamResponse> done) {
  if (Status status = check_name(request.name()); !status.ok()) return done(status);
  if (Status status = check_not_internal(request.name()); !status.ok()) return done(status);
  if (request.has_limits()) {
    auto limits = partition::parse_limits(request.limits());
    if (!limits.ok()) return done(limits.status());
    if (request.fields().empty()) return set_limits(request.name(), request.limits(), done);
    done = [this, request, done](Result<v1::DescribeStreamResponse> response) {
      if (!response.ok()) return done(std::move(response));
      set_limits(request.name(), request.limits(), done);
    };
  }
  v1::AdminRequest admin;
  auto* update = admin.mutable_update_stream();
  update->set_name(request.name());
  *update->mutable_config() = request.config();
  *update->mutable_fields() = request.fields();
  context_.admin(std::move(admin), kAdminTimeoutMs,
                 [this, name = request.name(), done](Result<v1::AdminResponse> response) {
                   if (!response.ok()) return done(response.status());
                   describe_when_known(name, context_.clock.mono_ms() + kCreatedGraceMs, done);
                 });
}

void Handlers::set_limits(const std::string& stream, const std::string& limits,
                          Done<v1::DescribeStreamResponse> done) {
  v1::AdminRequest admin;
  admin.mutable_set_attributes()->set_stream(stream);
  (*admin.mutable_set_attributes()->mutable_set())[partition::kLimitsAttribute] = limits;
  context_.admin(std::move(admin), kAdminTimeoutMs,
                 [this, stream, done](Result<v1::AdminResponse> response) {
                   if (!response.ok()) return done(response.status());
                   describe_when_known(stream, context_.clock.mono_ms() + kCreatedGraceMs, done);
                 });
}

void Handlers::list_streams(const v1::ListStreamsRequest&, Done<v1::ListStreamsResponse> done) {
  v1::ListStreamsResponse response;
  for (const auto& stream : context_.metadata.streams()) {
    auto* summary = response.add_streams();
    summary->set_name(stream->name());
    summary->set_id(stream->id.to_string());
    summary->set_mode(stream->map.config().mode());
    int closed = 0;
    for (const auto& shard : stream->map.shards()) {
      closed += shard.state() == v1::SHARD_STATE_CLOSED ? 1 : 0;
    }
    summary->set_open_shards(stream->map.shards_size() - closed);
    summary->set_closed_shards(closed);
  }
  done(std::move(response));
}

void Handlers::describe_stream(const v1::DescribeStreamRequest& request,
                               Done<v1::DescribeStreamResponse> done) {
  if (Status status = check_name(request.name()); !status.ok()) return done(status);
  auto stream = context_.metadata.find(request.name());
  if (!stream) return done(unknown_stream(request.name()));
  describe(stream, std::move(done));
}

void Handlers::describe_when_known(std::string name, int64_t give_up_ms,
                                   Done<v1::DescribeStreamResponse> done) {
  if (auto stream = context_.metadata.find(name)) return describe(stream, std::move(done));
  if (context_.clock.mono_ms() >= give_up_ms) {
    return done(Status(Code::kTimeout, "stream '" + name +
                                           "' was made, but this broker has not heard of it yet"));
  }
  context_.executor.schedule_after(
      kUnknownStreamPollMs, [this, name = std::move(name), give_up_ms, done = std::move(done)] {
        describe_when_known(name, give_up_ms, done);
      });
}

void Handlers::describe(const cluster::StreamPtr& stream, Done<v1::DescribeStreamResponse> done) {
  auto description = std::make_shared<Description>();
  description->done = std::move(done);
  description->response.set_name(stream->name());
  description->response.set_id(stream->id.to_string());
  *description->response.mutable_config() = stream->map.config();
  auto limits = stream->map.attributes().find(partition::kLimitsAttribute);
  description->response.set_limits(limits == stream->map.attributes().end() ? "none"
                                                                            : limits->second);
  for (const auto& shard : stream->map.shards()) {
    *description->response.add_shards()->mutable_shard() = shard;
  }
  description->left = stream->map.shards_size();
  if (description->left == 0) return description->answer();
  context_.executor.schedule_after(
      kDescribeTimeoutMs, [weak = std::weak_ptr(description)] {
        if (auto description = weak.lock()) description->answer();
      });
  for (int i = 0; i < stream->map.shards_size(); ++i) {
    context_.shards.offsets(ShardId{stream->id, stream->map.shards(i).index()},
                            [description, i](Result<routing::ShardOffsets> offsets) {
                              description->on_offsets(i, offsets);
                            });
  }
}

void Handlers::split_shard(const v1::SplitShardRequest& request, Done<v1::ReshardResponse> done) {
  v1::AdminRequest admin;
  auto* split = admin.mutable_split_shard();
  split->set_stream(request.stream());
  split->set_index(request.shard());
  *split->mutable_at() = request.at();
  split->set_into(request.into());
  reshard(std::move(admin), std::move(done));
}

void Handlers::merge_shards(const v1::MergeShardsRequest& request,
                            Done<v1::ReshardResponse> done) {
  v1::AdminRequest admin;
  auto* merge = admin.mutable_merge_shards();
  merge->set_stream(request.stream());
  merge->set_index(request.shard());
  merge->set_adjacent(request.adjacent());
  reshard(std::move(admin), std::move(done));
}

void Handlers::reshard(v1::AdminRequest request, Done<v1::ReshardResponse> done) {
  const std::string& stream =
      request.has_split_shard() ? request.split_shard().stream() : request.merge_shards().stream();
  if (Status status = check_name(stream); !status.ok()) return done(status);
  context_.admin(std::move(request), kAdminTimeoutMs, [done](Result<v1::AdminResponse> response) {
    if (!response.ok()) return done(response.status());
    v1::ReshardResponse reshard;
    *reshard.mutable_new_shards() = response->shards();
    done(std::move(reshard));
  });
}

void Handlers::place_shard(const v1::PlaceShardRequest& request,
                           Done<v1::PlaceShardResponse> done) {
  if (Status status = check_name(request.stream()); !status.ok()) return done(status);
  if (request.elect() && request.brokers().empty()) {
    return done(Status(Code::kInvalidArgument, "elect: give brokers, the leader to be first"));
  }
  v1::AdminRequest admin;
  auto* reassign = admin.mutable_reassign_shard();
  reassign->set_stream(request.stream());
  reassign->set_index(request.shard());
  *reassign->mutable_brokers() = request.brokers();
  context_.admin(std::move(admin), kAdminTimeoutMs, [this, request, done](
                                                        Result<v1::AdminResponse> placed) {
    if (!placed.ok()) return done(placed.status());
    if (!request.elect()) return done(v1::PlaceShardResponse());
    v1::AdminRequest elect;
    elect.mutable_elect_preferred()->set_stream(request.stream());
    elect.mutable_elect_preferred()->set_index(request.shard());
    context_.admin(std::move(elect), kAdminTimeoutMs, [done](Result<v1::AdminResponse> elected) {
      // It leads already.
      if (!elected.ok() && elected.code() != Code::kAlreadyExists) return done(elected.status());
      done(v1::PlaceShardResponse());
    });
  });
}

void Handlers::describe_cluster(const v1::DescribeClusterRequest&,
                                Done<v1::DescribeClusterResponse> done) {
  v1::DescribeClusterResponse response;
  response.set_cluster_id(context_.metadata.cluster_id());
  for (const auto& [id, broker] : context_.metadata.brokers()) *response.add_brokers() = broker;
  response.set_answered_by(context_.self.value);
  done(std::move(response));
}

int64_t Handlers::mutations(const v1::CreateStreamRequest& request) const {
  return std::max(1, request.config().partitions());
}

int64_t Handlers::mutations(const v1::DeleteStreamRequest& request) const {
  auto stream = context_.metadata.find(request.name());
  return stream ? stream->map.shards_size() : 0;
}

int64_t Handlers::mutations(const v1::SplitShardRequest& request) const {
  return request.at_size() > 0 ? request.at_size() + 1 : std::max(2, request.into());
}

void Handlers::describe_bill(const v1::DescribeBillRequest& request, Done<v1::Bill> done) {
  auto stream = request.stream().empty() ? nullptr : context_.metadata.find(request.stream());
  if (!request.stream().empty() && !stream) return done(unknown_stream(request.stream()));
  const auto streams = context_.metadata.streams();  // keeps the maps
  metering::BillInput input;
  for (const auto& each : streams) input.maps.push_back(&each->map);
  input.ledger = context_.metadata.ledger();
  input.prices = context_.metadata.prices();
  input.now_ms = context_.clock.wall_ms();
  v1::Bill bill = metering::make_bill(input);
  done(stream ? metering::bill_of(bill, stream->name()) : std::move(bill));
}

std::shared_ptr<PublishFlow> Handlers::publish(PublishFlow::Output output) {
  return std::make_shared<PublishFlow>(context_, std::move(output));
}

std::shared_ptr<SubscribeFlow> Handlers::subscribe(SubscribeFlow::Output output) {
  return std::make_shared<SubscribeFlow>(context_, std::move(output));
}

}  // namespace broker::handlers::grpc
