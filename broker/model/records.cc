#include "broker/model/records.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "broker/base/check.h"
#include "broker/base/crc32c.h"
#include "broker/model/compression.h"

namespace broker {
namespace {

constexpr size_t kAttributesAt = 21, kCrcAt = 17;
constexpr size_t kRecordSizeMin = 7;  // length, attributes, two deltas, key, value, headers
constexpr size_t kHeaderSizeMin = 2;
constexpr size_t kSealBytesMax = 64 << 20;
constexpr int16_t kControlBit = 32;

void put_nullable(ByteWriter& out, const std::optional<std::string_view>& v) {
  out.varint32(v ? static_cast<int32_t>(v->size()) : -1);
  if (v) out.bytes(*v);
}

// Bytes of a number as a varint.
size_t varint_size(int64_t value) {
  const uint64_t bits =
      (static_cast<uint64_t>(value) << 1) ^ static_cast<uint64_t>(value >> 63);
  return (static_cast<size_t>(std::bit_width(bits | 1)) + 6) / 7;
}

size_t nullable_size(const std::optional<std::string_view>& v) {
  return v ? varint_size(static_cast<int64_t>(v->size())) + v->size() : 1;
}

// A length and its bytes; -1 is null. False when they are not there.
bool get_nullable(ByteReader& in, std::optional<std::string_view>& out) {
  int32_t size = in.varint32();
  if (!in.ok() || size < -1) return false;
  if (size == -1) {
    out.reset();
    return true;
  }
  out = in.bytes(static_cast<size_t>(size));
  return in.ok();
}

}  // namespace

void RecordBatchBuilder::add(int64_t timestamp_ms, std::optional<std::string_view> key,
                             std::optional<std::string_view> value,
                             std::span<const RecordHeader> headers) {
  if (record_count_ == 0) base_timestamp_ms_ = max_timestamp_ms_ = timestamp_ms;
  max_timestamp_ms_ = std::max(max_timestamp_ms_, timestamp_ms);
  const int64_t delta_ms = timestamp_ms - base_timestamp_ms_;
  const auto header_count = static_cast<int32_t>(headers.size());
  size_t size = 1 + varint_size(delta_ms) + varint_size(record_count_) + nullable_size(key) +
                nullable_size(value) + varint_size(header_count);
  for (const RecordHeader& header : headers) {
    size += nullable_size(header.key) + nullable_size(header.value);
  }
  ByteWriter out(batch_);
  out.varint32(static_cast<int32_t>(size));
  const size_t begin = batch_.size();
  out.i8(0);
  out.varint64(delta_ms);
  out.varint32(record_count_);
  put_nullable(out, key);
  put_nullable(out, value);
  out.varint32(header_count);
  for (const RecordHeader& header : headers) {
    put_nullable(out, header.key);
    put_nullable(out, header.value);
  }
  CHECK(batch_.size() - begin == size);
  ++record_count_;
}

void RecordBatchBuilder::write_header(std::string& batch) const {
  std::string header;
  header.reserve(kBatchHeaderSize);
  ByteWriter out(header);
  out.i64(0);
  out.i32(static_cast<int32_t>(batch.size() - kBatchLengthPrefix));
  out.i32(kNoTerm.value);
  out.i8(2);
  out.u32(0);
  out.i16(static_cast<int16_t>(static_cast<int16_t>(options_.compression) |
                               (options_.control ? kControlBit : 0)));
  out.i32(record_count_ - 1);
  out.i64(base_timestamp_ms_);
  out.i64(max_timestamp_ms_);
  out.i64(options_.producer_id);
  out.i16(options_.producer_epoch);
  out.i32(options_.base_sequence);
  out.i32(record_count_);
  batch.replace(0, kBatchHeaderSize, header);
  store_be(batch.data() + kCrcAt, crc32c(std::string_view(batch).substr(kAttributesAt)));
}

Result<std::string> RecordBatchBuilder::build() {
  CHECK(record_count_ > 0);
  if (options_.compression != Compression::kNone) {
    ASSIGN_OR_RETURN(const std::string packed,
                     compress(options_.compression, std::string_view(batch_).substr(kBatchHeaderSize)));
    batch_.replace(kBatchHeaderSize, std::string::npos, packed);
  }
  write_header(batch_);
  record_count_ = 0;
  return std::exchange(batch_, std::string(kBatchHeaderSize, '\0'));
}

Result<RecordIterator> RecordIterator::open(std::string_view batch, size_t decompressed_bytes_max) {
  ASSIGN_OR_RETURN(BatchHeader header, parse_batch_header(batch));
  if (static_cast<size_t>(header.size) > batch.size()) {
    return Status(Code::kCorruption, "record batch of " + std::to_string(header.size) +
                                         " bytes is cut at " + std::to_string(batch.size()));
  }
  std::string_view records =
      batch.substr(kBatchHeaderSize, static_cast<size_t>(header.size) - kBatchHeaderSize);
  if (header.compression() == Compression::kNone) {
    return RecordIterator(header, Buffer(nullptr, records));
  }
  ASSIGN_OR_RETURN(std::string plain,
                   decompress(header.compression(), records, decompressed_bytes_max));
  return RecordIterator(header, Buffer::from_string(std::move(plain)));
}

Result<std::string> recompress(std::string_view batch, Compression codec,
                               size_t decompressed_bytes_max) {
  ASSIGN_OR_RETURN(auto records, RecordIterator::open(batch, decompressed_bytes_max));
  BatchHeader header = records.header();
  std::string_view plain = records.remaining_bytes();
  std::string packed;
  if (codec != Compression::kNone) {
    ASSIGN_OR_RETURN(packed, compress(codec, plain));
    plain = packed;
  }
  std::string out(batch.substr(0, kBatchHeaderSize));
  out += plain;
  constexpr int16_t kCodecBits = 7;
  int16_t attributes =
      static_cast<int16_t>((header.attributes & ~kCodecBits) | static_cast<int16_t>(codec));
  store_be(out.data() + sizeof(int64_t), static_cast<int32_t>(out.size() - kBatchLengthPrefix));
  store_be(out.data() + kAttributesAt, attributes);
  store_be(out.data() + kCrcAt, crc32c(std::string_view(out).substr(kAttributesAt)));
  return out;
}

bool RecordIterator::fail(std::string_view why) {
  status_ = Status(Code::kCorruption,
                   "record " + std::to_string(records_read_) + " of the batch at offset " +
                       std::to_string(header_.base_offset.value) + ": " + std::string(why));
  return false;
}

bool RecordIterator::read_headers(ByteReader& in, std::vector<RecordHeader>& headers) {
  headers.clear();
  int32_t count = in.varint32();
  if (!in.ok() || count < 0 || static_cast<size_t>(count) > in.remaining() / kHeaderSizeMin) {
    return false;
  }
  headers.resize(static_cast<size_t>(count));
  for (RecordHeader& header : headers) {
    std::optional<std::string_view> key;
    if (!get_nullable(in, key) || !key || !get_nullable(in, header.value)) return false;
    header.key = *key;
  }
  return true;
}

bool RecordIterator::next(Record& record) {
  if (!status_.ok()) return false;
  if (records_read_ == header_.record_count) {
    return in_.remaining() == 0 ? false : fail("bytes follow the last record");
  }
  int32_t size = in_.varint32();
  if (!in_.ok() || size < static_cast<int32_t>(kRecordSizeMin) - 1) return fail("bad length");
  ByteReader in(in_.bytes(static_cast<size_t>(size)));
  if (!in_.ok()) return fail("it ends beyond the batch");
  in.i8();  // attributes: none are defined
  int64_t timestamp_delta = in.varint64();
  int32_t offset_delta = in.varint32();
  if (!in.ok() || offset_delta < 0 || offset_delta > header_.last_offset_delta) {
    return fail("offset outside of the batch");
  }
  record.offset = header_.base_offset + offset_delta;
  // Wraps instead of overflowing: the sum of two hostile numbers is still just a timestamp.
  record.timestamp_ms =
      header_.log_append_time()
          ? header_.max_timestamp_ms
          : static_cast<int64_t>(static_cast<uint64_t>(header_.base_timestamp_ms) +
                                 static_cast<uint64_t>(timestamp_delta));
  if (!get_nullable(in, record.key)) return fail("bad key length");
  if (!get_nullable(in, record.value)) return fail("bad value length");
  if (!read_headers(in, record.headers)) return fail("bad headers");
  if (in.remaining() != 0) return fail("bytes follow its headers");
  ++records_read_;
  return true;
}

int16_t control_record_type(std::optional<std::string_view> key) {
  if (!key || key->size() < 4) return -1;
  return load_be<int16_t>(key->data() + 2);
}

std::string build_seal_batch(std::string_view producer_table, int64_t timestamp_ms) {
  RecordBatchBuilder::Options options;
  options.control = true;
  RecordBatchBuilder builder(options);
  char key[4];
  store_be<int16_t>(key, 0);
  store_be<int16_t>(key + 2, kSealMarker);
  builder.add(timestamp_ms, std::string_view(key, sizeof key), producer_table);
  return std::move(builder.build()).value();  // fails only in compression
}

std::optional<std::string> seal_content(std::string_view batch) {
  auto records = RecordIterator::open(batch, kSealBytesMax);
  Record record;
  if (!records.ok() || !records->header().control() || !records->next(record) ||
      control_record_type(record.key) != kSealMarker || !record.value) {
    return std::nullopt;
  }
  return std::string(*record.value);
}

namespace {

Status check_claims(const BatchHeader& header) {
  if (header.control()) {
    return Status(Code::kInvalidArgument, "a client may not send control batches");
  }
  if (header.transactional()) {
    return Status(Code::kUnsupported, "transactions are not offered yet");
  }
  if (header.log_append_time()) {
    return Status(Code::kInvalidArgument, "only the broker may set log append time");
  }
  if (header.record_count < 1 || header.record_count - 1 != header.last_offset_delta) {
    return Status(Code::kInvalidArgument, "a batch of " + std::to_string(header.record_count) +
                                              " records with last offset delta " +
                                              std::to_string(header.last_offset_delta));
  }
  if (header.idempotent() && (header.producer_epoch < 0 || header.base_sequence < 0)) {
    return Status(Code::kInvalidArgument, "a producer id without epoch or sequence");
  }
  return {};
}

Status check_framing(std::string_view bytes) {
  ASSIGN_OR_RETURN(auto records, RecordIterator::open(bytes, 0));
  Record record;
  Offset expected = records.header().base_offset;
  while (records.next(record)) {
    if (record.offset != expected) {
      return Status(Code::kInvalidArgument, "the offsets of a batch's records must be consecutive");
    }
    expected += 1;
  }
  return records.status();
}

}  // namespace

Result<BatchHeader> validate_produced_batch(std::string_view bytes, const ProduceLimits& limits) {
  if (bytes.size() > limits.batch_bytes_max) {
    return Status(Code::kTooLarge, "a record batch of " + std::to_string(bytes.size()) +
                                       " bytes; the limit is " +
                                       std::to_string(limits.batch_bytes_max));
  }
  ASSIGN_OR_RETURN(BatchHeader header, parse_batch_header(bytes));
  if (static_cast<size_t>(header.size) != bytes.size()) {
    return Status(Code::kInvalidArgument,
                  "a partition's records must be exactly one batch: it has " +
                      std::to_string(header.size) + " of " + std::to_string(bytes.size()) +
                      " bytes");
  }
  if (!batch_crc_matches(bytes)) {
    return Status(Code::kCorruption, "the record batch does not match its CRC");
  }
  RETURN_IF_ERROR(check_claims(header));
  if (header.compression() == Compression::kNone) RETURN_IF_ERROR(check_framing(bytes));
  return header;
}

}  // namespace broker
