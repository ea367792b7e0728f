#pragma once
// Bytes of a log file: its header and its frames (FORMAT.md). Encoding is used by the WAL writer on
// its I/O thread, scanning by recovery. No state, but for the scanner's buffer.
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "broker/base/ids.h"
#include "broker/base/status.h"
#include "broker/base/uuid.h"
#include "broker/env/env.h"
#include "broker/model/shard.h"

namespace broker::storage {

inline constexpr uint16_t kLogFormatVersion = 1;
inline constexpr size_t kFileHeaderSize = 64;
inline constexpr size_t kFrameHeaderSize = 48;
inline constexpr size_t kFrameAlignment = 8;

// Numbers are part of the format.
enum class FrameType : uint8_t {
  kAppend = 1,    // batches
  kState = 2,     // term, adopted term
  kTruncate = 3,  // new end
  kLogStart = 4,  // new start
  kReset = 5,     // new start of an empty log
  kCreate = 6,    // stream, index, term, adopted term
  kRemove = 7,    // nothing
  kSnapshot = 8,  // offset, blob
  kRelocate = 9,  // order, batches copied from an old log file
};

struct FileHeader {
  uint64_t file = 0;            // number, never used twice: the incarnation of the bytes
  uint64_t first_sequence = 0;  // of its first frame
  uint32_t prev_crc = 0;        // CRC of the header of the last frame before this file
  Uuid directory;
};

struct FrameHeader {
  uint32_t crc = 0;       // of the other 44 bytes of the header
  uint32_t body_crc = 0;  // of the body without padding
  uint32_t prev_crc = 0;  // `crc` of the frame before
  uint32_t length = 0;    // of the body without padding
  uint64_t sequence = 0;
  uint64_t synced = 0;  // all frames up to here were durable before this one was written
  uint64_t log_id = 0;
  uint32_t file = 0;  // low half of the file's number
  FrameType type = FrameType::kAppend;
};

// Bytes that a frame takes in the file.
constexpr uint64_t frame_size(uint64_t body_length) {
  return (kFrameHeaderSize + body_length + kFrameAlignment - 1) / kFrameAlignment * kFrameAlignment;
}

std::string encode_file_header(const FileHeader& header);
// kCorruption when it is not a header; kUnsupported when the format is newer.
Result<FileHeader> decode_file_header(std::string_view bytes);
// Appends the 48 bytes to `out` and returns their CRC (header.crc is not read).
uint32_t encode_frame_header(const FrameHeader& header, std::string& out);
// Nothing when the CRC does not match.
std::optional<FrameHeader> decode_frame_header(std::string_view bytes);

// Bodies of frames that do not carry batches. Decoding returns false on a wrong size.
std::string encode_offset_body(Offset offset);
bool decode_offset_body(std::string_view body, Offset& offset);
std::string encode_state_body(Term term, Term adopted);
bool decode_state_body(std::string_view body, Term& term, Term& adopted);
std::string encode_create_body(const ShardId& id, Term term, Term adopted);
bool decode_create_body(std::string_view body, ShardId& id, Term& term, Term& adopted);

// Reads the frames of one log file, in order, through a window.
class FrameScanner {
 public:
  FrameScanner(env::File& file, uint64_t file_number, uint64_t file_size)
      : file_(file), number_(file_number), size_(file_size) {}

  enum class Found { kFrame, kBadHeader, kBadBody };
  // The frame at `position`. kBadHeader: no frame of this file is here. kBadBody: the header is
  // good, the body is not. `body` is valid until the next call.
  Result<Found> read(uint64_t position, FrameHeader& header, std::string_view& body);
  // Whether, from `position` on, some frame of this file proves that `sequence` was durable.
  Result<bool> proves_durable(uint64_t position, uint64_t sequence);
  Result<FileHeader> file_header();

 private:
  Result<std::string_view> bytes(uint64_t position, uint64_t size);
  env::File& file_;
  uint64_t number_, size_;
  std::string window_;
  uint64_t window_at_ = 0;
};

}  // namespace broker::storage
