// Rewriting: the live runs of a mostly dead log file are copied to the end of the log, so that a
// quiet shard (or one kept for long) does not hold the space of busy ones. One file at a time; the
// bytes are read and checked on the background queue.
#include <algorithm>

#include "broker/base/log.h"
#include "broker/storage/log_reader.h"
#include "broker/storage/store_core.h"

namespace broker::storage {
namespace {
constexpr size_t kFilesMin = 4;  // below, there is nothing to win

std::string order_body(uint64_t order) {
  std::string body;
  ByteWriter(body).u64(order);
  return body;
}
}  // namespace

// One frame of the source file, and what was read of it.
struct StoreCore::MovedFrame {
  size_t move;  // index in moves_
  Entry entry;
  Offset end;
  std::vector<Batch> batches;
};

struct StoreCore::MovePlan {
  uint64_t file;
  std::shared_ptr<env::File> source;
  std::vector<MovedFrame> frames;
};

void StoreCore::maybe_compact() {
  if (compacting_ || closing_ || options_.compact_below_percent == 0 || wal_.disk_full()) return;
  if (files_.size() <= kFilesMin) return;
  for (const auto& [file, info] : files_) {
    if (!info.sealed || info.runs == 0 || info.keep) continue;
    if (info.live_bytes * 100 < info.disk_bytes * options_.compact_below_percent) return compact(file);
  }
}

void StoreCore::compact(uint64_t file) {
  auto plan = std::make_shared<MovePlan>();
  plan->file = file;
  Status failed;
  for (const auto& [id, log] : shards_) {
    if (!log->quarantined_.ok()) continue;
    for (const Run& run : log->log_.runs) {
      if (run.file != file) continue;
      auto entries = log_files_.entries(run);
      if (!entries.ok()) failed = entries.status();
      if (!failed.ok()) break;
      size_t move = moves_.size();
      moves_.push_back({log->log_id_, file, run.order, run.first, run.end, {}});
      const Entries& all = **entries;
      for (size_t i = 0; i < all.size() && all[i].base < run.end; i++) {
        Offset end = i + 1 < all.size() ? std::min(all[i + 1].base, run.end) : run.end;
        if (end > std::max(run.first, log->log_start())) plan->frames.push_back({move, all[i], end, {}});
      }
    }
  }
  auto source = log_files_.open(file);
  if (failed.ok() && !source.ok()) failed = source.status();
  FileInfo& info = files_[file];
  compacting_ = info.pinned = true;
  if (!failed.ok()) return queue_moves(plan, failed);
  plan->source = *source;
  auto work = [plan] {
    for (MovedFrame& f : plan->frames) {
      std::string bytes(f.entry.size, '\0');
      ASSIGN_OR_RETURN(size_t got, plan->source->read_at(f.entry.position, bytes.data(), bytes.size()));
      if (got < bytes.size()) return Status(Code::kCorruption, "the log file is too short");
      RETURN_IF_ERROR(walk_batches(Buffer::from_string(std::move(bytes)), f.entry.base, f.end,
                                   [&](Batch b) {
                                     f.batches.push_back(std::move(b));
                                     return true;
                                   }));
    }
    return Status();
  };
  env_.background_io.submit(work, [self = weak_from_this(), plan](Status status) {
    if (auto core = self.lock()) core->queue_moves(plan, status);
  });
}

void StoreCore::queue_moves(const std::shared_ptr<MovePlan>& plan, Status status) {
  if (closing_) return;  // the source stays as it is
  for (size_t i = 0; status.ok() && i < plan->frames.size(); i++) {
    MovedFrame& frame = plan->frames[i];
    status = queue_move(moves_[frame.move], std::move(frame), i + 1 == plan->frames.size());
  }
  if (!plan->frames.empty() && status.ok()) return;  // goes on when the last copy is durable
  if (!status.ok()) {
    log_warn("storage", "a log file is not rewritten",
             {{"log_file", plan->file}, {"why", status.to_string()}});
    for (const Move& move : moves_) {
      for (const Run& piece : move.pieces) releases_.push_back({wal_.next_sequence() - 1, piece.file});
    }
    moves_.clear();
    files_[plan->file].keep = status.code() != Code::kNoSpace;
  }
  finish_moves(plan->file, !status.ok());
}

// Copies one frame; its run still belongs to the source until the copies are durable.
Status StoreCore::queue_move(Move& move, MovedFrame frame, bool last) {
  // Reset, cut or removed since it was read: the copy would be of no use. The last frame is queued
  // all the same, for its callback.
  auto log = by_log_id_.find(move.log_id);
  Offset begin = std::max(frame.entry.base, move.first);
  const Run* run = log == by_log_id_.end() ? nullptr : log->second->log_.run_of(begin);
  if (!last && (!run || run->file != move.file || run->order != move.order)) return {};
  WalFrame out;
  out.type = FrameType::kRelocate;
  out.log_id = move.log_id;
  out.head = order_body(move.order);
  Entry entry = frame.entry;
  entry.size = 0;
  for (const Batch& b : frame.batches) {
    out.data.push_back(b.bytes);
    entry.size += static_cast<uint32_t>(b.bytes.size());
  }
  RETURN_IF_ERROR(wal_.admit(frame_size(out.head.size() + entry.size), false));
  if (last) out.durable = [this, file = move.file] { finish_moves(file, false); };
  Wal::Place place = wal_.add(std::move(out));
  entry.position = place.position + 8;
  if (move.pieces.empty() || move.pieces.back().file != place.file) {
    Run piece;
    piece.file = place.file;
    piece.order = move.order;
    piece.first = entry.base;
    piece.max_timestamp_ms = INT64_MIN;
    piece.entries = std::make_shared<Entries>();
    move.pieces.push_back(std::move(piece));
    files_[place.file].runs++;
    files_[place.file].touched.push_back(move.log_id);
  }
  Run& piece = move.pieces.back();
  piece.entries->push_back(entry);
  piece.end = frame.end;
  piece.bytes += entry.size;
  piece.max_timestamp_ms = std::max(piece.max_timestamp_ms, entry.max_timestamp_ms);
  files_[place.file].live_bytes += entry.size;
  return {};
}

void StoreCore::finish_moves(uint64_t file, bool failed) {
  for (Move& move : moves_) finish_move(move);
  moves_.clear();
  compacting_ = false;
  FileInfo& info = files_[file];
  info.pinned = false;
  info.keep |= info.runs > 0 && !failed;  // what is left (a quarantined shard's) cannot be moved
  space_changed_ = true;
}

// Puts the copies where the source's runs are now: those may have been cut or dropped meanwhile.
void StoreCore::finish_move(Move& move) {
  auto log = by_log_id_.find(move.log_id);
  std::vector<Run> runs, kept;
  if (log != by_log_id_.end()) runs = std::move(log->second->log_.runs);
  std::vector<bool> used(move.pieces.size());
  for (Run& run : runs) {
    if (run.file != move.file || run.order != move.order || run.first != move.first) {
      kept.push_back(std::move(run));
      continue;
    }
    for (size_t i = 0; i < move.pieces.size(); i++) {
      Run piece = move.pieces[i];
      piece.first = std::max(piece.first, run.first);
      piece.end = std::min(piece.end, run.end);
      if (piece.first >= piece.end) continue;
      used[i] = true;
      kept.push_back(std::move(piece));
    }
    release(run.file);
  }
  if (log != by_log_id_.end()) log->second->log_.runs = std::move(kept);
  for (size_t i = 0; i < used.size(); i++) {
    if (!used[i]) release(move.pieces[i].file);
  }
}

}  // namespace broker::storage
