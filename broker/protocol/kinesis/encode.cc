#include "broker/protocol/kinesis/cbor.h"
#include "broker/protocol/kinesis/codec.h"
#include "broker/protocol/kinesis/json_value.h"

namespace broker::protocol::kinesis {
namespace {

template <class Out>
std::string error_body(const Error& error) {
  Out out;
  bool told = !error.message.empty();
  out.begin_map(told ? 2 : 1);
  out.key("__type");
  out.string(error.type);
  if (told) {
    // AWS's own decoder, alone, writes a capital letter.
    out.key(error.type == "SerializationException" ? "Message" : "message");
    out.string(error.message);
  }
  out.end_map();
  return out.take();
}

// Eight characters at once: may one of them need an escape? Below 0x20, or '"', or '\\'.
bool may_need_escape(const char* text) {
  constexpr uint64_t kOnes = 0x0101010101010101, kHigh = kOnes << 7;
  uint64_t word;
  std::memcpy(&word, text, sizeof word);
  auto below = [](uint64_t bytes, uint64_t bound) { return (bytes - kOnes * bound) & ~bytes; };
  return ((below(word, 0x20) | below(word ^ kOnes * '"', 1) | below(word ^ kOnes * '\\', 1)) &
          kHigh) != 0;
}

}  // namespace

void JsonWriter::append_escaped(std::string_view text) {
  size_t plain = 0;  // what is to be copied as it is begins here
  for (size_t i = 0; i < text.size(); ++i) {
    while (text.size() - i >= 8 && !may_need_escape(text.data() + i)) i += 8;
    if (i == text.size()) break;
    auto c = static_cast<uint8_t>(text[i]);
    if (c >= 0x20 && c != '"' && c != '\\') continue;
    out_.append(text, plain, i - plain);
    plain = i + 1;
    char escape[8];
    std::snprintf(escape, sizeof escape, c < 0x20 ? "\\u%04x" : "\\%c", c);
    out_ += escape;
  }
  out_.append(text, plain, text.size() - plain);
}

std::string encode_error(Format format, const Error& error) {
  return format == Format::kJson ? error_body<JsonWriter>(error) : error_body<CborWriter>(error);
}

}  // namespace broker::protocol::kinesis
