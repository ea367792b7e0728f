#include "broker/partition/seal.h"

#include "broker/base/crc32c.h"

namespace broker::partition {

// Control record: key = int16 version, int16 type
// (https://kafka.apache.org/documentation/#controlbatch).
std::string make_seal(std::string_view producer_table, int64_t timestamp_ms) {
  std::string body;
  ByteWriter record(body);
  record.i8(0);        // attributes
  record.varint64(0);  // timestamp delta
  record.varint32(0);  // offset delta
  record.varint32(4);
  record.i16(0);
  record.i16(kSealType);
  record.varint32(static_cast<int32_t>(producer_table.size()));
  record.bytes(producer_table);
  record.varint32(0);  // headers
  std::string length;
  ByteWriter(length).varint32(static_cast<int32_t>(body.size()));

  std::string batch;
  ByteWriter out(batch);
  out.i64(0);
  out.i32(static_cast<int32_t>(kBatchHeaderSize - kBatchLengthPrefix + length.size() +
                               body.size()));
  out.i32(0);
  out.i8(2);
  out.u32(0);
  out.i16(32);  // control
  out.i32(0);
  out.i64(timestamp_ms);
  out.i64(timestamp_ms);
  out.i64(-1);
  out.i16(-1);
  out.i32(-1);
  out.i32(1);
  out.bytes(length);
  out.bytes(body);
  store_be(batch.data() + 17, crc32c(std::string_view(batch).substr(21)));
  return batch;
}

Result<std::string> parse_seal(const Batch& batch) {
  Status none(Code::kNotFound, "not a seal");
  if (!batch.header.control()) return none;
  ByteReader in(batch.bytes.view().substr(kBatchHeaderSize));
  in.varint32();
  in.i8();
  in.varint64();
  in.varint32();
  if (in.varint32() != 4) return none;
  in.i16();
  if (in.i16() != kSealType) return none;
  int32_t size = in.varint32();
  if (size < 0) return Status(Code::kCorruption, "seal");
  std::string table(in.bytes(static_cast<size_t>(size)));
  if (!in.ok()) return Status(Code::kCorruption, "seal");
  return table;
}

}  // namespace broker::partition
