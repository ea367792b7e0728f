#pragma once
// A replayed frame's effect on a LogState; shared by recovery and by the rebuilding of an index.
#include "broker/storage/format/frame.h"
#include "broker/storage/log_state.h"

namespace broker::storage {

// Applies an operation on a log. `position` is the body's in `file`. False when the body is not one
// of its type. kAppend is applied wherever it is; the caller compares its base with the log's end. `bounded`: the log's
// bounds are known, and a copy outside of them was already of no use when it was queued.
bool replay_frame(LogState& log, uint64_t file, FrameType type, std::string_view body,
                  uint64_t position, bool bounded);

// First offset of a frame of batches; nothing when there is no batch.
std::optional<Offset> first_offset(std::string_view batches);

}  // namespace broker::storage
