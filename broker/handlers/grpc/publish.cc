#include "broker/handlers/grpc/publish.h"

#include <algorithm>

#include "broker/model/records.h"

namespace broker::handlers::grpc {

namespace {

constexpr int64_t kDeliveryTimeoutMs = 30'000;
// Of one attempt; what is sent again is recognised by its sequence.
constexpr int64_t kAttemptTimeoutMs = 5'000;
constexpr int64_t kBackoffMinMs = 10, kBackoffMaxMs = 250;
constexpr size_t kBatchTargetBytes = 512 * 1024;

// At least as many bytes as the record takes in a batch.
size_t encoded_bytes(const v1::Record& record) {
  size_t bytes = 32 + record.key().size() + record.value().size();
  for (const auto& header : record.headers()) {
    bytes += 10 + header.key().size() + header.value().size();
  }
  return bytes;
}

size_t batch_bytes_max(const cluster::Stream& stream) {
  int32_t limit = stream.map.config().record_bytes_max();
  return limit > 0 ? static_cast<size_t>(limit) : size_t{1} << 20;
}

partition::Acks acks_of(const v1::PublishRequest& request) {
  return request.acks() == v1::ACKS_LEADER ? partition::Acks::kLeader : partition::Acks::kAll;
}

bool overlap(const coordination::KeyRange& a, const coordination::KeyRange& b) {
  return a.first <= b.last && b.first <= a.last;
}

void add_record(RecordBatchBuilder& builder, const v1::Record& record) {
  std::vector<RecordHeader> headers;
  headers.reserve(static_cast<size_t>(record.headers_size()));
  for (const auto& header : record.headers()) {
    headers.push_back({header.key(), header.has_value()
                                         ? std::optional<std::string_view>(header.value())
                                         : std::nullopt});
  }
  builder.add(record.timestamp_ms(),
              record.has_key() ? std::optional<std::string_view>(record.key()) : std::nullopt,
              std::string_view(record.value()), headers);
}

}  // namespace

PublishFlow::PublishFlow(const Context& context, Output output)
    : context_(context), output_(std::move(output)) {}

void PublishFlow::on_request(v1::PublishRequest message, size_t request_bytes) {
  if (ended_ || !accept(message)) return;
  auto request = std::make_unique<Request>();
  request->bytes = request_bytes;
  request->left = message.records_size();
  request->deadline_ms = context_.clock.mono_ms() + kDeliveryTimeoutMs;
  request->began_us = context_.clock.mono_us();
  request->message = std::move(message);
  for (int i = 0; i < request->left; ++i) request->response.add_results();
  requests_.push_back(std::move(request));
  if (stream_) {
    route_all();
  } else if (requests_.size() == 1) {
    find_stream(context_.clock.mono_ms() + kUnknownStreamGraceMs);
  }
}

bool PublishFlow::accept(const v1::PublishRequest& message) {
  if (stream_name_.empty()) stream_name_ = message.stream();
  if (stream_name_.empty()) {
    finish(Status(Code::kInvalidArgument, "the first PublishRequest must name its stream"));
  } else if (!message.stream().empty() && message.stream() != stream_name_) {
    finish(Status(Code::kInvalidArgument,
                  "this call publishes to '" + stream_name_ + "': open another for '" +
                      message.stream() + "'"));
  }
  return !ended_;
}

void PublishFlow::find_stream(int64_t give_up_ms) {
  if (ended_) return;
  if (Status status = check_not_internal(stream_name_); !status.ok()) return finish(status);
  stream_ = context_.metadata.find(stream_name_);
  if (!stream_) {
    if (context_.clock.mono_ms() >= give_up_ms) return finish(unknown_stream(stream_name_));
    context_.executor.schedule_after(kUnknownStreamPollMs, [self = shared_from_this(), give_up_ms] {
      self->find_stream(give_up_ms);
    });
    return;
  }
  partitioner_.set_stream(stream_);
  watch_ = context_.watch.add(stream_->id, [weak = weak_from_this()] {
    if (auto self = weak.lock()) self->on_stream_changed();
  });
  route_all();
}

void PublishFlow::on_half_close() {
  half_closed_ = true;
  answer();
}

void PublishFlow::cancel() {
  if (ended_) return;
  ended_ = true;
  if (watch_) context_.watch.remove(watch_);
  for (auto& [shard, lane] : lanes_) {
    if (lane.retry) context_.executor.cancel(*lane.retry);
  }
  lanes_.clear();
  requests_.clear();
}

void PublishFlow::finish(const Status& status) {
  if (ended_) return;
  cancel();
  output_.finish(status);
}

void PublishFlow::route_all() {
  for (auto& request : requests_) {
    if (!request->routed) route(*request);
  }
  pump();
  answer();
}

void PublishFlow::route(Request& request) {
  request.routed = true;
  const size_t limit = batch_bytes_max(*stream_);
  for (int i = 0; i < request.message.records_size(); ++i) {
    const v1::Record& record = request.message.records(i);
    Pending pending{&request, i, 0};
    if (size_t bytes = kBatchHeaderSize + encoded_bytes(record); bytes > limit) {
      fail_record(pending, Status(Code::kTooLarge,
                                  "the record takes " + std::to_string(bytes) +
                                      " bytes, and stream '" + stream_name_ + "' allows " +
                                      std::to_string(limit) + " (record_bytes_max)"));
      continue;
    }
    auto destination = partitioner_.choose(record);
    if (!destination.ok()) {
      fail_record(pending, destination.status());
      continue;
    }
    pending.hash = destination->hash;
    lane_for(destination->shard).waiting.push_back(pending);
  }
}

PublishFlow::Lane& PublishFlow::lane_for(int32_t shard) {
  auto [it, made] = lanes_.try_emplace(shard);
  if (made && stream_->elastic()) {
    if (const auto* entry = stream_->shard(shard)) {
      if (auto keys = coordination::parse_range(entry->hash_range()); keys.ok()) {
        it->second.keys = *keys;
      }
    }
  }
  return it->second;
}

void PublishFlow::on_stream_changed() {
  if (ended_) return;
  auto stream = context_.metadata.find(stream_->id);
  if (!stream) {
    return finish(Status(Code::kNotFound, "stream '" + stream_name_ + "' was deleted"));
  }
  stream_ = std::move(stream);
  partitioner_.set_stream(stream_);
  leave_closed_lanes();
  for (auto& [shard, lane] : lanes_) {
    if (!lane.retry) continue;
    context_.executor.cancel(*lane.retry);
    lane.retry.reset();
    send(shard, lane);
  }
  pump();
  answer();
}

// Records for a shard that was split or merged go on to its children. Of each key all waiting
// records are in one lane, so their order stays.
void PublishFlow::leave_closed_lanes() {
  if (!stream_->elastic()) return;
  std::vector<Pending> moved;
  for (auto it = lanes_.begin(); it != lanes_.end();) {
    Lane& lane = it->second;
    const auto* shard = stream_->shard(it->first);
    if (shard && shard->state() != v1::SHARD_STATE_CLOSED) {
      ++it;
      continue;
    }
    if (lane.retry && (!shard || !lane.uncertain)) {
      context_.executor.cancel(*lane.retry);
      lane.retry.reset();
      return_to_waiting(lane);
    }
    if (!lane.in_flight.empty()) {  // its answer comes; the children wait for it
      ++it;
      continue;
    }
    moved.insert(moved.end(), lane.waiting.begin(), lane.waiting.end());
    it = lanes_.erase(it);
  }
  // Older than anything that came for the children meanwhile.
  for (auto it = moved.rbegin(); it != moved.rend(); ++it) {
    if (auto shard = partitioner_.shard_of(it->hash)) {
      lane_for(*shard).waiting.push_front(*it);
    } else {
      fail_record(*it, Status(Code::kInternal, "no shard takes the record's hash key"));
    }
  }
}

void PublishFlow::pump() {
  for (auto& [shard, lane] : lanes_) pump(shard, lane);
}

void PublishFlow::pump(int32_t shard, Lane& lane) {
  if (lane.waiting.empty() || !lane.in_flight.empty()) return;
  if (stream_->elastic() && blocked(shard, lane)) return;
  take_batch(lane);
  send(shard, lane);
}

bool PublishFlow::blocked(int32_t shard, const Lane& lane) const {
  return std::any_of(lanes_.begin(), lanes_.end(), [&](const auto& other) {
    return other.first != shard && !other.second.in_flight.empty() &&
           overlap(other.second.keys, lane.keys);
  });
}

void PublishFlow::take_batch(Lane& lane) {
  if (lane.producer_id < 0) {
    lane.producer_id = context_.producer_ids.take();
    lane.next_sequence = 0;
  }
  const size_t target = std::min(kBatchTargetBytes, batch_bytes_max(*stream_));
  lane.uncertain = false;
  const v1::Acks acks = lane.waiting.front().request->message.acks();
  const int64_t now_ms = context_.clock.wall_ms();
  size_t bytes = kBatchHeaderSize;
  while (!lane.waiting.empty()) {
    const Pending& next = lane.waiting.front();
    v1::Record& record = *next.request->message.mutable_records(next.index);
    bytes += encoded_bytes(record);
    if (!lane.in_flight.empty() &&
        (bytes > target || next.request->message.acks() != acks)) {
      break;
    }
    if (record.timestamp_ms() == 0) record.set_timestamp_ms(now_ms);
    lane.in_flight.push_back(next);
    lane.waiting.pop_front();
  }
}

// Sends the batch in flight, for the first time or again.
void PublishFlow::send(int32_t shard, Lane& lane) {
  RecordBatchBuilder::Options options;
  options.producer_id = lane.producer_id;
  options.producer_epoch = 0;
  options.base_sequence = lane.next_sequence;
  RecordBatchBuilder builder(options);
  for (const Pending& pending : lane.in_flight) {
    add_record(builder, pending.request->message.records(pending.index));
  }
  auto batch = builder.build();
  if (!batch.ok()) return fail_in_flight(lane, batch.status());
  const size_t bytes = batch->size();
  const Request& oldest = *lane.in_flight.front().request;
  int64_t left_ms = oldest.deadline_ms - context_.clock.mono_ms();
  context_.shards.append(
      ShardId{stream_->id, shard}, Buffer::from_string(std::move(*batch)), acks_of(oldest.message),
      std::clamp<int64_t>(left_ms, 1, kAttemptTimeoutMs),
      [&executor = context_.executor, weak = weak_from_this(), shard,
       bytes](Result<partition::Appended> result) {
        executor.post([weak, shard, bytes, result = std::move(result)] {
          if (auto self = weak.lock()) self->on_appended(shard, bytes, result);
        });
      });
}

void PublishFlow::on_appended(int32_t shard, size_t bytes,
                              const Result<partition::Appended>& result) {
  if (ended_) return;
  Lane& lane = lanes_.at(shard);
  const Code code = result.code();
  if (result.ok()) {
    context_.metrics.publish_bytes.Increment(static_cast<double>(bytes));
    stored(shard, lane, result->base_offset);
  } else if (is_retriable(code) || code == Code::kTimeout ||
             (code == Code::kPolicyViolation && stream_->elastic())) {
    // kPolicyViolation: the shard is closed and does not have the batch; its children are known in
    // a moment.
    if (code == Code::kTimeout) lane.uncertain = true;
    if (code == Code::kPolicyViolation) lane.uncertain = false;
    retry_later(shard, lane, result.status());
  } else if (code == Code::kOutOfOrderSequence || code == Code::kUnknownProducer) {
    // The shard lost what it knew of this producer (acks=leader and a new leader): begin anew. Or a
    // leader that is deposed and does not know never had it: its follower may have the batch.
    const bool all = lane.in_flight.front().request->message.acks() != v1::ACKS_LEADER;
    if (!(all && lane.uncertain)) {
      lane.producer_id = context_.producer_ids.take();
      lane.next_sequence = 0;
    }
    retry_later(shard, lane, result.status());
  } else {
    fail_in_flight(lane, result.status());
  }
  leave_closed_lanes();
  pump();
  answer();
}

void PublishFlow::stored(int32_t shard, Lane& lane, Offset base) {
  context_.metrics.publish_records.Increment(static_cast<double>(lane.in_flight.size()));
  for (const Pending& pending : lane.in_flight) {
    auto* answer = pending.request->response.mutable_results(pending.index);
    answer->set_shard(shard);
    answer->set_offset(base.value);
    base += 1;
    --pending.request->left;
  }
  // Sequences wrap at 2^31, as Kafka's.
  lane.next_sequence = static_cast<int32_t>(
      (static_cast<int64_t>(lane.next_sequence) + static_cast<int64_t>(lane.in_flight.size())) &
      0x7fffffff);
  lane.backoff_ms = 0;
  lane.in_flight.clear();
}

void PublishFlow::retry_later(int32_t shard, Lane& lane, const Status& why) {
  if (context_.clock.mono_ms() >= lane.in_flight.front().request->deadline_ms) {
    return expire(lane, why);
  }
  for (const Pending& pending : lane.in_flight) pending.request->retried = true;
  lane.backoff_ms = std::clamp(lane.backoff_ms * 2, kBackoffMinMs, kBackoffMaxMs);
  lane.retry = context_.executor.schedule_after(lane.backoff_ms, [weak = weak_from_this(), shard] {
    auto self = weak.lock();
    if (self && !self->ended_) self->send_again(shard);
  });
}

void PublishFlow::send_again(int32_t shard) {
  auto it = lanes_.find(shard);
  if (it == lanes_.end()) return;
  it->second.retry.reset();
  send(shard, it->second);
}

// Gives up records whose time is over: all of the batch where it may be stored, for what may be
// stored is never sent under another name. The rest goes in a new batch of a new producer.
void PublishFlow::expire(Lane& lane, const Status& why) {
  const int64_t now_ms = context_.clock.mono_ms();
  std::vector<Pending> left;
  for (const Pending& pending : lane.in_flight) {
    if (!lane.uncertain && now_ms < pending.request->deadline_ms) left.push_back(pending);
    else fail_record(pending, outcome(lane, why));
  }
  lane.in_flight = std::move(left);
  return_to_waiting(lane);
  lane.producer_id = -1;
}

void PublishFlow::return_to_waiting(Lane& lane) {
  lane.waiting.insert(lane.waiting.begin(), lane.in_flight.begin(), lane.in_flight.end());
  lane.in_flight.clear();
}

// The shard may have the batch that is given up under this producer and sequence: what comes next
// would be taken for a retry of it.
void PublishFlow::fail_in_flight(Lane& lane, const Status& why) {
  for (const Pending& pending : lane.in_flight) fail_record(pending, outcome(lane, why));
  lane.in_flight.clear();
  lane.producer_id = -1;
}

Status PublishFlow::outcome(const Lane& lane, const Status& why) {
  if (!lane.uncertain) return why;
  return Status(Code::kTimeout, "the record may be stored: an answer was lost, and then came " +
                                    std::string(to_string(why.code())) + ": " + why.message());
}

void PublishFlow::fail_record(const Pending& pending, const Status& why) {
  auto* answer = pending.request->response.mutable_results(pending.index);
  answer->set_shard(-1);
  answer->set_offset(-1);
  answer->set_code(std::string(to_string(why.code())));
  answer->set_message(why.message());
  --pending.request->left;
}

void PublishFlow::answer() {
  while (!ended_ && !requests_.empty() && requests_.front()->routed &&
         requests_.front()->left == 0) {
    auto request = std::move(requests_.front());
    requests_.pop_front();
    request->response.set_durability(stream_->map.config().durability());
    if (!request->retried) {
      auto took_us = context_.clock.mono_us() - request->began_us;
      context_.metrics.publish_seconds.Observe(static_cast<double>(took_us) / 1e6);
    }
    output_.respond(std::move(request->response), request->bytes);
  }
  if (!ended_ && half_closed_ && requests_.empty()) finish(Status());
}

}  // namespace broker::handlers::grpc
