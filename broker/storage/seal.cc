// The end of a log file's life as the head of the log: its index and a checkpoint are written, and
// when nothing refers to it any more it is recycled.
#include <algorithm>

#include "broker/base/log.h"
#include "broker/storage/store_core.h"

namespace broker::storage {
namespace {
constexpr int64_t kRetrySealMs = 1000;
}

// Every run that has bytes in `file`, copies in the making included.
std::vector<IndexedRun> StoreCore::runs_in(uint64_t file) {
  std::vector<IndexedRun> found;
  std::set<uint64_t> logs(files_[file].touched.begin(), files_[file].touched.end());
  for (uint64_t id : logs) {
    auto log = by_log_id_.find(id);
    if (log == by_log_id_.end()) continue;
    for (const Run& run : log->second->log_.runs) {
      if (run.file == file && run.entries) found.push_back({id, run});
    }
  }
  for (const Move& move : moves_) {
    for (const Run& piece : move.pieces) {
      if (piece.file == file) found.push_back({move.log_id, piece});
    }
  }
  return found;
}

Checkpoint StoreCore::checkpoint(uint64_t replay_from, uint64_t next_sequence) const {
  Checkpoint c;
  c.clean = closing_;
  c.replay_from = replay_from;
  c.next_sequence = next_sequence;
  c.next_log_id = next_log_id_;
  c.shards.reserve(shards_.size());
  for (const auto& [id, log] : shards_) {
    const LogState& s = log->log_;
    c.shards.push_back({id, log->log_id_, s.replica, s.start, s.end, s.terms, s.snapshots,
                        log->quarantined_.message()});
  }
  return c;
}

// What is captured here is the state at exactly the end of the file: operations apply their changes
// after their frame has found its place.
void StoreCore::on_rolled(uint64_t file, uint64_t length, uint64_t sequence) {
  FileInfo& info = files_[file];
  info.length = length;
  info.disk_bytes = wal_.capacity();
  Seal seal{file, sequence, {}, {}, runs_in(file)};
  info.touched = {};
  seal.index = encode_index(file, length, seal.runs);
  seal.checkpoint = encode_checkpoint(checkpoint(file + 1, sequence + 1));
  seals_.push_back(std::move(seal));
}

void StoreCore::on_synced() {
  syncs_.Increment();
  log_files_.spare_disk();
  while (!releases_.empty() && releases_.front().sequence <= wal_.durable_sequence()) {
    release(releases_.front().file);
    releases_.pop_front();
  }
  trim_tail();
  start_seal();
  free_space();
  maybe_close();
}

// Looks through the files only when something about them has changed.
void StoreCore::free_space() {
  if (!space_changed_) return;
  space_changed_ = false;
  reclaim();
  maybe_compact();
}

void StoreCore::start_seal() {
  if (sealing_ || seals_.empty() || seals_.front().sequence > wal_.durable_sequence()) return;
  if (env_.clock.mono_ms() < retry_seal_ms_ && !closing_) return;
  auto seals = std::make_shared<std::vector<Seal>>();
  while (!seals_.empty() && seals_.front().sequence <= wal_.durable_sequence()) {
    seals->push_back(std::move(seals_.front()));
    seals_.pop_front();
  }
  sealing_ = true;
  auto work = [seals, fs = &env_.fs, dir = options_.dir] {
    for (const Seal& s : *seals) {
      if (s.file == 0) continue;  // close() without a file
      RETURN_IF_ERROR(env::write_file_atomically(*fs, index_path(dir, s.file), s.index));
    }
    return env::write_file_atomically(*fs, checkpoint_path(dir), seals->back().checkpoint);
  };
  env_.background_io.submit(work, [self = weak_from_this(), seals](Status status) {
    auto core = self.lock();
    if (!core) return;
    core->sealing_ = false;
    if (status.ok()) return core->finish_seal(std::move(*seals));
    if (status.code() != Code::kNoSpace) return core->env_.fatal(status.with_context("checkpoint"));
    if (core->closing_) {
      Done done = std::move(core->close_done_);
      core->close_done_ = {};
      if (done) done(status);
      return;
    }
    log_warn("storage", "no space for a checkpoint", {{"why", status.to_string()}});
    core->retry_seal_ms_ = core->env_.clock.mono_ms() + kRetrySealMs;
    for (auto s = seals->rbegin(); s != seals->rend(); ++s) core->seals_.push_front(std::move(*s));
  });
}

void StoreCore::finish_seal(std::vector<Seal> seals) {
  for (Seal& seal : seals) {
    auto info = files_.find(seal.file);
    if (info == files_.end()) continue;
    info->second.sealed = true;
    auto indexed = [&](std::vector<Run>& runs, const IndexedRun& r) {
      for (Run& run : runs) {
        if (run.entries != r.run.entries) continue;
        run.index_position = r.run.index_position;
        run.index_count = r.run.index_count;
        run.index_crc = r.run.index_crc;
        run.entries.reset();
      }
    };
    for (const IndexedRun& r : seal.runs) {
      auto log = by_log_id_.find(r.log_id);
      if (log != by_log_id_.end()) indexed(log->second->log_.runs, r);
      for (Move& move : moves_) indexed(move.pieces, r);
    }
  }
  space_changed_ = true;
  start_seal();
  free_space();
  maybe_close();
}

void StoreCore::release(uint64_t file) {
  FileInfo& info = files_[file];
  CHECK(info.runs > 0);
  info.runs--;
  space_changed_ = true;
}

// Gives back sealed files that nothing refers to.
void StoreCore::reclaim() {
  for (auto at = files_.begin(); at != files_.end();) {
    const FileInfo& info = at->second;
    if (!info.sealed || info.runs > 0 || info.pinned || closing_) {
      ++at;
      continue;
    }
    give_back(at->first, info);
    at = files_.erase(at);
  }
  update_disk_bytes();
}

// The index goes first, durably: a log file without one is not part of the log.
void StoreCore::give_back(uint64_t file, const FileInfo& info) {
  log_files_.forget(file);
  bool recycle = wal_.spares() + reclaiming_ < std::max(options_.spare_files, 1u) + 1 &&
                 info.disk_bytes == options_.log_file_bytes;
  std::string spare = recycle ? wal_.spare_path() : std::string();
  if (recycle) reclaiming_++;
  auto work = [fs = &env_.fs, dir = options_.dir, file, spare] {
    RETURN_IF_ERROR(fs->remove(index_path(dir, file)));
    RETURN_IF_ERROR(fs->sync_dir(log_dir(dir)));
    if (spare.empty()) return fs->remove(log_path(dir, file));
    RETURN_IF_ERROR(fs->rename(log_path(dir, file), spare));
    return fs->sync_dir(log_dir(dir));
  };
  env_.background_io.submit(work, [self = weak_from_this(), spare](Status status) {
    auto core = self.lock();
    if (!core) return;
    if (!spare.empty()) core->reclaiming_--;
    if (!status.ok()) return core->env_.fatal(status.with_context("recycling a log file"));
    if (!spare.empty()) core->wal_.add_spare(spare);
  });
}

void StoreCore::update_disk_bytes() {
  uint64_t bytes = wal_.spares() * options_.log_file_bytes;
  for (const auto& [file, info] : files_) {
    bytes += info.disk_bytes ? info.disk_bytes : options_.log_file_bytes;
  }
  disk_bytes_.Set(static_cast<double>(bytes));
}

void StoreCore::close(Done done) {
  CHECK(!closing_);
  closing_ = true;
  close_done_ = std::move(done);
  if (wal_.file() != 0) {
    wal_.roll();
  } else {
    uint64_t sequence = wal_.next_sequence();
    seals_.push_back({0, sequence - 1, {}, encode_checkpoint(checkpoint(wal_.next_file(), sequence)), {}});
  }
  start_seal();
}

void StoreCore::maybe_close() {
  if (!closing_ || !close_done_ || !wal_.idle() || sealing_ || !seals_.empty()) return;
  Done done = std::move(close_done_);
  close_done_ = {};
  done({});
}

}  // namespace broker::storage
