#pragma once
// Reading and writing of Kafka's primitive types, for the generated messages. The reader bounds
// every count by the bytes that are left and by a memory budget before anything is allocated, and
// stays failed after the first error. The writer keeps records out of its buffer: they are spliced
// into the frame without a copy. No thread owns these; one message at a time.
#include <bit>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "broker/base/bytes.h"
#include "broker/base/uuid.h"

namespace broker::protocol::kafka {

// Record batches as they are on the wire and in the log, in one or several pieces.
struct Records {
  std::vector<Buffer> pieces;
  size_t size() const;
  std::string flatten() const;
  bool operator==(const Records& other) const { return flatten() == other.flatten(); }
};

// A tagged field that this version of the schema does not name, kept as it came.
struct UnknownTag {
  uint32_t tag = 0;
  std::string data;
  bool operator==(const UnknownTag&) const = default;
};
using UnknownTags = std::vector<UnknownTag>;

class Reader {
 public:
  // Decoded values may take kBudgetFactor times the frame plus kBudgetFloor bytes of memory.
  static constexpr size_t kBudgetFactor = 4, kBudgetFloor = 16 << 20;

  // Reads `bytes`, a part of `frame` (which record fields share).
  Reader(const Buffer& frame, std::string_view bytes);
  explicit Reader(const Buffer& frame) : Reader(frame, frame.view()) {}
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;

  bool ok() const { return in_.ok(); }
  void fail() { in_.fail(); }
  size_t remaining() const { return in_.remaining(); }

  bool boolean() { return in_.i8() != 0; }
  int8_t i8() { return in_.i8(); }
  int16_t i16() { return in_.i16(); }
  int32_t i32() { return in_.i32(); }
  int64_t i64() { return in_.i64(); }
  uint16_t u16() { return in_.u16(); }
  double f64() { return std::bit_cast<double>(in_.u64()); }
  Uuid uuid() { return in_.uuid(); }
  // `flexible` chooses the compact form (length + 1 as a varint). A null fails where it is not
  // allowed.
  void string(bool flexible, std::string& out);
  void string(bool flexible, bool nullable, std::optional<std::string>& out);
  // Bytes that are copied out of the frame; not bounded like strings.
  void bytes(bool flexible, std::string& out);
  void bytes(bool flexible, bool nullable, std::optional<std::string>& out);
  void records(bool flexible, bool nullable, std::optional<Records>& out);
  // The number of elements that follow; -1 is null. Fails, and answers 0, when `count` elements of
  // `wire_size_min` bytes cannot be there or `memory_size` each would burst the budget.
  int64_t array(bool flexible, bool nullable, size_t wire_size_min, size_t memory_size);
  // A nullable struct's marker.
  bool present();

  uint32_t tag_count();
  // Reads the id and size of the next tagged field; ids must ascend from `previous`, -1 at first.
  uint32_t tag_id(int64_t previous);
  std::string_view tag_data();
  // A reader of a tagged field's bytes, sharing frame and budget; `end_tag` joins its outcome.
  Reader sub(std::string_view bytes) { return Reader(*this, bytes); }
  void end_tag(const Reader& field) {
    if (!field.ok() || field.remaining() != 0) fail();
  }
  void keep_unknown(UnknownTags& tags, uint32_t tag, std::string_view data);
  // The tagged fields of a struct that names none.
  void unknown_tags(UnknownTags& tags);

 private:
  Reader(Reader& parent, std::string_view bytes)
      : in_(bytes), frame_(parent.frame_), budget_(parent.budget_) {}
  bool charge(size_t bytes);
  int64_t length(bool flexible, bool is_short);

  ByteReader in_;
  const Buffer* frame_;
  size_t own_budget_ = 0;
  size_t* budget_;
};

class Writer {
 public:
  Writer() : out_(bytes_) {}
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  void boolean(bool v) { out_.i8(v ? 1 : 0); }
  void i8(int8_t v) { out_.i8(v); }
  void i16(int16_t v) { out_.i16(v); }
  void i32(int32_t v) { out_.i32(v); }
  void i64(int64_t v) { out_.i64(v); }
  void u16(uint16_t v) { out_.i16(static_cast<int16_t>(v)); }
  void f64(double v) { out_.i64(std::bit_cast<int64_t>(v)); }
  void uuid(const Uuid& v) { out_.uuid(v); }
  void uvarint(uint32_t v) { out_.uvarint32(v); }
  void raw(std::string_view v) { out_.bytes(v); }
  void string(bool flexible, std::string_view v);
  // A null in a version that has none is written as empty.
  void string(bool flexible, bool nullable, const std::optional<std::string>& v);
  void bytes(bool flexible, std::string_view v);
  void bytes(bool flexible, bool nullable, const std::optional<std::string>& v);
  void records(bool flexible, bool nullable, const std::optional<Records>& v);
  void array(bool flexible, size_t count);
  void null_array(bool flexible, bool nullable);
  void present(bool is_present) { out_.i8(is_present ? 1 : -1); }

  size_t size() const { return bytes_.size() + spliced_bytes_; }
  // The bytes written without splices; only for content that cannot hold records.
  const std::string& bytes() const { return bytes_; }
  // Everything in order, ready to be sent; the writer is empty afterwards.
  std::vector<Buffer> take();
  // The same as one string.
  std::string take_flat();
  void patch_i32(size_t at, int32_t v) { out_.patch_i32(at, v); }

 private:
  struct Splice {
    size_t at;  // in bytes_
    Buffer data;
  };
  std::string bytes_;
  ByteWriter out_;
  std::vector<Splice> splices_;
  size_t spliced_bytes_ = 0;
};

// Collects a struct's tagged fields and writes them in ascending order.
class TagWriter {
 public:
  explicit TagWriter(Writer& out) : out_(out) {}
  template <class Encode>
  void add(uint32_t tag, Encode encode) {
    Writer field;
    encode(field);
    fields_.push_back({tag, field.take_flat()});
  }
  void finish(const UnknownTags& unknown);

 private:
  Writer& out_;
  UnknownTags fields_;
};

}  // namespace broker::protocol::kafka
