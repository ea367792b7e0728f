#include "broker/storage/replay_frame.h"

#include <algorithm>

#include "broker/base/bytes.h"

namespace broker::storage {
namespace {

// Reads the batch headers of a frame into `entry` and `end`; the frame's CRC vouches for the rest.
bool read_batches(std::string_view body, Entry& entry, Offset& end, LogState* terms) {
  entry.max_timestamp_ms = INT64_MIN;
  entry.size = static_cast<uint32_t>(body.size());
  for (size_t at = 0; at < body.size();) {
    auto header = parse_batch_header(body.substr(at));
    if (!header.ok() || static_cast<size_t>(header->size) > body.size() - at) return false;
    if (at == 0) entry.base = header->base_offset;
    if (terms) terms->note_term(header->term, header->base_offset);
    entry.max_timestamp_ms = std::max(entry.max_timestamp_ms, header->max_timestamp_ms);
    end = header->end_offset();
    at += static_cast<size_t>(header->size);
  }
  return !body.empty();
}

bool replay_append(LogState& log, uint64_t file, std::string_view body, uint64_t position) {
  Entry entry;
  Offset end;
  entry.position = static_cast<uint32_t>(position);
  if (!read_batches(body, entry, end, &log)) return false;
  log.append(file, entry, end);
  return true;
}

bool replay_relocate(LogState& log, uint64_t file, std::string_view body, uint64_t position,
                     bool bounded) {
  if (body.size() < 8) return false;
  Run copy;
  copy.file = file;
  copy.order = load_be<uint64_t>(body.data());
  Entry entry;
  entry.position = static_cast<uint32_t>(position) + 8;
  if (!read_batches(body.substr(8), entry, copy.end, nullptr)) return false;
  copy.first = entry.base;
  copy.bytes = entry.size;
  copy.max_timestamp_ms = entry.max_timestamp_ms;
  copy.entries = std::make_shared<Entries>(Entries{entry});
  if (bounded) copy.end = std::min(copy.end, log.end);
  if (bounded && copy.end <= log.start) return true;
  if (copy.first < copy.end) log.insert(std::move(copy));
  return true;
}

}  // namespace

std::optional<Offset> first_offset(std::string_view batches) {
  if (batches.size() < kBatchHeaderSize) return std::nullopt;
  return Offset{load_be<int64_t>(batches.data())};
}

bool replay_frame(LogState& log, uint64_t file, FrameType type, std::string_view body,
                  uint64_t position, bool bounded) {
  Offset offset;
  switch (type) {
    case FrameType::kAppend:
      return replay_append(log, file, body, position);
    case FrameType::kRelocate:
      return replay_relocate(log, file, body, position, bounded);
    case FrameType::kState:
      return decode_state_body(body, log.replica.term, log.replica.adopted_term);
    case FrameType::kTruncate:
      if (!decode_offset_body(body, offset)) return false;
      log.truncate(offset);
      return true;
    case FrameType::kLogStart:
      if (!decode_offset_body(body, offset)) return false;
      log.set_start(offset);
      return true;
    case FrameType::kReset:
      if (!decode_offset_body(body, offset)) return false;
      log.reset(offset);
      return true;
    case FrameType::kSnapshot:
      if (body.size() < 8 || !decode_offset_body(body.substr(0, 8), offset)) return false;
      log.save_snapshot(offset, std::string(body.substr(8)));
      return true;
    case FrameType::kCreate:
    case FrameType::kRemove:
      return true;
  }
  return false;
}

}  // namespace broker::storage
