#include "broker/model/record_batch.h"

#include "broker/base/crc32c.h"

namespace broker {
namespace {
constexpr size_t kTermAt = 12, kMagicAt = 16, kCrcAt = 17, kAttributesAt = 21, kMaxTimestampAt = 35;
constexpr int16_t kLogAppendTime = 8;
}

size_t peek_batch_size(std::string_view bytes) {
  if (bytes.size() < kBatchLengthPrefix) return 0;
  int32_t length = load_be<int32_t>(bytes.data() + 8);
  return length < 0 ? 0 : kBatchLengthPrefix + static_cast<size_t>(length);
}

Result<BatchHeader> parse_batch_header(std::string_view bytes) {
  if (bytes.size() < kBatchHeaderSize) {
    return Status(Code::kCorruption, "record batch of " + std::to_string(bytes.size()) +
                                         " bytes is shorter than its header (61)");
  }
  if (bytes[kMagicAt] != 2) {
    return Status(Code::kUnsupported, "record batch magic " + std::to_string(bytes[kMagicAt]) +
                                          ": only version 2 is stored");
  }
  ByteReader in(bytes);
  BatchHeader h;
  h.base_offset = Offset{in.i64()};
  int32_t length = in.i32();
  h.term = Term{in.i32()};
  in.i8();
  h.crc = in.u32();
  h.attributes = in.i16();
  h.last_offset_delta = in.i32();
  h.base_timestamp_ms = in.i64();
  h.max_timestamp_ms = in.i64();
  h.producer_id = in.i64();
  h.producer_epoch = in.i16();
  h.base_sequence = in.i32();
  h.record_count = in.i32();
  if (length < static_cast<int32_t>(kBatchHeaderSize - kBatchLengthPrefix) ||
      length > INT32_MAX - static_cast<int32_t>(kBatchLengthPrefix)) {
    return Status(Code::kCorruption, "record batch length " + std::to_string(length));
  }
  h.size = length + static_cast<int32_t>(kBatchLengthPrefix);
  if (h.record_count < 0 || h.last_offset_delta < 0 || h.record_count - 1 > h.last_offset_delta) {
    return Status(Code::kCorruption,
                  "record batch counts " + std::to_string(h.record_count) +
                      " records over last offset delta " + std::to_string(h.last_offset_delta));
  }
  if (h.base_offset.value > INT64_MAX - 1 - h.last_offset_delta) {
    return Status(Code::kCorruption,
                  "record batch at offset " + std::to_string(h.base_offset.value) +
                      " ends beyond the last offset");
  }
  if ((h.attributes & 7) > 4) {
    return Status(Code::kCorruption,
                  "record batch compression " + std::to_string(h.attributes & 7) + " is unknown");
  }
  return h;
}

bool batch_crc_matches(std::string_view batch) {
  if (batch.size() < kBatchHeaderSize) return false;
  return crc32c(batch.substr(kAttributesAt)) == load_be<uint32_t>(batch.data() + kCrcAt);
}

void patch_batch(char* batch, Offset base_offset, Term term) {
  store_be(batch, base_offset.value);
  store_be(batch + kTermAt, term.value);
}

void stamp_append_time(char* batch, BatchHeader& header, int64_t time_ms) {
  header.attributes = static_cast<int16_t>(header.attributes | kLogAppendTime);
  header.max_timestamp_ms = time_ms;
  store_be(batch + kAttributesAt, header.attributes);
  store_be(batch + kMaxTimestampAt, time_ms);
  std::string_view checked(batch + kAttributesAt, static_cast<size_t>(header.size) - kAttributesAt);
  header.crc = crc32c(checked);
  store_be(batch + kCrcAt, header.crc);
}

}  // namespace broker
