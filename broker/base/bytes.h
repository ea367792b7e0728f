#pragma once
// Buffer: shared, immutable bytes without copies. ByteReader/ByteWriter: bounded big-endian coding
// with Kafka's varints, used by the file formats, the broker links and the Kafka codec.
// A reader never reads past its end: the first short read makes it fail, and it stays failed.
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>

#include "broker/base/uuid.h"

namespace broker {

// A view of bytes and a share in whatever owns them. Cheap to copy and to slice.
class Buffer {
 public:
  Buffer() = default;
  Buffer(std::shared_ptr<const void> owner, std::string_view view)
      : owner_(std::move(owner)), view_(view) {}
  // Takes the string over.
  static Buffer from_string(std::string bytes);
  static Buffer copy_of(std::string_view bytes) { return from_string(std::string(bytes)); }

  std::string_view view() const { return view_; }
  const char* data() const { return view_.data(); }
  size_t size() const { return view_.size(); }
  bool empty() const { return view_.empty(); }
  Buffer slice(size_t from, size_t size) const { return Buffer(owner_, view_.substr(from, size)); }

 private:
  std::shared_ptr<const void> owner_;
  std::string_view view_;
};

template <class T>
T load_be(const char* p) {
  std::make_unsigned_t<T> v;
  std::memcpy(&v, p, sizeof v);
  if constexpr (sizeof v == 2) v = __builtin_bswap16(v);
  if constexpr (sizeof v == 4) v = __builtin_bswap32(v);
  if constexpr (sizeof v == 8) v = __builtin_bswap64(v);
  return static_cast<T>(v);
}
template <class T>
void store_be(char* p, T value) {
  auto v = static_cast<std::make_unsigned_t<T>>(value);
  if constexpr (sizeof v == 2) v = __builtin_bswap16(v);
  if constexpr (sizeof v == 4) v = __builtin_bswap32(v);
  if constexpr (sizeof v == 8) v = __builtin_bswap64(v);
  std::memcpy(p, &v, sizeof v);
}

class ByteReader {
 public:
  explicit ByteReader(std::string_view bytes) : at_(bytes.data()), end_(at_ + bytes.size()) {}
  bool ok() const { return ok_; }
  void fail() { ok_ = false, at_ = end_; }
  size_t remaining() const { return static_cast<size_t>(end_ - at_); }
  std::string_view rest() const { return {at_, remaining()}; }
  const char* position() const { return at_; }

  int8_t i8() { return fixed<int8_t>(); }
  int16_t i16() { return fixed<int16_t>(); }
  int32_t i32() { return fixed<int32_t>(); }
  int64_t i64() { return fixed<int64_t>(); }
  uint8_t u8() { return fixed<uint8_t>(); }
  uint16_t u16() { return fixed<uint16_t>(); }
  uint32_t u32() { return fixed<uint32_t>(); }
  uint64_t u64() { return fixed<uint64_t>(); }
  uint32_t uvarint32();       // unsigned LEB128, at most 5 bytes
  uint64_t uvarint64();       // at most 10 bytes
  int32_t varint32() {        // zig-zag
    uint32_t v = uvarint32();
    return static_cast<int32_t>(v >> 1) ^ -static_cast<int32_t>(v & 1);
  }
  int64_t varint64() {
    uint64_t v = uvarint64();
    return static_cast<int64_t>(v >> 1) ^ -static_cast<int64_t>(v & 1);
  }
  // `size` bytes, a view into the input; empty and failed when there are fewer.
  std::string_view bytes(size_t size);
  Uuid uuid();

 private:
  template <class T>
  T fixed() {
    if (remaining() < sizeof(T)) {
      fail();
      return T{};
    }
    T v = load_be<T>(at_);
    at_ += sizeof(T);
    return v;
  }
  const char* at_;
  const char* end_;
  bool ok_ = true;
};

class ByteWriter {
 public:
  explicit ByteWriter(std::string& out) : out_(out) {}
  void i8(int8_t v) { fixed(v); }
  void i16(int16_t v) { fixed(v); }
  void i32(int32_t v) { fixed(v); }
  void i64(int64_t v) { fixed(v); }
  void u8(uint8_t v) { fixed(v); }
  void u16(uint16_t v) { fixed(v); }
  void u32(uint32_t v) { fixed(v); }
  void u64(uint64_t v) { fixed(v); }
  void uvarint32(uint32_t v) { uvarint64(v); }
  void uvarint64(uint64_t v);
  void varint32(int32_t v) {
    uvarint32((static_cast<uint32_t>(v) << 1) ^ static_cast<uint32_t>(v >> 31));
  }
  void varint64(int64_t v) {
    uvarint64((static_cast<uint64_t>(v) << 1) ^ static_cast<uint64_t>(v >> 63));
  }
  void bytes(std::string_view bytes) { out_.append(bytes); }
  void uuid(const Uuid& id) { out_.append(reinterpret_cast<const char*>(id.bytes.data()), 16); }
  size_t size() const { return out_.size(); }
  // Overwrites a 32-bit field written before, e.g. a length known only at the end.
  void patch_i32(size_t at, int32_t v) { store_be(out_.data() + at, v); }

 private:
  template <class T>
  void fixed(T v) {
    char raw[sizeof(T)];
    store_be(raw, v);
    out_.append(raw, sizeof raw);
  }
  std::string& out_;
};

}  // namespace broker
