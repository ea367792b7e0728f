#pragma once
// What a shard's log is, without its bytes: bounds, term table, snapshots, runs. Pure: the same
// edits are applied by StoreCore when an operation is queued and by Recovery when its frame is
// replayed, so that both arrive at the same state.
#include <string>
#include <vector>

#include "broker/base/ids.h"
#include "broker/model/record_batch.h"
#include "broker/storage/run.h"

namespace broker::storage {

// What a replica must never forget (design.md, rules 2 and 8).
struct ReplicaState {
  Term term = kNoTerm;
  Term adopted_term = kNoTerm;
  bool operator==(const ReplicaState&) const = default;
};

// The first offset written in a term: an entry of Kafka's "leader epoch" table.
struct TermStart {
  Term term;
  Offset start;
  bool operator==(const TermStart&) const = default;
};

// Opaque state (the producer table) as of an offset: it covers every record below `at`.
struct Snapshot {
  Offset at;
  std::string blob;
  bool operator==(const Snapshot&) const = default;
};

struct LogState {
  ReplicaState replica;
  Offset start{0}, end{0};
  std::vector<TermStart> terms;     // ascending
  std::vector<Snapshot> snapshots;  // ascending, at most two
  std::vector<Run> runs;            // ascending by offset and by order; no holes but in recovery

  Term last_term() const { return terms.empty() ? kNoTerm : terms.back().term; }
  uint64_t bytes() const;
  // The run that holds `offset`; null when none does.
  const Run* run_of(Offset offset) const;

  // A batch's term, before its entry is appended.
  void note_term(Term term, Offset base);
  // Appends a frame's batches, written to `file`, that end at `frame_end`. True: a run began.
  bool append(uint64_t file, const Entry& entry, Offset frame_end);
  // Each returns the runs that the log no longer needs.
  std::vector<Run> truncate(Offset new_end);
  std::vector<Run> set_start(Offset new_start);
  std::vector<Run> reset(Offset new_start);
  void save_snapshot(Offset at, std::string blob);
  // Recovery: adds a run found in an index or in a relocation, in any order of calls. Where runs
  // overlap, a later order means that the earlier was truncated there; within an order (a run and
  // its copy) the bytes are the same.
  void insert(Run run);
  void insert_piece(const Run& run, Offset first, Offset end);
  // Why the runs do not hold [start, end), or empty.
  std::string find_hole() const;
};

}  // namespace broker::storage
