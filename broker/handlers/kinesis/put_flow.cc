#include "broker/handlers/kinesis/put_flow.h"

#include "broker/handlers/kinesis/key_mapping.h"
#include "broker/model/records.h"

namespace broker::handlers::kinesis {
namespace {

constexpr int64_t kPutTimeoutMs = 10'000;
constexpr int64_t kAttemptTimeoutMs = 5'000;
constexpr int64_t kReshardPollMs = 10;
constexpr size_t kLengthsBytes = 20;  // around a record
constexpr size_t kRecordOverhead = 96;  // lengths, and the header of an explicit hash key

coordination::HashKey hash_key_of(const wire::PutRecordsRequestEntry& record) {
  if (record.explicit_hash_key) {
    return coordination::parse_hash_key(*record.explicit_hash_key).value_or(0);
  }
  return coordination::hash_key_of(record.partition_key);
}

}  // namespace

PutFlow::PutFlow(Services& services, KeyTables& tables, StreamPtr stream,
                 std::vector<wire::PutRecordsRequestEntry> records, Finished finished)
    : services_(services),
      tables_(tables),
      stream_(std::move(stream)),
      records_(std::move(records)),
      outcomes_(records_.size()),
      finished_(std::move(finished)),
      left_(records_.size()),
      deadline_ms_(services.clock.mono_ms() + kPutTimeoutMs) {
  keys_.reserve(records_.size());
  for (const auto& record : records_) keys_.push_back(hash_key_of(record));
}

void PutFlow::start() {
  Indexes all(records_.size());
  for (size_t i = 0; i < all.size(); ++i) all[i] = i;
  route(all);
}

void PutFlow::route(const Indexes& indexes) {
  const auto table = tables_.of(stream_);
  std::map<int32_t, Indexes> by_shard;
  Indexes lost;
  for (size_t index : indexes) {
    if (auto shard = table->shard_of(keys_[index]))
      by_shard[*shard].push_back(index);
    else
      lost.push_back(index);
  }
  auto self = shared_from_this();  // the last answer may come before this returns
  for (auto& [shard, own] : by_shard) send(shard, std::move(own));
  if (!lost.empty()) fail(lost, -1, Status(Code::kInternal, "no shard takes the hash key"));
}

// About what their batch takes, a little too much: the tail cache keeps the batch as it is.
size_t PutFlow::bytes_of(const Indexes& indexes) const {
  size_t bytes = kBatchHeaderSize;
  for (size_t index : indexes) {
    const auto& record = records_[index];
    bytes += record.data.size() + record.partition_key.size() + kLengthsBytes;
    if (record.explicit_hash_key) {
      bytes += std::string_view(kExplicitHashKeyHeader).size() + record.explicit_hash_key->size();
    }
  }
  return bytes;
}

Result<std::string> PutFlow::build_batch(const Indexes& indexes, size_t& taken) const {
  const auto limit = static_cast<size_t>(std::max(1, stream_->map.config().record_bytes_max()));
  const int64_t now_ms = services_.clock.wall_ms();
  RecordBatchBuilder builder;
  builder.reserve(std::min(limit, bytes_of(indexes)));
  taken = 0;
  for (size_t index : indexes) {
    const auto& record = records_[index];
    const size_t bytes = record.data.size() + record.partition_key.size() + kRecordOverhead;
    if (taken > 0 && builder.size_bytes() + bytes > limit) break;
    std::vector<RecordHeader> headers;
    if (record.explicit_hash_key) {
      headers.push_back({kExplicitHashKeyHeader, std::string_view(*record.explicit_hash_key)});
    }
    const auto key = to_record_key(record.partition_key);
    builder.add(now_ms, key ? std::optional<std::string_view>(*key) : std::nullopt,
                std::string_view(record.data), headers);
    ++taken;
  }
  return builder.build();
}

void PutFlow::send(int32_t shard, Indexes indexes) {
  size_t taken = 0;
  auto batch = build_batch(indexes, taken);
  if (!batch.ok()) return fail(indexes, shard, batch.status());
  Indexes rest(indexes.begin() + static_cast<ptrdiff_t>(taken), indexes.end());
  indexes.resize(taken);
  const int64_t timeout_ms =
      std::clamp<int64_t>(deadline_ms_ - services_.clock.mono_ms(), 1, kAttemptTimeoutMs);
  services_.router().append_within_limits(
      ShardId{stream_->id, shard}, Buffer::from_string(std::move(*batch)), timeout_ms,
      [self = shared_from_this(), shard, sent = std::move(indexes), rest = std::move(rest)](
          Result<partition::Appended> result) { self->on_answer(shard, sent, rest, result); });
}

void PutFlow::on_answer(int32_t shard, const Indexes& sent, Indexes rest,
                        const Result<partition::Appended>& result) {
  if (result.code() == Code::kPolicyViolation) {
    Indexes all = sent;
    all.insert(all.end(), rest.begin(), rest.end());
    return wait_for_children(std::move(all));
  }
  if (!result.ok()) {
    // What follows must not overtake what may still be tried again.
    fail(sent, shard, result.status());
    if (!rest.empty()) fail(rest, shard, result.status());
    return;
  }
  const size_t stored = result->records < 0 ? sent.size() : static_cast<size_t>(result->records);
  for (size_t i = 0; i < stored && i < sent.size(); ++i) {
    outcomes_[sent[i]] = {Status(), shard, result->base_offset + static_cast<int64_t>(i)};
  }
  auto self = shared_from_this();
  const bool throttled = stored < sent.size();
  if (throttled) {
    rest.insert(rest.begin(), sent.begin() + static_cast<ptrdiff_t>(stored), sent.end());
    fail(rest, shard, Status(Code::kResourceExhausted, "the shard's limits are reached"));
  } else if (!rest.empty()) {
    send(shard, std::move(rest));
  }
  one_less(std::min(stored, sent.size()));
}

// The map that closes the shard and opens its children arrives in a moment.
void PutFlow::wait_for_children(Indexes indexes) {
  if (services_.clock.mono_ms() + kReshardPollMs >= deadline_ms_) {
    return fail(indexes, -1, Status(Code::kUnavailable, "the shard is being split or merged"));
  }
  services_.executor.schedule_after(
      kReshardPollMs, [self = shared_from_this(), indexes = std::move(indexes)] {
        auto stream = self->services_.metadata.find(self->stream_->id);
        if (!stream) {
          return self->fail(indexes, -1, Status(Code::kNotFound, "the stream was deleted"));
        }
        self->stream_ = std::move(stream);
        self->route(indexes);
      });
}

void PutFlow::fail(const Indexes& indexes, int32_t shard, const Status& why) {
  for (size_t index : indexes) outcomes_[index] = {why, shard, Offset{-1}};
  one_less(indexes.size());
}

void PutFlow::one_less(size_t count) {
  left_ -= count;
  if (left_ == 0 && finished_) std::exchange(finished_, nullptr)(*stream_, outcomes_);
}

}  // namespace broker::handlers::kinesis
