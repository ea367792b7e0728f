#include "broker/storage/log_state.h"

#include <algorithm>

namespace broker::storage {
namespace {

// Makes a run end at `new_end`, which is inside it.
void clip_end(Run& run, Offset new_end) {
  if (!run.entries) {
    // Sealed: its entries are on disk and ignored from `new_end` on; its size is estimated.
    auto kept = static_cast<uint64_t>(new_end - run.first), all = static_cast<uint64_t>(run.end - run.first);
    run.bytes = static_cast<uint64_t>(static_cast<double>(run.bytes) * kept / all);
    run.end = new_end;
    return;
  }
  run.end = new_end;
  while (!run.entries->empty() && run.entries->back().base >= new_end) {
    run.bytes -= run.entries->back().size;
    run.entries->pop_back();
  }
  run.max_timestamp_ms = INT64_MIN;
  for (const Entry& e : *run.entries) {
    run.max_timestamp_ms = std::max(run.max_timestamp_ms, e.max_timestamp_ms);
  }
}

}  // namespace

uint64_t LogState::bytes() const {
  uint64_t sum = 0;
  for (const Run& run : runs) sum += run.bytes;
  return sum;
}

const Run* LogState::run_of(Offset offset) const {
  auto next = std::upper_bound(runs.begin(), runs.end(), offset,
                               [](Offset o, const Run& r) { return o < r.first; });
  if (next == runs.begin() || offset >= std::prev(next)->end) return nullptr;
  return &*std::prev(next);
}

void LogState::note_term(Term term, Offset base) {
  if (term > last_term()) terms.push_back({term, base});
}

bool LogState::append(uint64_t file, const Entry& entry, Offset frame_end) {
  bool begins = runs.empty() || runs.back().file != file || runs.back().order != file ||
                runs.back().end != entry.base;
  if (begins) {
    Run run;
    run.file = run.order = file;
    run.first = entry.base;
    run.max_timestamp_ms = INT64_MIN;
    run.entries = std::make_shared<Entries>();
    runs.push_back(std::move(run));
  }
  Run& run = runs.back();
  run.entries->push_back(entry);
  run.end = end = frame_end;
  run.bytes += entry.size;
  run.max_timestamp_ms = std::max(run.max_timestamp_ms, entry.max_timestamp_ms);
  return begins;
}

std::vector<Run> LogState::truncate(Offset new_end) {
  std::vector<Run> dropped;
  while (!runs.empty() && runs.back().first >= new_end) {
    dropped.push_back(std::move(runs.back()));
    runs.pop_back();
  }
  if (!runs.empty() && runs.back().end > new_end) clip_end(runs.back(), new_end);
  while (!terms.empty() && terms.back().start >= new_end) terms.pop_back();
  while (!snapshots.empty() && snapshots.back().at > new_end) snapshots.pop_back();
  end = new_end;
  return dropped;
}

std::vector<Run> LogState::set_start(Offset new_start) {
  std::vector<Run> dropped;
  auto keep = std::find_if(runs.begin(), runs.end(),
                           [&](const Run& r) { return r.end > new_start; });
  std::move(runs.begin(), keep, std::back_inserter(dropped));
  runs.erase(runs.begin(), keep);
  // The last term that began at or below the start stays: its batches may still be there.
  while (terms.size() > 1 && terms[1].start <= new_start) terms.erase(terms.begin());
  start = new_start;
  return dropped;
}

std::vector<Run> LogState::reset(Offset new_start) {
  std::vector<Run> dropped = std::move(runs);
  runs.clear();
  terms.clear();
  snapshots.clear();
  start = end = new_start;
  return dropped;
}

void LogState::save_snapshot(Offset at, std::string blob) {
  std::erase_if(snapshots, [&](const Snapshot& s) { return s.at >= at; });
  snapshots.push_back({at, std::move(blob)});
  if (snapshots.size() > 2) snapshots.erase(snapshots.begin());
}

void LogState::insert(Run run) {
  auto later = std::upper_bound(runs.begin(), runs.end(), run.order,
                                [](uint64_t order, const Run& r) { return order < r.order; });
  if (later != runs.end()) run.end = std::min(run.end, later->first);
  // What runs of the same order hold already needs no second copy.
  std::vector<std::pair<Offset, Offset>> gaps;
  Offset at = run.first;
  for (const Run& r : runs) {
    if (r.order != run.order) continue;
    if (r.first > at) gaps.emplace_back(at, std::min(r.first, run.end));
    at = std::max(at, r.end);
  }
  gaps.emplace_back(at, run.end);
  for (auto [first, end] : gaps) {
    if (first < end) insert_piece(run, first, end);
  }
}

void LogState::insert_piece(const Run& run, Offset first, Offset end) {
  Run piece = run;
  piece.first = first;
  piece.end = end;
  if (piece.entries) piece.entries = std::make_shared<Entries>(*run.entries);
  auto at = std::find_if(runs.begin(), runs.end(), [&](const Run& r) {
    return r.order > run.order || (r.order == run.order && r.first > first);
  });
  // Earlier orders were truncated where this one begins.
  while (at != runs.begin() && std::prev(at)->end > first) {
    auto before = std::prev(at);
    if (before->first >= first) {
      at = runs.erase(before);
    } else {
      clip_end(*before, first);
    }
  }
  // Frame by frame copies of one run become one again.
  bool continues = at != runs.begin() && piece.entries && std::prev(at)->entries &&
                   std::prev(at)->file == piece.file && std::prev(at)->order == piece.order &&
                   std::prev(at)->end == first;
  if (!continues) {
    runs.insert(at, std::move(piece));
    return;
  }
  Run& before = *std::prev(at);
  before.entries->insert(before.entries->end(), piece.entries->begin(), piece.entries->end());
  before.end = end;
  before.bytes += piece.bytes;
  before.max_timestamp_ms = std::max(before.max_timestamp_ms, piece.max_timestamp_ms);
}

std::string LogState::find_hole() const {
  Offset at = start;
  for (const Run& run : runs) {
    if (run.first > at) break;
    at = std::max(at, run.end);
  }
  if (at >= end) return {};
  return "records from offset " + std::to_string(at.value) + " are missing (log end " +
         std::to_string(end.value) + ")";
}

}  // namespace broker::storage
