#include "broker/storage/shard_log.h"

#include "broker/storage/log_reader.h"
#include "broker/storage/store_core.h"

namespace broker::storage {

ShardLog::ShardLog(StoreCore& core, ShardId id, uint64_t log_id, ReplicaState state)
    : core_(core), id_(id), log_id_(log_id) {
  log_.replica = state;
}

uint64_t ShardLog::bytes() const { return log_.bytes(); }

uint64_t ShardLog::bytes_older_than(int64_t timestamp_ms) const {
  uint64_t sum = 0;
  for (const Run& run : log_.runs) {
    if (run.max_timestamp_ms >= 0 && run.max_timestamp_ms < timestamp_ms) sum += run.bytes;
  }
  return sum;
}

Offset ShardLog::held_end() const { return core_.behind() ? durable_end_ : log_.end; }

Status ShardLog::append(std::vector<Batch> batches, Done done) {
  return core_.append(*this, std::move(batches), std::move(done));
}
Status ShardLog::set_state(ReplicaState state, Done done) {
  return core_.set_state(*this, state, std::move(done));
}
Status ShardLog::truncate(Offset new_end, Done done) {
  return core_.truncate(*this, new_end, std::move(done));
}
Status ShardLog::set_log_start(Offset new_start, Done done) {
  return core_.set_log_start(*this, new_start, std::move(done));
}
Status ShardLog::reset(Offset new_start, Done done) {
  return core_.reset(*this, new_start, std::move(done));
}
Status ShardLog::save_snapshot(Offset at, std::string blob, Done done) {
  return core_.save_snapshot(*this, at, std::move(blob), std::move(done));
}

std::optional<Snapshot> ShardLog::snapshot() const {
  if (log_.snapshots.empty()) return std::nullopt;
  return log_.snapshots.back();
}

Result<std::vector<Batch>> ShardLog::read(Offset from, size_t bytes_max, Offset end_max, Load* load,
                                          int64_t records_max) {
  RETURN_IF_ERROR(quarantined_);
  if (from < log_start() || from > log_end()) {
    return Status(Code::kOutOfRange, "offset " + std::to_string(from.value) +
                                         " is outside the log [" + std::to_string(log_start().value) +
                                         ", " + std::to_string(log_end().value) + "]");
  }
  return LogReader(*this, core_.files()).read(from, bytes_max, end_max, load, records_max);
}

Result<std::optional<BatchHeader>> ShardLog::find_timestamp(int64_t timestamp_ms, Offset end_max) {
  RETURN_IF_ERROR(quarantined_);
  return LogReader(*this, core_.files()).find_timestamp(timestamp_ms, end_max);
}

Result<std::optional<BatchHeader>> ShardLog::find_max_timestamp(Offset end_max) {
  RETURN_IF_ERROR(quarantined_);
  return LogReader(*this, core_.files()).find_max_timestamp(end_max);
}

}  // namespace broker::storage
