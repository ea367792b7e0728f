#include "broker/protocol/kinesis/patterns.h"

#include <algorithm>

namespace broker::protocol::kinesis::patterns {
namespace {

bool digit(char c) { return c >= '0' && c <= '9'; }
bool lower(char c) { return c >= 'a' && c <= 'z'; }
bool name_char(char c) {
  return digit(c) || lower(c) || (c >= 'A' && c <= 'Z') || c == '_' || c == '.' || c == '-';
}
bool space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
bool all(std::string_view text, bool (*of)(char)) { return std::all_of(text.begin(), text.end(), of); }

bool number(std::string_view text, size_t digits_max) {
  if (text == "0") return true;
  return !text.empty() && text.size() <= digits_max && text[0] != '0' && all(text, digit);
}

// Takes the text up to `end`, and `end` itself, off the front.
bool take_until(std::string_view& text, char end, std::string_view& out) {
  size_t at = text.find(end);
  if (at == text.npos) return false;
  out = text.substr(0, at);
  text.remove_prefix(at + 1);
  return true;
}

// "arn:aws…:kinesis:REGION:ACCOUNT:", which it takes off the front. The patterns' ".*" could hold
// colons; no ARN does.
bool take_arn(std::string_view& text) {
  std::string_view arn, partition, service, region, account;
  return take_until(text, ':', arn) && take_until(text, ':', partition) &&
         take_until(text, ':', service) && take_until(text, ':', region) &&
         take_until(text, ':', account) && arn == "arn" && partition.substr(0, 3) == "aws" &&
         service == "kinesis" && account.size() == 12 && all(account, digit);
}

bool visible(std::string_view text) {
  return !text.empty() && std::none_of(text.begin(), text.end(), space);
}

}  // namespace

bool name(std::string_view text) { return !text.empty() && all(text, name_char); }
bool number_39(std::string_view text) { return number(text, 39); }
bool number_129(std::string_view text) { return number(text, 129); }

bool stream_id(std::string_view text) {
  auto part = [](std::string_view p) {
    return all(p, [](char c) { return digit(c) || lower(c); });
  };
  return text.size() == 24 && text[20] == '-' && part(text.substr(0, 20)) && part(text.substr(21));
}

bool stream_arn(std::string_view text) {
  if (!take_arn(text) || text.substr(0, 7) != "stream/") return false;
  return visible(text.substr(7));
}

bool resource_arn(std::string_view text) {
  if (!take_arn(text)) return false;
  for (std::string_view kind : {"stream/", "channel/"}) {
    size_t at = text.find(kind);
    if (at != text.npos && visible(text.substr(at + kind.size()))) return true;
  }
  return false;
}

bool consumer_arn(std::string_view text) {
  if (!take_arn(text)) return false;
  size_t stream = text.find("stream/");
  if (stream == text.npos) return false;
  text.remove_prefix(stream + 7);
  std::string_view name_of_stream, kind, name_of_consumer;
  return take_until(text, '/', name_of_stream) && take_until(text, '/', kind) &&
         take_until(text, ':', name_of_consumer) && name(name_of_stream) && kind == "consumer" &&
         name(name_of_consumer) && !text.empty() && all(text, digit);
}

}  // namespace broker::protocol::kinesis::patterns
