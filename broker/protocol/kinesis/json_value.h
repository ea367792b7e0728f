#pragma once
// JSON read by simdjson's on-demand parser (no DOM: values are walked in the body itself), and
// written. The same faces as cbor.h's. Internal to the codec.
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <string>
#include <string_view>

#include <simdjson.h>

#include "broker/protocol/kinesis/base64.h"
#include "broker/protocol/kinesis/token.h"

namespace broker::protocol::kinesis {

// One value of the document. Read once, or left alone.
class JsonValue {
 public:
  JsonValue(simdjson::ondemand::value value, bool& malformed)
      : value_(value), malformed_(&malformed) {
    auto type = value_.type();
    token_ = type.error() ? fail() : token_of(type.value_unsafe());
  }
  Token token() const { return token_; }
  bool malformed() const { return *malformed_; }

  bool boolean() {
    bool value = false;
    if (value_.get_bool().get(value)) fail();
    return value;
  }
  Number number() {
    Number out;
    simdjson::ondemand::number number;
    if (value_.get_number().get(number)) return fail(), out;
    switch (number.get_number_type()) {
      case simdjson::ondemand::number_type::signed_integer:
        out.integer = number.get_int64();
        break;
      case simdjson::ondemand::number_type::unsigned_integer:
        out.integer = INT64_MAX;
        break;
      case simdjson::ondemand::number_type::floating_point_number:
        out = {false, saturate(number.get_double()), number.get_double()};
        return out;
    }
    out.real = static_cast<double>(out.integer);
    return out;
  }
  bool string(std::string& out) {
    std::string_view text;
    if (!text_view(text)) return false;
    out.assign(text);
    return true;
  }
  bool blob(std::string& out, std::string& why) {
    std::string_view text;
    // A backslash is no character of base64: what decodes needed no look for one.
    if (as_it_stands(text) && base64_decode(text, out, why)) return true;
    why.clear();
    if (!text_view(text)) return false;
    if (base64_decode(text, out, why)) return true;
    out.assign(text.substr(0, 1000));  // to be named in the error
    return false;
  }
  int64_t time_ms() {
    Number value = number();
    return saturate(std::round(value.real * 1000));
  }
  void skip() {}

  template <class F>
  bool each_member(F&& f) {
    simdjson::ondemand::object object;
    if (value_.get_object().get(object)) return fail(), false;
    return walk_object(object, *malformed_, f);
  }
  template <class F>
  bool each_element(F&& f) {
    simdjson::ondemand::array array;
    if (value_.get_array().get(array)) return fail(), false;
    for (auto element : array) {
      simdjson::ondemand::value value;
      if (element.get(value)) return fail(), false;
      JsonValue wrapped(value, *malformed_);
      if (*malformed_ || !f(wrapped)) return false;
    }
    return true;
  }
  template <class F>
  static bool walk_object(simdjson::ondemand::object& object, bool& malformed, F&& f) {
    for (auto field : object) {
      std::string_view key;
      simdjson::ondemand::value value;
      if (field.unescaped_key().get(key) || field.value().get(value)) return malformed = true, false;
      JsonValue wrapped(value, malformed);
      if (malformed || !f(key, wrapped)) return false;
    }
    return true;
  }

 private:
  static Token token_of(simdjson::ondemand::json_type type) {
    switch (type) {
      case simdjson::ondemand::json_type::array: return Token::kList;
      case simdjson::ondemand::json_type::object: return Token::kMap;
      case simdjson::ondemand::json_type::number: return Token::kNumber;
      case simdjson::ondemand::json_type::string: return Token::kString;
      case simdjson::ondemand::json_type::boolean: return Token::kBoolean;
      case simdjson::ondemand::json_type::null: return Token::kNull;
    }
    return Token::kMalformed;
  }
  Token fail() {
    *malformed_ = true;
    return Token::kMalformed;
  }
  // What stands between the string's quotes, escaped or not. False: there are none.
  bool as_it_stands(std::string_view& out) {
    std::string_view raw = value_.raw_json_token();
    size_t end = raw.find_last_of('"');
    if (end == raw.npos || end == 0) return false;
    out = raw.substr(1, end - 1);
    return true;
  }
  // The string's text: where it stands when nothing in it is escaped (base64 never needs to be),
  // else unescaped into the parser's own memory, until the next document.
  bool text_view(std::string_view& out) {
    if (as_it_stands(out) && !std::memchr(out.data(), '\\', out.size())) return true;
    if (value_.get_string().get(out)) return fail(), false;
    return true;
  }

  simdjson::ondemand::value value_;
  bool* malformed_;
  Token token_;
};

class JsonWriter {
 public:
  void begin_map(size_t) { open('{'); }
  void begin_list(size_t) { open('['); }
  void end_map() { close('}'); }
  void end_list() { close(']'); }
  void key(std::string_view name) {
    string(name);
    out_ += ':';
    comma_ = false;
  }
  void string(std::string_view text) {
    separate();
    out_ += '"';
    append_escaped(text);
    out_ += '"';
  }
  void blob(std::string_view bytes) {
    separate();
    out_ += '"';
    base64_append(bytes, out_);
    out_ += '"';
  }
  void integer(int64_t value) {
    separate();
    out_ += std::to_string(value);
  }
  void boolean(bool value) {
    separate();
    out_ += value ? "true" : "false";
  }
  // Seconds with three decimals, as AWS.
  void time_ms(int64_t value) {
    separate();
    auto magnitude = value < 0 ? 0 - static_cast<uint64_t>(value) : static_cast<uint64_t>(value);
    if (value < 0) out_ += '-';
    char text[24];
    out_.append(text, std::to_chars(text, text + sizeof text, magnitude / 1000).ptr);
    const auto rest = static_cast<unsigned>(magnitude % 1000);
    const char decimals[] = {'.', static_cast<char>('0' + rest / 100),
                             static_cast<char>('0' + rest / 10 % 10),
                             static_cast<char>('0' + rest % 10)};
    out_.append(decimals, sizeof decimals);
  }
  void reserve(size_t bytes) { out_.reserve(bytes); }
  std::string take() { return std::move(out_); }

 private:
  void separate() {
    if (comma_) out_ += ',';
    comma_ = true;
  }
  void open(char bracket) {
    separate();
    out_ += bracket;
    comma_ = false;
  }
  void close(char bracket) {
    out_ += bracket;
    comma_ = true;
  }
  void append_escaped(std::string_view text);

  std::string out_;
  bool comma_ = false;
};

}  // namespace broker::protocol::kinesis
