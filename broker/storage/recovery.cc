#include "broker/storage/recovery.h"

#include <algorithm>

#include "broker/base/log.h"
#include "broker/storage/replay_frame.h"

namespace broker::storage {
namespace {
constexpr uint64_t kCheckpointBytesMax = uint64_t{4} << 30;

Status damaged(uint64_t file, const std::string& why) {
  return Status(Code::kCorruption,
                "log file " + std::to_string(file) + ": " + why +
                    ". Acknowledged records are damaged or missing; restore the directory, or empty "
                    "it so that the broker rejoins as a new one and fetches from its peers");
}
}  // namespace

Recovery::Recovery(StoreCore& core)
    : core_(core), fs_(core.env_.fs), dir_(core.options_.dir) {}

Status Recovery::run() {
  int64_t started = core_.env_.clock.mono_ms();
  RETURN_IF_ERROR(identify());
  RETURN_IF_ERROR(load_checkpoint());
  RETURN_IF_ERROR(list_files());
  auto sealed = logs_;
  for (uint64_t file : sealed) {
    if (file < checkpoint_.replay_from) RETURN_IF_ERROR(load_sealed(file));
  }
  for (const CheckpointShard& s : checkpoint_.shards) {
    LogState& log = core_.by_log_id_.at(s.log_id)->log_;
    log.truncate(s.log_end);
    log.set_start(s.log_start);
  }
  RETURN_IF_ERROR(replay());
  for (auto& [id, log] : core_.shards_) {
    std::string hole = log->log_.find_hole();
    if (log->quarantined_.ok() && !hole.empty()) quarantine(*log, hole);
    log->durable_end_ = log->log_end();
    log->recovered_uncleanly_ = !checkpoint_.clean;
  }
  RETURN_IF_ERROR(make_durable());
  log_info("storage", "recovered",
           {{"dir", dir_}, {"shards", core_.shards_.size()}, {"log_files", core_.files_.size()},
            {"replayed_files", replayed_.size()}, {"clean", checkpoint_.clean},
            {"ms", core_.env_.clock.mono_ms() - started}});
  return {};
}

// The order of the first open is: folders, an empty checkpoint, `meta`. So without `meta` nothing
// was ever stored, unless somebody took it away.
Status Recovery::identify() {
  bool made = !fs_.exists(dir_);
  RETURN_IF_ERROR(fs_.make_dirs(log_dir(dir_)));
  if (made) {
    auto slash = dir_.rfind('/');
    std::string parent = slash == std::string::npos ? "." : slash == 0 ? "/" : dir_.substr(0, slash);
    RETURN_IF_ERROR(fs_.sync_dir(parent));
  }
  std::string path = meta_path(dir_);
  if (fs_.exists(path)) {
    ASSIGN_OR_RETURN(std::string bytes, env::read_file(fs_, path, 4096));
    auto meta = decode_meta(bytes);
    if (!meta.ok()) return meta.status().with_context(path);
    if (meta->broker != core_.options_.broker) {
      return Status(Code::kConflict, dir_ + " belongs to broker " + std::to_string(meta->broker.value) +
                                         ", this is broker " +
                                         std::to_string(core_.options_.broker.value));
    }
    core_.directory_ = meta->directory;
    return {};
  }
  ASSIGN_OR_RETURN(auto names, fs_.list(log_dir(dir_)));
  for (const std::string& name : names) {
    if (parse_log_name(name, ".log") == 0) continue;
    return Status(Code::kCorruption, dir_ + " has log files, but its file 'meta' is missing");
  }
  core_.directory_ = Uuid::from_random(core_.env_.random.next(), core_.env_.random.next());
  Checkpoint empty;
  empty.clean = true;
  RETURN_IF_ERROR(env::write_file_atomically(fs_, checkpoint_path(dir_), encode_checkpoint(empty)));
  return env::write_file_atomically(fs_, path,
                                    encode_meta({core_.directory_, core_.options_.broker}));
}

ShardLog& Recovery::add_log(const ShardId& id, uint64_t log_id, ReplicaState state) {
  auto log = std::make_unique<ShardLog>(core_, id, log_id, state);
  ShardLog& added = *log;
  core_.by_log_id_[log_id] = &added;
  core_.shards_[id] = std::move(log);
  core_.next_log_id_ = std::max(core_.next_log_id_, log_id + 1);
  return added;
}

Status Recovery::load_checkpoint() {
  std::string path = checkpoint_path(dir_);
  ASSIGN_OR_RETURN(std::string bytes, env::read_file(fs_, path, kCheckpointBytesMax));
  auto decoded = decode_checkpoint(bytes);
  if (!decoded.ok()) return decoded.status().with_context(path);
  checkpoint_ = std::move(*decoded);
  core_.clean_ = checkpoint_.clean;
  core_.next_log_id_ = checkpoint_.next_log_id;
  next_sequence_ = checkpoint_.next_sequence;
  next_file_ = checkpoint_.replay_from;
  for (CheckpointShard& s : checkpoint_.shards) {
    ShardLog& log = add_log(s.id, s.log_id, s.state);
    log.log_.start = s.log_start;
    log.log_.end = s.log_end;
    log.log_.terms = std::move(s.terms);
    log.log_.snapshots = std::move(s.snapshots);
    if (!s.quarantine.empty()) log.quarantined_ = Status(Code::kCorruption, s.quarantine);
  }
  return {};
}

Status Recovery::remove_file(const std::string& path) { return fs_.remove(path); }

Status Recovery::list_files() {
  ASSIGN_OR_RETURN(auto names, fs_.list(log_dir(dir_)));
  for (const std::string& name : names) {
    if (uint64_t log = parse_log_name(name, ".log")) {
      logs_.insert(log);
    } else if (uint64_t index = parse_log_name(name, ".idx")) {
      indexes_.insert(index);
    } else {
      RETURN_IF_ERROR(adopt_or_remove(log_dir(dir_) + "/" + name));  // spares, unfinished files
    }
  }
  // An index past the checkpoint, or without its log file, was left by a crash.
  for (uint64_t index : indexes_) {
    if (logs_.contains(index) && index < checkpoint_.replay_from) continue;
    RETURN_IF_ERROR(remove_file(index_path(dir_, index)));
  }
  if (!logs_.empty()) next_file_ = std::max(next_file_, *logs_.rbegin() + 1);
  return {};
}

// A log file is begun under its spare's name, and renamed without waiting for that to be durable. A
// spare that was a log file before has the number of one that the checkpoint has left behind.
Status Recovery::adopt_or_remove(const std::string& path) {
  ASSIGN_OR_RETURN(auto file, fs_.open(path, env::OpenMode::kRead));
  std::string bytes(kFileHeaderSize, '\0');
  ASSIGN_OR_RETURN(size_t got, file->read_at(0, bytes.data(), bytes.size()));
  bytes.resize(got);
  auto header = decode_file_header(bytes);
  if (header.code() == Code::kUnsupported) return header.status().with_context(path);
  if (!header.ok() || header->directory != core_.directory_ ||
      header->file < checkpoint_.replay_from || fs_.exists(log_path(dir_, header->file))) {
    return remove_file(path);
  }
  RETURN_IF_ERROR(fs_.rename(path, log_path(dir_, header->file)));
  logs_.insert(header->file);
  return {};
}

Status Recovery::load_sealed(uint64_t file) {
  std::vector<IndexedRun> runs;
  Status bad(Code::kCorruption, "missing");
  if (indexes_.contains(file)) {
    ASSIGN_OR_RETURN(auto index, fs_.open(index_path(dir_, file), env::OpenMode::kRead));
    auto directory = read_index_directory(*index, file);
    bad = directory.status();
    if (bad.ok()) {
      ASSIGN_OR_RETURN(auto log, fs_.open(log_path(dir_, file), env::OpenMode::kRead));
      ASSIGN_OR_RETURN(uint64_t size, log->size());
      // What is missing leaves a hole in its shards' logs.
      if (size < directory->log_bytes) bad = Status(Code::kCorruption, "the log file is too short");
    }
    if (bad.ok()) runs = std::move(directory->runs);
    if (bad.code() == Code::kUnsupported) return bad;
  }
  if (!bad.ok()) {
    log_warn("storage", "index is rebuilt", {{"log_file", file}, {"why", bad.to_string()}});
    auto rebuilt = rebuild_index(file);
    if (rebuilt.code() == Code::kCorruption) {
      // Not a log file any more: it was being recycled.
      logs_.erase(file);
      return remove_file(log_path(dir_, file));
    }
    RETURN_IF_ERROR(rebuilt.status());
    runs = std::move(*rebuilt);
  }
  core_.files_[file].length = 1;
  for (IndexedRun& r : runs) {
    auto log = core_.by_log_id_.find(r.log_id);
    if (log != core_.by_log_id_.end()) log->second->log_.insert(r.run);
  }
  return {};
}

// The index of a file, from its frames. Frames that are damaged leave a hole in their log, which is
// found later. kCorruption: the file is not this log file.
Result<std::vector<IndexedRun>> Recovery::rebuild_index(uint64_t file) {
  ASSIGN_OR_RETURN(auto opened, fs_.open(log_path(dir_, file), env::OpenMode::kRead));
  ASSIGN_OR_RETURN(uint64_t size, opened->size());
  FrameScanner scanner(*opened, file, size);
  RETURN_IF_ERROR(scanner.file_header().status());
  std::map<uint64_t, LogState> logs;
  uint64_t position = kFileHeaderSize;
  while (position + kFrameHeaderSize <= size) {
    FrameHeader header;
    std::string_view body;
    ASSIGN_OR_RETURN(auto found, scanner.read(position, header, body));
    if (found == FrameScanner::Found::kBadHeader) break;
    LogState& log = logs[header.log_id];
    if (found == FrameScanner::Found::kFrame) {
      if (auto base = first_offset(body); base && header.type == FrameType::kAppend &&
                                          *base < log.end) {
        log.truncate(*base);
      }
      replay_frame(log, file, header.type, body, position + kFrameHeaderSize, false);
    }
    position += frame_size(header.length);
  }
  std::vector<IndexedRun> runs;
  for (auto& [id, log] : logs) {
    for (Run& run : log.runs) runs.push_back({id, std::move(run)});
  }
  RETURN_IF_ERROR(env::write_file_atomically(fs_, index_path(dir_, file),
                                             encode_index(file, position, runs)));
  for (IndexedRun& r : runs) r.run.entries.reset();
  return runs;
}

Status Recovery::replay() {
  for (uint64_t file = checkpoint_.replay_from; !logs_.empty() && file <= *logs_.rbegin(); file++) {
    if (!logs_.contains(file)) return damaged(file, "the file is missing");
    bool torn = false;
    RETURN_IF_ERROR(replay_file(file, torn));
    if (!torn) continue;
    if (file != *logs_.rbegin()) return damaged(file, "its header is damaged");
    RETURN_IF_ERROR(remove_file(log_path(dir_, file)));
    break;
  }
  return {};
}

Status Recovery::replay_file(uint64_t file, bool& torn) {
  ASSIGN_OR_RETURN(auto opened, fs_.open(log_path(dir_, file), env::OpenMode::kRead));
  ASSIGN_OR_RETURN(uint64_t size, opened->size());
  FrameScanner scanner(*opened, file, size);
  RETURN_IF_ERROR(check_header(file, scanner, torn));
  return torn ? Status() : replay_frames(file, scanner, size);
}

Status Recovery::check_header(uint64_t file, FrameScanner& scanner, bool& torn) {
  auto header = scanner.file_header();
  if (header.code() == Code::kCorruption) {
    ASSIGN_OR_RETURN(bool proven, scanner.proves_durable(kFileHeaderSize, next_sequence_));
    if (proven) return damaged(file, "its header is damaged");
    torn = true;
    return {};
  }
  RETURN_IF_ERROR(header.status());
  if (header->directory != core_.directory_) {
    return damaged(file, "it was written by directory " + header->directory.to_string());
  }
  if (header->first_sequence != next_sequence_ || (chain_known_ && header->prev_crc != chain_)) {
    return damaged(file, "it begins with frame " + std::to_string(header->first_sequence) +
                             ", but frame " + std::to_string(next_sequence_) + " was not found");
  }
  chain_ = header->prev_crc;
  chain_known_ = true;
  return {};
}

// Whether frame `next_sequence_` was durable, by the word of what was written after it: a frame that
// says so, or a later log file (begun only when all before it is durable).
Result<bool> Recovery::later_was_durable(uint64_t file, FrameScanner& scanner, uint64_t position) {
  ASSIGN_OR_RETURN(bool proven, scanner.proves_durable(position, next_sequence_));
  if (proven || !logs_.contains(file + 1)) return proven;
  ASSIGN_OR_RETURN(auto opened, fs_.open(log_path(dir_, file + 1), env::OpenMode::kRead));
  ASSIGN_OR_RETURN(uint64_t size, opened->size());
  FrameScanner next(*opened, file + 1, size);
  auto header = next.file_header();
  return header.ok() && header->first_sequence > next_sequence_;
}

Status Recovery::replay_frames(uint64_t file, FrameScanner& scanner, uint64_t size) {
  using Found = FrameScanner::Found;
  uint64_t position = kFileHeaderSize;
  while (position + kFrameHeaderSize <= size) {
    FrameHeader header;
    std::string_view body;
    ASSIGN_OR_RETURN(Found found, scanner.read(position, header, body));
    bool in_order = found != Found::kBadHeader && header.sequence == next_sequence_ &&
                    header.prev_crc == chain_;
    if (!in_order || found == Found::kBadBody) {
      uint64_t next = in_order ? position + frame_size(header.length) : position + kFrameAlignment;
      ASSIGN_OR_RETURN(bool proven, later_was_durable(file, scanner, next));
      if (!proven) break;  // a torn tail, or simply the end
      std::string at = " at byte " + std::to_string(position);
      auto log = core_.by_log_id_.find(header.log_id);
      if (!in_order) return damaged(file, "no frame" + at);
      // A promise to a coordinator is lost: the shard could break it.
      const bool lost_state = header.type == FrameType::kState;
      if (lost_state || log == core_.by_log_id_.end()) {
        return damaged(file, "the frame" + at + " fails its checksum");
      }
      quarantine(*log->second, "log file " + std::to_string(file) + ": the frame" + at +
                                   " fails its checksum");
    } else {
      RETURN_IF_ERROR(apply(file, header, body, position + kFrameHeaderSize));
    }
    chain_ = header.crc;
    next_sequence_++;
    position += frame_size(header.length);
  }
  replayed_[file] = {std::min(position, size)};
  return {};
}

Status Recovery::apply_create(const FrameHeader& header, std::string_view body) {
  ShardId id;
  ReplicaState state;
  if (!decode_create_body(body, id, state.term, state.adopted_term) || core_.shards_.contains(id)) {
    return Status(Code::kCorruption, "create frame of " + id.to_string());
  }
  add_log(id, header.log_id, state);
  return {};
}

Status Recovery::apply(uint64_t file, const FrameHeader& header, std::string_view body,
                       uint64_t position) {
  if (header.type == FrameType::kCreate) return apply_create(header, body);
  auto found = core_.by_log_id_.find(header.log_id);
  if (found == core_.by_log_id_.end()) {
    if (header.type == FrameType::kRelocate) return {};  // removed while it was being copied
    return damaged(file, "a frame of unknown log " + std::to_string(header.log_id));
  }
  ShardLog& log = *found->second;
  if (header.type == FrameType::kRemove) {
    core_.by_log_id_.erase(found);
    core_.shards_.erase(log.id());
    return {};
  }
  if (header.type == FrameType::kReset) log.quarantined_ = {};
  if (!log.quarantined_.ok() && header.type != FrameType::kState) return {};
  auto base = first_offset(body);
  if (header.type == FrameType::kAppend && base != log.log_end()) {
    quarantine(log, "log file " + std::to_string(file) + ": a frame does not continue the log at " +
                        std::to_string(log.log_end().value));
    return {};
  }
  if (replay_frame(log.log_, file, header.type, body, position, true)) return {};
  return damaged(file, "frame " + std::to_string(header.sequence) + " is not of its type");
}

void Recovery::quarantine(ShardLog& log, const std::string& why) {
  log_error("storage", "shard is quarantined", {{"shard", log.id().to_string()}, {"why", why}});
  log.quarantined_ = Status(Code::kCorruption, why);
}

// What was found may be in the page cache only. Replayed files are synced, indexed and left behind
// by a new checkpoint; the log goes on in a new file, so that a cut tail is never looked at again.
Status Recovery::make_durable() {
  for (auto& [file, replayed] : replayed_) {
    ASSIGN_OR_RETURN(auto opened, fs_.open(log_path(dir_, file), env::OpenMode::kReadWrite));
    RETURN_IF_ERROR(opened->truncate(replayed.length));
    RETURN_IF_ERROR(opened->sync());
    core_.files_[file].length = replayed.length;
    std::vector<IndexedRun> runs;
    std::vector<Run*> places;
    for (auto& [id, log] : core_.shards_) {
      for (Run& run : log->log_.runs) {
        if (run.file != file) continue;
        runs.push_back({log->log_id_, run});
        places.push_back(&run);
      }
    }
    std::string index = encode_index(file, replayed.length, runs);
    RETURN_IF_ERROR(env::write_file_atomically(fs_, index_path(dir_, file), index));
    for (size_t i = 0; i < runs.size(); i++) {
      *places[i] = runs[i].run;
      places[i]->entries.reset();
    }
  }
  RETURN_IF_ERROR(fs_.sync_dir(log_dir(dir_)));
  Checkpoint now = core_.checkpoint(next_file_, next_sequence_);
  RETURN_IF_ERROR(env::write_file_atomically(fs_, checkpoint_path(dir_), encode_checkpoint(now)));
  for (auto& [number, info] : core_.files_) {
    ASSIGN_OR_RETURN(auto opened, fs_.open(log_path(dir_, number), env::OpenMode::kRead));
    ASSIGN_OR_RETURN(info.disk_bytes, opened->size());
    info.sealed = true;
  }
  for (auto& [id, log] : core_.shards_) {
    for (const Run& run : log->log_.runs) {
      core_.files_[run.file].runs++;
      core_.files_[run.file].live_bytes += run.bytes;
    }
  }
  core_.wal_.start(core_.directory_, next_file_, next_sequence_, chain_);
  core_.space_changed_ = true;
  return {};
}

}  // namespace broker::storage
