#include "broker/storage/log_reader.h"

#include <algorithm>

#include "broker/base/log.h"
#include "broker/storage/store_core.h"

namespace broker::storage {
namespace {
// Entries of one shard this near to each other are fetched by one read.
constexpr uint64_t kGapMax = 16 << 10, kReadMax = 1 << 20;

Offset entry_end(const Entries& entries, size_t i, const Run& run) {
  return i + 1 < entries.size() ? std::min(entries[i + 1].base, run.end) : run.end;
}
}  // namespace

Status walk_batches(const Buffer& bytes, Offset base, Offset limit,
                    const std::function<bool(Batch)>& take) {
  size_t at = 0;
  for (Offset next = base; at < bytes.size() && next < limit;) {
    auto header = parse_batch_header(bytes.view().substr(at));
    if (!header.ok()) return Status(Code::kCorruption, header.status().message());
    auto size = static_cast<size_t>(header->size);
    if (header->base_offset != next || size > bytes.size() - at) {
      return Status(Code::kCorruption, "no batch at offset " + std::to_string(next.value));
    }
    Batch batch{*header, bytes.slice(at, size)};
    if (!batch_crc_matches(batch.bytes.view())) {
      return Status(Code::kCorruption, "checksum of the batch at offset " + std::to_string(next.value));
    }
    next = header->end_offset();
    at += size;
    if (!take(std::move(batch))) return {};
  }
  return {};
}

// A read in progress.
struct LogReader::Wanted {
  Offset from;  // moves on with each batch taken
  size_t bytes_left;
  Offset end_max;
  Load* load;
  int64_t records_left;
  std::vector<Batch> batches;
  bool full = false;

  // Whether it ends at what is not in memory. A read whose caller does not wait takes its first piece
  // whatever that costs, or it would never go on.
  bool may_wait(const LogFiles& files) const { return files.loads() && (load || !batches.empty()); }
  // What comes next is not in memory: the read ends here. What it has already is told first; the rest
  // is there when it is asked for.
  void wait_for(LogFiles& files, const Run& run, std::optional<Span> span) {
    full = true;
    if (!batches.empty()) return files.load(run, span, [] {});
    load->started = true;
    files.load(run, span, std::move(load->loaded));
  }
};

bool LogReader::take(Wanted& w, Batch batch) const {
  const BatchHeader& h = batch.header;
  if (h.end_offset() <= w.from) return true;
  bool fits = w.batches.empty() || batch.bytes.size() <= w.bytes_left;
  if (!fits || h.end_offset() > w.end_max) {
    w.full = true;
    return false;
  }
  // Of a batch that compaction has thinned out, no more than these are surely at or past `from`.
  const int64_t skipped = std::max<int64_t>(0, w.from.value - h.base_offset.value);
  w.records_left -= h.control() ? 0 : std::max<int64_t>(0, h.record_count - skipped);
  w.from = h.end_offset();
  w.bytes_left -= std::min(w.bytes_left, batch.bytes.size());
  w.batches.push_back(std::move(batch));
  w.full = w.bytes_left == 0 || w.records_left <= 0;
  return !w.full;
}

Result<std::vector<Batch>> LogReader::read(Offset from, size_t bytes_max, Offset end_max,
                                           Load* load, int64_t records_max) {
  Wanted w{from, bytes_max, end_max, load, records_max, {}, false};
  while (!w.full && w.from < std::min(log_.log_end(), end_max)) {
    Offset before = w.from;
    if (!log_.tail_.empty() && w.from >= log_.tail_.front().batch.header.base_offset) {
      read_tail(w);
    } else {
      const Run* run = log_.log_.run_of(w.from);
      if (!run) {
        return Status(Code::kCorruption, "shard " + log_.id().to_string() + " has no record at " +
                                             std::to_string(w.from.value));
      }
      RETURN_IF_ERROR(corrupt(*run, read_run(*run, w)));
    }
    if (w.from == before && !w.full) {
      return Status(Code::kCorruption, "shard " + log_.id().to_string() +
                                           ": the batch at offset " + std::to_string(before.value) +
                                           " is not where the index says");
    }
  }
  return std::move(w.batches);
}

void LogReader::read_tail(Wanted& w) {
  auto at = std::upper_bound(
      log_.tail_.begin(), log_.tail_.end(), w.from,
      [](Offset o, const ShardLog::TailBatch& t) { return o < t.batch.header.base_offset; });
  for (--at; at != log_.tail_.end(); ++at) {
    if (!take(w, at->batch)) return;
  }
}

Status LogReader::read_run(const Run& run, Wanted& w) {
  if (w.may_wait(files_) && !files_.has_entries(run)) {
    w.wait_for(files_, run, std::nullopt);
    return {};
  }
  ASSIGN_OR_RETURN(auto entries, files_.entries(run));
  ASSIGN_OR_RETURN(auto file, files_.open(run.file));
  auto next = std::upper_bound(entries->begin(), entries->end(), w.from,
                               [](Offset o, const Entry& e) { return o < e.base; });
  if (next == entries->begin()) return Status(Code::kCorruption, "the index does not hold it");
  auto i = static_cast<size_t>(next - entries->begin()) - 1;
  // From the tail cache on nothing needs the disk, and what is not durable is not there yet.
  Offset limit = log_.tail_.empty() ? run.end
                                    : std::min(run.end, log_.tail_.front().batch.header.base_offset);
  Status status;
  auto take_checked = [&](Batch b) {
    if (b.header.end_offset() > w.from && term_at(b.header.base_offset) != b.header.term) {
      status = Status(Code::kCorruption, "term of the batch at offset " +
                                             std::to_string(b.header.base_offset.value));
      return false;
    }
    return take(w, std::move(b));
  };
  while (!w.full && i < entries->size() && (*entries)[i].base < limit) {
    uint64_t start = (*entries)[i].position, end = start + (*entries)[i].size;
    size_t last = i;
    uint64_t wanted = (*entries)[i].size;
    while (last + 1 < entries->size() && wanted < w.bytes_left) {
      const Entry& e = (*entries)[last + 1];
      // A record takes an offset at least: what begins that far on is not wanted, or not yet.
      if (e.base >= limit || e.base.value - w.from.value >= w.records_left || e.position < end ||
          e.position > end + kGapMax || uint64_t{e.position} + e.size > start + kReadMax) {
        break;
      }
      end = uint64_t{e.position} + e.size;
      wanted += e.size;
      last++;
    }
    const size_t size = end - start;
    auto bytes = std::make_shared_for_overwrite<char[]>(size);
    std::optional<size_t> got;
    if (w.may_wait(files_)) {
      ASSIGN_OR_RETURN(got, file->read_cached(start, bytes.get(), size));
    } else {
      ASSIGN_OR_RETURN(got, file->read_at(start, bytes.get(), size));
    }
    if (!got) {
      w.wait_for(files_, run, Span{start, size});
      return {};
    }
    Buffer chunk(bytes, std::string_view(bytes.get(), *got));
    for (; i <= last && !w.full; i++) {
      const Entry& e = (*entries)[i];
      uint64_t at = e.position - start;
      if (at + e.size > chunk.size()) return Status(Code::kCorruption, "the log file is too short");
      RETURN_IF_ERROR(walk_batches(chunk.slice(at, e.size), e.base, entry_end(*entries, i, run),
                                   take_checked));
      RETURN_IF_ERROR(status);
    }
  }
  return {};
}

// A batch's own CRC leaves its term out; the term table has it, too.
Term LogReader::term_at(Offset offset) const {
  Term term = kNoTerm;
  for (const TermStart& t : log_.terms()) {
    if (t.start <= offset) term = t.term;
  }
  return term;
}

Status LogReader::corrupt(const Run& run, const Status& why) const {
  if (why.code() != Code::kCorruption) return why;
  log_.core_.count_corruption();
  log_error("storage", "damaged bytes", {{"shard", log_.id().to_string()},
                                         {"log_file", run.file},
                                         {"why", why.message()}});
  return why.with_context("shard " + log_.id().to_string() + ", log file " + std::to_string(run.file));
}

Result<std::vector<BatchHeader>> LogReader::headers(const Entry& entry, Offset end, Offset end_max) {
  Offset from = std::max(entry.base, log_.log_start());
  std::vector<BatchHeader> out;
  if (from >= end) return out;
  ASSIGN_OR_RETURN(auto batches, read(from, std::max<size_t>(entry.size, 1), end_max));
  for (const Batch& b : batches) {
    if (b.header.base_offset < end) out.push_back(b.header);
  }
  return out;
}

Result<std::optional<BatchHeader>> LogReader::find_timestamp(int64_t timestamp_ms, Offset end_max) {
  for (const Run& run : log_.log_.runs) {
    // A run's maximum may be too high after a truncation, never too low.
    if (run.max_timestamp_ms < timestamp_ms || run.end <= log_.log_start()) continue;
    ASSIGN_OR_RETURN(auto entries, files_.entries(run));
    for (size_t i = 0; i < entries->size() && (*entries)[i].base < run.end; i++) {
      if ((*entries)[i].base >= end_max) return std::optional<BatchHeader>();
      if ((*entries)[i].max_timestamp_ms < timestamp_ms) continue;
      ASSIGN_OR_RETURN(auto found, headers((*entries)[i], entry_end(*entries, i, run), end_max));
      for (const BatchHeader& h : found) {
        if (h.max_timestamp_ms >= timestamp_ms) return std::optional(h);
      }
    }
  }
  return std::optional<BatchHeader>();
}

Result<std::optional<BatchHeader>> LogReader::find_max_timestamp(Offset end_max) {
  std::optional<BatchHeader> best;
  auto better = [&](int64_t ts) { return !best || ts > best->max_timestamp_ms; };
  // Backwards: timestamps mostly ascend, so the last entry mostly decides.
  for (auto run = log_.log_.runs.rbegin(); run != log_.log_.runs.rend(); ++run) {
    if (run->first >= end_max || !better(run->max_timestamp_ms)) continue;
    ASSIGN_OR_RETURN(auto entries, files_.entries(*run));
    for (size_t i = entries->size(); i-- > 0;) {
      const Entry& e = (*entries)[i];
      if (e.base >= std::min(run->end, end_max) || !better(e.max_timestamp_ms)) continue;
      ASSIGN_OR_RETURN(auto found, headers(e, entry_end(*entries, i, *run), end_max));
      for (const BatchHeader& h : found) {
        if (better(h.max_timestamp_ms)) best = h;
      }
    }
  }
  return best;
}

}  // namespace broker::storage
