// Operations: check, change the state in memory, queue the frame.
#include "broker/storage/store_core.h"

#include <algorithm>

#include "broker/base/log.h"
#include "broker/storage/log_reader.h"

namespace broker::storage {
namespace {

uint64_t bytes_of(const std::vector<Batch>& batches) {
  uint64_t sum = 0;
  for (const Batch& b : batches) sum += b.bytes.size();
  return sum;
}

// Splits an append where its frame would be above `frame_bytes_max`, between batches.
std::vector<std::vector<Batch>> split(std::vector<Batch> batches, uint64_t frame_bytes_max) {
  std::vector<std::vector<Batch>> frames;
  uint64_t bytes = 0;
  for (Batch& batch : batches) {
    if (frames.empty() || bytes + batch.bytes.size() > frame_bytes_max) {
      frames.emplace_back();
      bytes = 0;
    }
    bytes += batch.bytes.size();
    frames.back().push_back(std::move(batch));
  }
  return frames;
}

std::function<void()> report(ShardLog::Done done) {
  return [done = std::move(done)] {
    if (done) done({});
  };
}

Status out_of_bounds(const char* what, Offset offset, const ShardLog& log) {
  return Status(Code::kInvalidArgument,
                std::string(what) + " " + std::to_string(offset.value) + " is outside the log [" +
                    std::to_string(log.log_start().value) + ", " +
                    std::to_string(log.log_end().value) + "]");
}

Status check_continues(const ShardLog& log, const std::vector<Batch>& batches) {
  Offset at = log.log_end();
  Term term = log.last_term();
  for (const Batch& b : batches) {
    if (b.header.base_offset != at || b.header.term < term ||
        static_cast<size_t>(b.header.size) != b.bytes.size()) {
      return Status(Code::kInvalidArgument,
                    "a batch at offset " + std::to_string(b.header.base_offset.value) + ", term " +
                        std::to_string(b.header.term.value) + " does not continue the log at " +
                        std::to_string(at.value) + ", term " + std::to_string(term.value));
    }
    at = b.header.end_offset();
    term = b.header.term;
  }
  return {};
}

}  // namespace

StoreCore::StoreCore(Env env, StoreOptions options)
    : env_(std::move(env)),
      options_(std::move(options)),
      log_files_(env_, options_),
      wal_(env_, options_,
           {[this](uint64_t file, uint64_t length, uint64_t sequence) {
              on_rolled(file, length, sequence);
            },
            [this] { on_synced(); }}),
      appended_bytes_(env_.metrics.counter("sluice_storage_appended_bytes_total",
                                           "Bytes of record batches appended to shards' logs")),
      syncs_(env_.metrics.counter("sluice_storage_log_syncs_total",
                                  "Group commits: one write and one fdatasync each")),
      corruptions_(env_.metrics.counter("sluice_storage_corruptions_total",
                                        "Reads that failed a checksum and were refused")),
      disk_bytes_(env_.metrics.gauge("sluice_storage_log_bytes",
                                     "Bytes of log files on disk, spares included")) {
  if (!env_.fatal) {
    env_.fatal = [](const Status& why) {
      check_failed("storage", 0, "cannot go on after a failed write or fsync: " + why.to_string());
    };
  }
}

void StoreCore::count_corruption() { corruptions_.Increment(); }

Status StoreCore::admit(uint64_t body, bool administration) {
  if (closing_) return Status(Code::kUnavailable, "the store is closing");
  return wal_.admit(frame_size(body), administration);
}

uint64_t StoreCore::put(ShardLog& log, FrameType type, std::string body,
                        std::function<void()> durable) {
  WalFrame frame;
  frame.type = type;
  frame.log_id = log.log_id_;
  frame.head = std::move(body);
  frame.durable = std::move(durable);
  return wal_.add(std::move(frame)).sequence;
}

Status StoreCore::append(ShardLog& log, std::vector<Batch> batches, Done done) {
  RETURN_IF_ERROR(log.quarantined_);
  RETURN_IF_ERROR(check_continues(log, batches));
  if (batches.empty()) return Status(Code::kInvalidArgument, "an append without batches");
  uint64_t bytes = bytes_of(batches);
  if (bytes > options_.batch_bytes_max()) {
    return Status(Code::kTooLarge, std::to_string(bytes) + " bytes are more than one append takes (" +
                                       std::to_string(options_.batch_bytes_max()) + ")");
  }
  auto frames = split(std::move(batches), options_.frame_bytes_max);
  uint64_t total = 0;
  for (const auto& frame : frames) total += frame_size(bytes_of(frame));
  if (closing_) return Status(Code::kUnavailable, "the store is closing");
  RETURN_IF_ERROR(wal_.admit(total, false));
  appended_bytes_.Increment(static_cast<double>(bytes));
  for (size_t i = 0; i < frames.size(); i++) {
    bool last = i + 1 == frames.size();
    append_frame(log, std::move(frames[i]), last ? report(std::move(done)) : nullptr);
  }
  return {};
}

// Frames in flight refer to their log by id: it may be removed before they are durable.
void StoreCore::append_frame(ShardLog& log, std::vector<Batch> batches,
                             std::function<void()> durable) {
  Entry entry;
  entry.base = batches.front().header.base_offset;
  entry.max_timestamp_ms = INT64_MIN;
  Offset end = batches.back().header.end_offset();
  WalFrame frame;
  frame.log_id = log.log_id_;
  frame.may_wait = log.write_behind_;
  for (const Batch& b : batches) {
    entry.size += static_cast<uint32_t>(b.bytes.size());
    entry.max_timestamp_ms = std::max(entry.max_timestamp_ms, b.header.max_timestamp_ms);
    frame.data.push_back(b.bytes);
  }
  frame.durable = [this, id = log.log_id_, end, truncations = log.truncations_,
                   durable = std::move(durable)] {
    auto found = by_log_id_.find(id);
    if (found != by_log_id_.end() && found->second->truncations_ == truncations) {
      found->second->durable_end_ = end;
    }
    if (durable) durable();
  };
  Wal::Place place = wal_.add(std::move(frame));
  entry.position = place.position;
  for (const Batch& b : batches) log.log_.note_term(b.header.term, b.header.base_offset);
  FileInfo& file = files_[place.file];
  if (log.log_.append(place.file, entry, end)) {
    file.runs++;
    file.touched.push_back(log.log_id_);
  }
  file.live_bytes += entry.size;
  tail_order_.push_back({log.log_id_, place.sequence, env_.clock.mono_ms()});
  tail_bytes_ += entry.size;
  for (Batch& b : batches) log.tail_.push_back({std::move(b), place.sequence});
}

Status StoreCore::set_state(ShardLog& log, ReplicaState state, Done done) {
  std::string body = encode_state_body(state.term, state.adopted_term);
  RETURN_IF_ERROR(admit(body.size(), true));
  // Every operation queues its frame first: if that begins a new log file, the checkpoint of the
  // old one must not hold this change.
  put(log, FrameType::kState, std::move(body), report(std::move(done)));
  log.log_.replica = state;
  return {};
}

// Whether a batch begins or the log ends at `offset`.
Status StoreCore::check_boundary(ShardLog& log, Offset offset) {
  if (offset == log.log_end() || offset == log.log_start()) return {};
  auto batches = LogReader(log, log_files_).read(offset, 1, log.log_end());
  if (batches.code() == Code::kCorruption) return {};  // damaged, and about to go
  RETURN_IF_ERROR(batches.status());
  if (!batches->empty() && batches->front().header.base_offset == offset) return {};
  return Status(Code::kInvalidArgument,
                "no batch begins at offset " + std::to_string(offset.value));
}

Status StoreCore::truncate(ShardLog& log, Offset new_end, Done done) {
  RETURN_IF_ERROR(log.quarantined_);
  if (new_end < log.log_start() || new_end > log.log_end()) {
    return out_of_bounds("truncation offset", new_end, log);
  }
  RETURN_IF_ERROR(check_boundary(log, new_end));
  RETURN_IF_ERROR(admit(8, true));
  // Truncating to where the log ends already changes nothing, but is still reported in order.
  log.truncations_++;
  auto durable = [this, id = log.log_id_, new_end, truncations = log.truncations_,
                  done = report(std::move(done))] {
    auto found = by_log_id_.find(id);
    // Frames are durable in order, so all that is left of the log below the cut is.
    if (found != by_log_id_.end() && found->second->truncations_ == truncations) {
      found->second->durable_end_ = std::max(found->second->durable_end_, new_end);
    }
    done();
  };
  uint64_t sequence = put(log, FrameType::kTruncate, encode_offset_body(new_end), std::move(durable));
  log.durable_end_ = std::min(log.durable_end_, new_end);
  cut_tail(log, new_end);
  drop_runs(log.log_.truncate(new_end), sequence);
  return {};
}

Status StoreCore::set_log_start(ShardLog& log, Offset new_start, Done done) {
  RETURN_IF_ERROR(log.quarantined_);
  if (new_start < log.log_start() || new_start > log.log_end()) {
    return out_of_bounds("log start", new_start, log);
  }
  RETURN_IF_ERROR(admit(8, true));
  uint64_t sequence =
      put(log, FrameType::kLogStart, encode_offset_body(new_start), report(std::move(done)));
  drop_runs(log.log_.set_start(new_start), sequence);
  return {};
}

Status StoreCore::reset(ShardLog& log, Offset new_start, Done done) {
  if (new_start < Offset{0}) return out_of_bounds("reset offset", new_start, log);
  RETURN_IF_ERROR(admit(8, true));
  uint64_t sequence =
      put(log, FrameType::kReset, encode_offset_body(new_start), report(std::move(done)));
  log.truncations_++;
  log.durable_end_ = new_start;
  log.quarantined_ = {};
  cut_tail(log, Offset{0});
  drop_runs(log.log_.reset(new_start), sequence);
  return {};
}

Status StoreCore::save_snapshot(ShardLog& log, Offset at, std::string blob, Done done) {
  RETURN_IF_ERROR(log.quarantined_);
  if (at > log.log_end() || at < log.log_start()) return out_of_bounds("snapshot offset", at, log);
  std::string body = encode_offset_body(at) + blob;
  if (body.size() > options_.batch_bytes_max()) {
    return Status(Code::kTooLarge, "a snapshot of " + std::to_string(blob.size()) + " bytes");
  }
  RETURN_IF_ERROR(admit(body.size(), false));
  put(log, FrameType::kSnapshot, std::move(body), report(std::move(done)));
  log.log_.save_snapshot(at, std::move(blob));
  return {};
}

Result<ShardLog*> StoreCore::create(const ShardId& id, ReplicaState state, Done done) {
  if (shards_.contains(id)) {
    return Status(Code::kAlreadyExists, "shard " + id.to_string() + " is in the store");
  }
  std::string body = encode_create_body(id, state.term, state.adopted_term);
  auto log = std::make_unique<ShardLog>(*this, id, next_log_id_, state);
  RETURN_IF_ERROR(admit(body.size(), true));
  next_log_id_++;
  ShardLog* created = log.get();
  put(*created, FrameType::kCreate, std::move(body), report(std::move(done)));
  by_log_id_[created->log_id_] = created;
  shards_[id] = std::move(log);
  return created;
}

Status StoreCore::remove(const ShardId& id, Done done) {
  auto found = shards_.find(id);
  if (found == shards_.end()) return Status(Code::kNotFound, "shard " + id.to_string());
  ShardLog& log = *found->second;
  RETURN_IF_ERROR(admit(0, true));
  uint64_t sequence = put(log, FrameType::kRemove, {}, report(std::move(done)));
  cut_tail(log, Offset{0});
  drop_runs(log.log_.reset(Offset{0}), sequence);
  by_log_id_.erase(log.log_id_);
  shards_.erase(found);
  return {};
}

// The files of dropped runs may be reused only when it is durable that they were dropped.
void StoreCore::drop_runs(std::vector<Run> dropped, uint64_t sequence) {
  for (const Run& run : dropped) {
    FileInfo& file = files_[run.file];
    file.live_bytes -= std::min(file.live_bytes, run.bytes);
    releases_.push_back({sequence, run.file});
  }
}

void StoreCore::cut_tail(ShardLog& log, Offset new_end) {
  while (!log.tail_.empty() && log.tail_.back().batch.header.base_offset >= new_end) {
    tail_bytes_ -= log.tail_.back().batch.bytes.size();
    log.tail_.pop_back();
  }
}

// Forgets the oldest durable batches while the cache is above its bound, and those appended before
// `before_ms`. What is not durable stays: it cannot be read from the file yet.
void StoreCore::trim_tail(int64_t before_ms) {
  while (!tail_order_.empty() && tail_order_.front().sequence <= wal_.durable_sequence()) {
    TailFrame oldest = tail_order_.front();
    if (tail_bytes_ <= options_.tail_cache_bytes && oldest.appended_ms >= before_ms) break;
    tail_order_.pop_front();
    auto found = by_log_id_.find(oldest.log_id);
    if (found == by_log_id_.end()) continue;
    auto& tail = found->second->tail_;
    while (!tail.empty() && tail.front().sequence == oldest.sequence) {
      tail_bytes_ -= tail.front().batch.bytes.size();
      tail.pop_front();
    }
  }
}

}  // namespace broker::storage
