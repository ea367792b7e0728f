#include "broker/protocol/kinesis/decode_impl.h"

namespace broker::protocol::kinesis {
namespace {

constexpr size_t kEchoMax = 4096;  // bytes of a bad value that an error repeats

std::string lower_first(std::string_view name) {
  std::string out(name);
  if (!out.empty() && out[0] >= 'A' && out[0] <= 'Z') out[0] = static_cast<char>(out[0] + 32);
  return out;
}

// Java's String.length().
int64_t utf16_units(std::string_view text) {
  int64_t units = 0;
  for (char c : text) {
    auto byte = static_cast<uint8_t>(c);
    units += (byte & 0xc0) == 0x80 ? 0 : byte >= 0xf0 ? 2 : 1;
  }
  return units;
}

std::string at_least(int64_t min, std::string_view what) {
  return "Member must have " + std::string(what) + " greater than or equal to " +
         std::to_string(min);
}
std::string at_most(int64_t max, std::string_view what) {
  return "Member must have " + std::string(what) + " less than or equal to " + std::to_string(max);
}
std::string one_of(const Shape& shape) {
  std::string words;
  for (std::string_view word : shape.words) {
    words += (words.empty() ? "" : ", ") + std::string(word);
  }
  return "Member must satisfy enum value set: [" + words + "]";
}
std::string pattern_of(const Shape& shape) {
  return "Member must satisfy regular expression pattern: " + std::string(shape.pattern);
}

bool is_word(const Shape& shape, std::string_view value) {
  return shape.words.empty() ||
         std::find(shape.words.begin(), shape.words.end(), value) != shape.words.end();
}

const char* java_type(Token token) {
  switch (token) {
    case Token::kBoolean:
      return "class java.lang.Boolean";
    case Token::kNumber:
      return "class com.amazon.coral.value.json.numbers.TruncatingBigNumber";
    case Token::kBytes:
      return "class java.nio.HeapByteBuffer";
    default:
      return "class java.lang.String";
  }
}

const char* wanted(Kind kind) {
  switch (kind) {
    case Kind::kString:
      return "an String";  // AWS's articles
    case Kind::kBlob:
      return "a Blob";
    case Kind::kInteger:
      return "an Integer";
    case Kind::kLong:
      return "an Long";
    case Kind::kBoolean:
      return "an Boolean";
    case Kind::kTimestamp:
      return "milliseconds since epoch";
    default:
      return "";
  }
}

}  // namespace

std::string Path::to_string() const {
  std::string out = parent ? parent->to_string() : "";
  if (!out.empty()) out += '.';
  return out + (element ? std::to_string(element) + ".member" : lower_first(name));
}

bool Decoding::mismatch(Kind kind, Token token) {
  bool simple = kind != Kind::kList && kind != Kind::kMap && kind != Kind::kStruct;
  if (token == Token::kList) {
    serialization_ = "Start of list found where not expected";
  } else if (token == Token::kMap) {
    serialization_ = "Start of structure or map found where not expected.";
  } else if (simple) {
    serialization_ = std::string(java_type(token)) + " can not be converted to " + wanted(kind);
  } else {
    serialization_ = kind == Kind::kList   ? "Expected list or null"
                     : kind == Kind::kMap ? "Expected map or null"
                                          : "Expected null";
  }
  return false;
}

bool Decoding::not_a_blob(std::string_view text, std::string_view why) {
  serialization_ = quoted(text) + " can not be converted to a Blob: " + std::string(why);
  return false;
}

bool Decoding::not_a_boolean(std::string_view text) {
  std::string upper(text);
  for (char& c : upper) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c;
  serialization_ = quoted(upper) + " can not be converted to an Boolean";
  return false;
}

std::string Decoding::quoted(std::string_view value) {
  size_t size = value.size();
  if (size > kEchoMax) {
    size = kEchoMax;  // whole characters
    while (size > 0 && (static_cast<uint8_t>(value[size]) & 0xc0) == 0x80) --size;
  }
  return "'" + std::string(value.substr(0, size)) + (size < value.size() ? "..." : "") + "'";
}

void Decoding::broken(const Path& path, std::string_view value, std::string_view constraint,
                      size_t position) {
  std::string text = "Value " + std::string(value) + " at '" + path.to_string() +
                     "' failed to satisfy constraint: " + std::string(constraint);
  position = std::min(position, broken_.size());
  if (position - member_began_ >= kBrokenMax) return;
  broken_.emplace(broken_.begin() + static_cast<std::ptrdiff_t>(position), member_,
                  std::move(text));
  if (broken_.size() - member_began_ > kBrokenMax) broken_.pop_back();
}

void Decoding::begin_member(size_t number) {
  member_ = number;
  member_began_ = broken_.size();
}

void Decoding::missing(const Path& path, std::string_view member) {
  if (broken_.size() - member_began_ >= kBrokenMax) return;
  Path here{&path, member};
  broken(member.empty() ? path : here, "null", "Member must not be null");
}

void Decoding::check_string(const Shape& shape, const std::string& value, const Path& path) {
  if (shape.matches && !shape.matches(value)) broken(path, quoted(value), pattern_of(shape));
  if (shape.min != INT64_MIN || shape.max != INT64_MAX) {
    int64_t length = utf16_units(value);
    if (length < shape.min) broken(path, quoted(value), at_least(shape.min, "length"));
    if (length > shape.max) broken(path, quoted(value), at_most(shape.max, "length"));
  }
  if (!is_word(shape, value)) broken(path, quoted(value), one_of(shape));
}

void Decoding::check_blob(const Shape& shape, const std::string& value, const Path& path) {
  auto size = static_cast<int64_t>(value.size());
  if (size <= shape.max) return;
  std::string bytes = std::to_string(size);
  broken(path, "'java.nio.HeapByteBuffer[pos=0 lim=" + bytes + " cap=" + bytes + "]'",
         at_most(shape.max, "length"));
}

void Decoding::check_number(const Shape& shape, int64_t value, const Path& path) {
  std::string text = "'" + std::to_string(value) + "'";
  if (value < shape.min) broken(path, text, at_least(shape.min, "value"));
  if (value > shape.max) broken(path, text, at_most(shape.max, "value"));
}

void Decoding::check_size(const Shape& shape, size_t size, const std::string& value,
                          const Path& path, size_t position) {
  auto count = static_cast<int64_t>(size);
  if (count < shape.min) broken(path, "'" + value + "'", at_least(shape.min, "length"), position);
  if (count > shape.max) broken(path, "'" + value + "'", at_most(shape.max, "length"), position);
}

void Decoding::check_elements(const Shape& element, bool ok, std::string_view prefix,
                              const std::string& value, const Path& path) {
  if (ok) return;
  std::string rules;
  auto add = [&](const std::string& rule) { rules += (rules.empty() ? "" : ", ") + rule; };
  if (element.max != INT64_MAX) add(at_most(element.max, "length"));
  if (element.min != INT64_MIN) add(at_least(element.min, "length"));
  if (element.matches) add(pattern_of(element));
  if (!element.words.empty()) add(one_of(element));
  broken(path, "'" + value + "'", std::string(prefix) + "[" + rules + "]");
}

bool Decoding::keeps(const Shape& shape, const std::string& value) {
  int64_t length = utf16_units(value);
  return length >= shape.min && length <= shape.max && (!shape.matches || shape.matches(value)) &&
         is_word(shape, value);
}

std::optional<Error> Decoding::result() const {
  if (!serialization_.empty()) return serialization(serialization_);
  if (malformed_) return serialization("");
  if (broken_.empty()) return std::nullopt;
  auto told = broken_;
  std::stable_sort(told.begin(), told.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  if (told.size() > kBrokenMax) told.resize(kBrokenMax);
  std::string text = std::to_string(told.size()) + " validation error" +
                     (told.size() > 1 ? "s" : "") + " detected: ";
  for (size_t i = 0; i < told.size(); ++i) text += (i ? "; " : "") + told[i].second;
  return validation(std::move(text));
}

}  // namespace broker::protocol::kinesis
