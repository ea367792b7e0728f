#include "broker/protocol/kinesis/cbor.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace broker::protocol::kinesis {
namespace {

double half(uint16_t bits) {
  int exponent = (bits >> 10) & 31;
  double mantissa = bits & 1023;
  double value = exponent == 0    ? std::ldexp(mantissa, -24)
                 : exponent == 31 ? (mantissa == 0 ? INFINITY : NAN)
                                  : std::ldexp(mantissa + 1024, exponent - 25);
  return bits & 0x8000 ? -value : value;
}

}  // namespace

CborReader::Head CborReader::head() {
  Head head;
  if (at_ >= bytes_.size()) return fail(), head;
  auto first = static_cast<uint8_t>(bytes_[at_++]);
  head.major = first >> 5;
  head.info = first & 31;
  if (head.info < 24) {
    head.value = head.info;
  } else if (head.info < 28) {
    size_t size = size_t{1} << (head.info - 24);
    std::string_view bytes = take(size);
    for (char c : bytes) head.value = head.value << 8 | static_cast<uint8_t>(c);
  } else if (head.info == 31 && head.major >= 2 && head.major <= 5) {
    head.indefinite = true;
  } else {
    fail();
  }
  return head;
}

bool CborReader::take_break() {
  if (at_ < bytes_.size() && static_cast<uint8_t>(bytes_[at_]) == 0xff) return ++at_, true;
  return false;
}

std::string_view CborReader::take(uint64_t size) {
  if (size > bytes_.size() - at_) return fail(), std::string_view();
  auto bytes = bytes_.substr(at_, size);
  at_ += size;
  return bytes;
}

// A text or byte string, whole or in pieces.
bool CborReader::text(const Head& first, std::string& out) {
  if (!first.indefinite) {
    out.assign(take(first.value));
    return ok_;
  }
  out.clear();
  while (ok_ && !take_break()) {
    Head piece = head();
    if (piece.major != first.major || piece.indefinite) return fail(), false;
    out += take(piece.value);
  }
  return ok_;
}

CborValue::CborValue(CborReader& reader, int depth) : reader_(&reader), depth_(depth) {
  head_ = reader.head();
  for (int tags = 0; head_.major == 6 && reader.ok(); ++tags) {  // only timestamps have one
    if (tags == 4) reader.fail();
    head_ = reader.head();
  }
  if (depth > CborReader::kDepthMax) reader.fail();
  token_ = Token::kMalformed;
  if (!reader.ok()) return;
  constexpr Token kTokens[] = {Token::kNumber, Token::kNumber, Token::kBytes,    Token::kString,
                               Token::kList,   Token::kMap,    Token::kMalformed, Token::kMalformed};
  token_ = kTokens[head_.major];
  if (head_.major == 7) {
    if (head_.info == 20 || head_.info == 21) token_ = Token::kBoolean;
    if (head_.info == 22 || head_.info == 23) token_ = Token::kNull;
    if (head_.info >= 25 && head_.info <= 27) token_ = Token::kNumber;
  }
  if (token_ == Token::kMalformed) reader.fail();
}

Number CborValue::number() {
  Number number;
  if (head_.major == 7) {
    number.is_integer = false;
    number.real = head_.info == 25   ? half(static_cast<uint16_t>(head_.value))
                  : head_.info == 26 ? std::bit_cast<float>(static_cast<uint32_t>(head_.value))
                                     : std::bit_cast<double>(head_.value);
    number.integer = saturate(number.real);
    return number;
  }
  auto positive = static_cast<int64_t>(std::min<uint64_t>(head_.value, INT64_MAX));
  number.integer = head_.major == 0 ? positive : -1 - positive;
  number.real = static_cast<double>(number.integer);
  return number;
}

bool CborValue::string(std::string& out) { return reader_->text(head_, out); }
bool CborValue::blob(std::string& out, std::string&) { return reader_->text(head_, out); }

// SDKs send whole milliseconds. A fraction can only be the RFC's seconds.
int64_t CborValue::time_ms() {
  Number value = number();
  return value.is_integer ? value.integer : saturate(std::round(value.real * 1000));
}

bool CborValue::more(uint64_t done) {
  if (!reader_->ok()) return false;
  return head_.indefinite ? !reader_->take_break() : done < head_.value;
}

void CborValue::skip() {
  if (head_.major == 2 || head_.major == 3) {
    if (!head_.indefinite) {
      reader_->take(head_.value);
    } else {
      std::string ignored;
      reader_->text(head_, ignored);
    }
  } else if (head_.major == 4) {
    each_element([](CborValue& value) { return value.skip(), true; });
  } else if (head_.major == 5) {
    each_member([](std::string_view, CborValue& value) { return value.skip(), true; });
  }
}

void CborWriter::integer(int64_t value) {
  if (value >= 0) return head(0, static_cast<uint64_t>(value));
  head(1, static_cast<uint64_t>(-1 - value));
}

void CborWriter::head(uint8_t major, uint64_t value) {
  auto first = static_cast<uint8_t>(major << 5);
  char bytes[9];
  size_t size = value < 24            ? 1
                : value <= UINT8_MAX  ? 2
                : value <= UINT16_MAX ? 3
                : value <= UINT32_MAX ? 5
                                      : 9;
  if (size == 1) {
    bytes[0] = static_cast<char>(first | value);
  } else {
    bytes[0] = static_cast<char>(first | (size == 2 ? 24 : size == 3 ? 25 : size == 5 ? 26 : 27));
    for (size_t i = 1; i < size; ++i) bytes[i] = static_cast<char>(value >> (8 * (size - 1 - i)));
  }
  out_.append(bytes, size);
}

}  // namespace broker::protocol::kinesis
