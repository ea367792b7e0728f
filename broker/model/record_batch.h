#pragma once
// A Kafka v2 record batch as bytes: header view, checks, and the two fields that the broker patches
// in place (base offset, leader epoch), which the batch's own CRC leaves out.
// Layout: https://kafka.apache.org/documentation/#recordbatch
#include <cstdint>
#include <string>
#include <string_view>

#include "broker/base/bytes.h"
#include "broker/base/ids.h"
#include "broker/base/status.h"

namespace broker {

inline constexpr size_t kBatchHeaderSize = 61;
inline constexpr size_t kBatchLengthPrefix = 12;  // base offset and length itself

enum class Compression : uint8_t { kNone = 0, kGzip = 1, kSnappy = 2, kLz4 = 3, kZstd = 4 };

struct BatchHeader {
  Offset base_offset;
  int32_t size = 0;  // of the whole batch in bytes, prefix included
  Term term;         // partition leader epoch
  uint32_t crc = 0;
  int16_t attributes = 0;
  int32_t last_offset_delta = 0;
  int64_t base_timestamp_ms = 0;
  int64_t max_timestamp_ms = 0;
  int64_t producer_id = -1;
  int16_t producer_epoch = -1;
  int32_t base_sequence = -1;
  int32_t record_count = 0;

  Compression compression() const { return static_cast<Compression>(attributes & 7); }
  bool log_append_time() const { return attributes & 8; }
  bool transactional() const { return attributes & 16; }
  bool control() const { return attributes & 32; }
  Offset last_offset() const { return base_offset + last_offset_delta; }
  Offset end_offset() const { return base_offset + last_offset_delta + 1; }
  bool idempotent() const { return producer_id >= 0; }
};

// Reads a header; fails when there are fewer than kBatchHeaderSize bytes, the magic is not 2, or
// lengths and counts contradict each other. Does not check the CRC.
Result<BatchHeader> parse_batch_header(std::string_view bytes);
// The size of the batch that starts here, from its first 12 bytes; 0 when there are fewer.
size_t peek_batch_size(std::string_view bytes);
// Whether the CRC-32C over attributes..end matches.
bool batch_crc_matches(std::string_view batch);
// Patches base offset and leader epoch in place (not covered by the CRC).
void patch_batch(char* batch, Offset base_offset, Term term);
// Gives every record of the batch the time of its append: the attribute, the maximum timestamp, and
// a new CRC. Adjusts `header` too.
void stamp_append_time(char* batch, BatchHeader& header, int64_t time_ms);

// A batch in memory: its bytes and its parsed header.
struct Batch {
  BatchHeader header;
  Buffer bytes;
};

}  // namespace broker
