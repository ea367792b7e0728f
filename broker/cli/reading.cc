#include "broker/cli/reading.h"

#include <algorithm>
#include <chrono>

namespace broker::cli {

namespace {
constexpr int64_t kCreditBytes = 4 << 20;
constexpr int64_t kConnectMs = 5'000;
}

Reading::Reading(Client& client, ReadingOptions options, Take take)
    : client_(client), options_(std::move(options)), take_(std::move(take)) {}

// Where to begin, and where the end is now.
Status Reading::look() {
  v1::DescribeStreamRequest request;
  request.set_name(options_.stream);
  const int64_t give_up_ms = mono_ms() + options_.retry_for_ms;
  while (true) {
    auto described = client_.call(&v1::Sluice::Stub::DescribeStream, request);
    if (!described.ok() && described.code() != Code::kUnavailable) return described.status();
    bool known = described.ok();
    positions_.clear();
    targets_.clear();
    for (const auto& info : known ? described->shards() : v1::DescribeStreamResponse().shards()) {
      int32_t index = info.shard().index();
      bool wanted = options_.shards.empty() || std::count(options_.shards.begin(),
                                                          options_.shards.end(), index) > 0;
      if (!wanted) continue;
      positions_[index] = options_.from;
      positions_[index].set_shard(index);
      targets_[index] = info.high_watermark();
      known = known && (info.has_high_watermark() || !options_.until_end);
    }
    if (known) {
      for (int32_t shard : options_.shards) {
        if (!positions_.count(shard)) {
          return Status(Code::kNotFound, "stream '" + options_.stream + "' has no shard " +
                                             std::to_string(shard));
        }
      }
      return {};
    }
    if (mono_ms() >= give_up_ms) {
      if (!described.ok()) return described.status();
      return Status(Code::kUnavailable, "some shards of '" + options_.stream +
                                            "' have no leader: see `sluice cluster status`");
    }
    sleep_ms(200);
  }
}

bool Reading::at_end() const {
  return enough_ || mono_ms() >= stop_at_ms_ || positions_.empty() ||
         (options_.until_end && targets_.empty());
}

Status Reading::run(int64_t stop_at_ms) {
  stop_at_ms_ = stop_at_ms;
  RETURN_IF_ERROR(look());
  heard_ms_ = mono_ms();
  while (!at_end()) {
    const int64_t began_ms = mono_ms();
    grpc::Status status = subscribe_once();
    if (at_end()) break;
    // A quiet subscription that breaks was well until now.
    if (mono_ms() - began_ms > kConnectMs) heard_ms_ = mono_ms();
    if (!status.ok() && !is_passing(status)) return client_.explain(status);
    if (mono_ms() - heard_ms_ > options_.retry_for_ms) return client_.explain(status);
    sleep_ms(200);
  }
  return {};
}

grpc::Status Reading::subscribe_once() {
  grpc::ClientContext context;
  if (stop_at_ms_ != INT64_MAX) {
    context.set_deadline(std::chrono::system_clock::now() +
                         std::chrono::milliseconds(stop_at_ms_ - mono_ms()));
  }
  auto stream = client_.stub().Subscribe(&context);
  v1::SubscribeRequest request;
  request.set_stream(options_.stream);
  for (const auto& [shard, position] : positions_) *request.add_positions() = position;
  request.set_follow_children(options_.follow_children);
  request.set_credit_bytes(kCreditBytes);
  stream->Write(request);
  int64_t used = 0;
  v1::SubscribeResponse event;
  while (stream->Read(&event)) {
    heard_ms_ = mono_ms();
    if (!on_event(event)) {
      context.TryCancel();
      stream->Finish();
      return grpc::Status::OK;
    }
    used += static_cast<int64_t>(event.records().ByteSizeLong());
    if (used >= kCreditBytes / 2) {
      v1::SubscribeRequest credit;
      credit.set_credit_bytes(used);
      used = 0;
      stream->Write(credit);
    }
  }
  return stream->Finish();
}

// False when there is nothing more to read.
bool Reading::on_event(const v1::SubscribeResponse& event) {
  switch (event.event_case()) {
    case v1::SubscribeResponse::kRecords: {
      const auto& records = event.records();
      if (!take_(records)) {
        enough_ = true;
        return false;
      }
      positions_[records.shard()].set_shard(records.shard());
      positions_[records.shard()].set_offset(records.next_offset());
      auto target = targets_.find(records.shard());
      if (target != targets_.end() && records.next_offset() >= target->second) {
        targets_.erase(target);
      }
      break;
    }
    case v1::SubscribeResponse::kShardEnd:
      positions_.erase(event.shard_end().shard());
      targets_.erase(event.shard_end().shard());
      if (!options_.follow_children) break;
      for (int32_t child : event.shard_end().children()) {
        auto [it, added] = positions_.try_emplace(child);
        if (!added) continue;
        it->second.set_shard(child);
        it->second.set_earliest(true);
      }
      break;
    case v1::SubscribeResponse::kCaughtUp:
      targets_.erase(event.caught_up());
      break;
    case v1::SubscribeResponse::EVENT_NOT_SET:
      break;
  }
  return !at_end();
}

}  // namespace broker::cli
