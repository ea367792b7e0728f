#include "broker/handlers/grpc/partitioner.h"

#include <algorithm>

#include "broker/coordination/partitioner.h"

namespace broker::handlers::grpc {

namespace {
// Records without a key stay on one shard for that long: few full batches instead of many small.
constexpr size_t kTurnBytes = 16 * 1024;
}  // namespace

void Partitioner::set_stream(cluster::StreamPtr stream) {
  stream_ = std::move(stream);
  ranges_.clear();
  if (!stream_->elastic()) return;
  for (const auto& shard : stream_->map.shards()) {
    if (shard.state() == v1::SHARD_STATE_CLOSED) continue;
    auto keys = coordination::parse_range(shard.hash_range());
    if (keys.ok()) ranges_.push_back({*keys, shard.index()});
  }
  std::sort(ranges_.begin(), ranges_.end(),
            [](const Range& a, const Range& b) { return a.keys.first < b.keys.first; });
}

Result<Destination> Partitioner::choose(const v1::Record& record) {
  return stream_->elastic() ? choose_hash(record) : choose_partition(record);
}

std::optional<int32_t> Partitioner::shard_of(coordination::HashKey hash) const {
  auto it = std::upper_bound(
      ranges_.begin(), ranges_.end(), hash,
      [](coordination::HashKey key, const Range& range) { return key < range.keys.first; });
  if (it == ranges_.begin()) return std::nullopt;
  --it;
  if (!it->keys.contains(hash)) return std::nullopt;
  return it->shard;
}

size_t Partitioner::turn(size_t count, size_t record_bytes) {
  if (turn_bytes_ >= kTurnBytes) {
    ++turn_;
    turn_bytes_ = 0;
  }
  turn_bytes_ += record_bytes;
  return turn_ % count;
}

Result<Destination> Partitioner::choose_partition(const v1::Record& record) {
  const int32_t count = stream_->map.shards_size();
  if (record.has_explicit_hash_key()) {
    return Status(Code::kInvalidArgument, "explicit_hash_key is for elastic streams, and '" +
                                              stream_->name() + "' is partitioned: set shard");
  }
  if (record.has_shard()) {
    if (!stream_->shard(record.shard())) {
      return Status(Code::kInvalidArgument, "stream '" + stream_->name() + "' has no shard " +
                                                std::to_string(record.shard()) +
                                                ": its shards are 0.." + std::to_string(count - 1));
    }
    return Destination{record.shard()};
  }
  if (count == 0) return Status(Code::kUnavailable, "the stream has no shards yet");
  if (record.has_key()) {
    return Destination{coordination::partition_of_key(record.key(), count)};
  }
  return Destination{static_cast<int32_t>(turn(static_cast<size_t>(count), record.value().size()))};
}

Result<Destination> Partitioner::choose_hash(const v1::Record& record) {
  if (record.has_shard()) {
    return Status(Code::kInvalidArgument, "shard is for partitioned streams, and '" +
                                              stream_->name() +
                                              "' is elastic: set key or explicit_hash_key");
  }
  if (ranges_.empty()) return Status(Code::kUnavailable, "the stream has no open shards yet");
  coordination::HashKey hash;
  if (record.has_explicit_hash_key()) {
    auto parsed = coordination::parse_hash_key(record.explicit_hash_key());
    if (!parsed) {
      return Status(Code::kInvalidArgument, "explicit_hash_key '" + record.explicit_hash_key() +
                                                "' is not a decimal number below 2^128");
    }
    hash = *parsed;
  } else if (record.has_key()) {
    hash = coordination::hash_key_of(record.key());
  } else {
    hash = ranges_[turn(ranges_.size(), record.value().size())].keys.first;
  }
  auto shard = shard_of(hash);
  if (!shard) return Status(Code::kInternal, "no shard takes hash key " +
                                                 coordination::format_hash_key(hash));
  return Destination{*shard, hash};
}

}  // namespace broker::handlers::grpc
