#include "broker/base/bytes.h"

namespace broker {

Buffer Buffer::from_string(std::string bytes) {
  auto owner = std::make_shared<const std::string>(std::move(bytes));
  std::string_view view = *owner;
  return Buffer(std::move(owner), view);
}

uint32_t ByteReader::uvarint32() {
  uint64_t v = uvarint64();
  if (v > UINT32_MAX) {
    fail();
    return 0;
  }
  return static_cast<uint32_t>(v);
}

uint64_t ByteReader::uvarint64() {
  uint64_t value = 0;
  for (int shift = 0; shift < 64; shift += 7) {
    uint8_t byte = u8();
    if (!ok_) return 0;
    if (shift == 63 && byte > 1) break;  // would not fit
    value |= static_cast<uint64_t>(byte & 0x7f) << shift;
    if (!(byte & 0x80)) return value;
  }
  fail();
  return 0;
}

std::string_view ByteReader::bytes(size_t size) {
  if (remaining() < size) {
    fail();
    return {};
  }
  std::string_view view(at_, size);
  at_ += size;
  return view;
}

Uuid ByteReader::uuid() {
  Uuid id;
  std::string_view raw = bytes(16);
  if (raw.size() == 16) std::memcpy(id.bytes.data(), raw.data(), 16);
  return id;
}

void ByteWriter::uvarint64(uint64_t v) {
  while (v >= 0x80) {
    out_.push_back(static_cast<char>(v | 0x80));
    v >>= 7;
  }
  out_.push_back(static_cast<char>(v));
}

}  // namespace broker
