#pragma once
// What leader and follower of one shard say to each other. Encoded by wire.h; carried by
// broker/link, which may lose whole connections; the core also survives repeats and reordering.
#include <variant>
#include <vector>

#include "broker/model/record_batch.h"

namespace broker::replication {

// A term and the offset of the first entry it wrote; a log's table of them is ascending in both.
struct TermStart {
  Term term;
  Offset start;
  bool operator==(const TermStart&) const = default;
};

// Leader -> follower: join my term and tell me your log.
struct Attach {
  Term term;
  // Names this conversation; replies to older ones are dropped. The leader's process in the upper 32
  // bits, and a count.
  uint64_t attach_id = 0;
};

struct AttachReply {
  Term term;  // the follower's; above the asked one: refused
  uint64_t attach_id = 0;
  bool accepted = false;
  Offset log_start, log_end;
  std::vector<TermStart> terms;
};

// Leader -> follower: cut to `base` (first append of an attachment), then these batches. Empty:
// only news of the high watermark.
struct Append {
  Term term;
  uint64_t attach_id = 0;
  bool first = false;
  bool reset = false;  // with first: drop everything and start empty at `base`
  Offset base;
  Offset start_end;       // the leader's log end when the term began
  Offset high_watermark;
  Offset log_start;       // the leader's: older records are deleted
  std::vector<Batch> batches;
};

struct AppendReply {
  Term term;
  uint64_t attach_id = 0;
  Offset durable_end;  // of a memory stream: what it has in memory
  bool adopted = false;
  bool reattach = false;  // a gap, or an unknown attachment: start over
  Offset log_start;       // the follower's, durably
  bool full = false;      // with reattach: its disk has no space
};

using Message = std::variant<Attach, AttachReply, Append, AppendReply>;

}  // namespace broker::replication
