#pragma once
// The part of CBOR (RFC 8949) that application/x-amz-cbor-1.1 uses: definite and indefinite
// lengths, tag 1 for timestamps (milliseconds, unlike the RFC's seconds: so do AWS's SDKs). The
// reader takes any bytes: it never reads past the end and nests to a bound. Internal to the codec.
#include <cstdint>
#include <string>
#include <string_view>

#include "broker/protocol/kinesis/token.h"

namespace broker::protocol::kinesis {

class CborReader {
 public:
  explicit CborReader(std::string_view bytes) : bytes_(bytes) {}
  bool ok() const { return ok_; }
  bool at_end() const { return at_ == bytes_.size(); }
  void fail() { ok_ = false, at_ = bytes_.size(); }

 private:
  friend class CborValue;
  // The first bytes of an item. A length of kIndefinite runs until a break.
  struct Head {
    uint8_t major = 7;
    uint8_t info = 31;
    uint64_t value = 0;
    bool indefinite = false;
  };
  static constexpr int kDepthMax = 32;
  Head head();
  bool take_break();
  std::string_view take(uint64_t size);
  bool text(const Head& head, std::string& out);

  std::string_view bytes_;
  size_t at_ = 0;
  bool ok_ = true;
};

// The next item of a reader. Whoever gets one reads it once, by the method that its token asks for,
// or skips it.
class CborValue {
 public:
  CborValue(CborReader& reader, int depth);
  Token token() const { return token_; }
  bool malformed() const { return !reader_->ok(); }
  bool boolean() const { return head_.info == 21; }
  Number number();
  bool string(std::string& out);
  bool blob(std::string& out, std::string& why);
  int64_t time_ms();
  void skip();
  // f(key, value) for each entry; f(value) for each element. False: malformed, or f was.
  template <class F>
  bool each_member(F&& f) {
    std::string key;
    for (uint64_t i = 0; more(i); ++i) {
      CborReader::Head head = reader_->head();
      if (head.major != 3 || !reader_->text(head, key)) return reader_->fail(), false;
      CborValue value(*reader_, depth_ + 1);
      if (!reader_->ok() || !f(std::string_view(key), value)) return false;
    }
    return reader_->ok();
  }
  template <class F>
  bool each_element(F&& f) {
    for (uint64_t i = 0; more(i); ++i) {
      CborValue value(*reader_, depth_ + 1);
      if (!reader_->ok() || !f(value)) return false;
    }
    return reader_->ok();
  }

 private:
  bool more(uint64_t done);

  CborReader* reader_;
  int depth_;
  CborReader::Head head_;
  Token token_;
};

class CborWriter {
 public:
  void begin_map(size_t members) { head(5, members); }
  void begin_list(size_t elements) { head(4, elements); }
  void end_map() {}
  void end_list() {}
  void key(std::string_view name) { string(name); }
  void string(std::string_view text) { head(3, text.size()), out_ += text; }
  void blob(std::string_view bytes) { head(2, bytes.size()), out_ += bytes; }
  void integer(int64_t value);
  void boolean(bool value) { out_ += static_cast<char>(value ? 0xf5 : 0xf4); }
  void time_ms(int64_t value) { head(6, 1), integer(value); }
  void reserve(size_t bytes) { out_.reserve(bytes); }
  std::string take() { return std::move(out_); }

 private:
  void head(uint8_t major, uint64_t value);
  std::string out_;
};

}  // namespace broker::protocol::kinesis
