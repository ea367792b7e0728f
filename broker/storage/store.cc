#include "broker/storage/store.h"

#include "broker/storage/recovery.h"
#include "broker/storage/store_core.h"

namespace broker::storage {

Store::Store(std::shared_ptr<StoreCore> core) : core_(std::move(core)) {}
Store::~Store() = default;

Result<std::unique_ptr<Store>> Store::open(Env env, StoreOptions options) {
  if (options.log_file_bytes < 1024 || options.log_file_bytes >= (uint64_t{1} << 32)) {
    return Status(Code::kInvalidArgument, "log_file_bytes must be in [1024, 4 GiB)");
  }
  auto core = std::make_shared<StoreCore>(std::move(env), std::move(options));
  RETURN_IF_ERROR(Recovery(*core).run());
  return std::unique_ptr<Store>(new Store(std::move(core)));
}

ShardLog* Store::find(const ShardId& id) {
  auto found = core_->shards_.find(id);
  return found == core_->shards_.end() ? nullptr : found->second.get();
}

Result<ShardLog*> Store::create(const ShardId& id, ReplicaState state, ShardLog::Done done) {
  return core_->create(id, state, std::move(done));
}

Status Store::remove(const ShardId& id, ShardLog::Done done) {
  return core_->remove(id, std::move(done));
}

void Store::for_each(const std::function<void(ShardLog&)>& visit) {
  for (auto& [id, log] : core_->shards_) visit(*log);
}

size_t Store::shard_count() const { return core_->shards_.size(); }

Result<Offset> Store::apply_retention(const ShardId& id, const Retention& retention, Offset end_max,
                                      ShardLog::Done done) {
  ShardLog* log = find(id);
  if (!log) return Status(Code::kNotFound, "shard " + id.to_string());
  int64_t cutoff = core_->env_.clock.wall_ms() - retention.ms;
  auto left = static_cast<int64_t>(log->bytes());
  Offset start = log->log_start();
  for (const Run& run : log->log_.runs) {
    // A batch without a timestamp (-1) has no age.
    bool old = retention.ms >= 0 && run.max_timestamp_ms >= 0 && run.max_timestamp_ms < cutoff;
    bool much = retention.bytes >= 0 && left - static_cast<int64_t>(run.bytes) >= retention.bytes;
    if (run.end > end_max || !(old || much)) break;
    start = std::max(start, run.end);
    left -= static_cast<int64_t>(run.bytes);
  }
  if (start > log->log_start()) RETURN_IF_ERROR(log->set_log_start(start, std::move(done)));
  return log->log_start();
}

uint64_t Store::trim_cache(int64_t age_ms) {
  core_->trim_tail(core_->env_.clock.mono_ms() - age_ms);
  return core_->tail_bytes_;
}

const Uuid& Store::directory_id() const { return core_->directory_; }
bool Store::clean_shutdown() const { return core_->clean_; }
bool Store::disk_full() const { return core_->wal_.disk_full(); }

uint64_t Store::disk_bytes() const {
  core_->update_disk_bytes();
  return static_cast<uint64_t>(core_->disk_bytes_.Value());
}

void Store::close(ShardLog::Done done) { core_->close(std::move(done)); }

}  // namespace broker::storage
