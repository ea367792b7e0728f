#include "broker/handlers/kinesis/key_mapping.h"

#include "broker/handlers/kinesis/base64url.h"

namespace broker::handlers::kinesis {
namespace {

constexpr std::string_view kNull = "$sluice.null";
constexpr std::string_view kEmpty = "$sluice.empty";
constexpr std::string_view kBytes = "$sluice.base64.";

bool needs_form(std::string_view key);

// The key that a form stands for. Only what to_partition_key() makes is a form: "$sluice.base64."
// before a key that needs no form is a key like any other.
struct Form {
  bool is_form = false;
  std::optional<std::string> key;
};
Form read_form(std::string_view text) {
  if (text == kNull) return {true, std::nullopt};
  if (text == kEmpty) return {true, ""};
  if (!text.starts_with(kBytes)) return {};
  auto key = from_base64url(text.substr(kBytes.size()));
  if (!key || key->empty() || !needs_form(*key)) return {};
  return {true, std::move(key)};
}

// A form within a form is shorter each time, so this ends.
bool needs_form(std::string_view key) {
  return key.empty() || !is_utf8(key) || read_form(key).is_form;
}

}  // namespace

std::string to_partition_key(std::optional<std::string_view> record_key) {
  if (!record_key) return std::string(kNull);
  if (record_key->empty()) return std::string(kEmpty);
  if (!needs_form(*record_key)) return std::string(*record_key);
  return std::string(kBytes) + to_base64url(*record_key);
}

std::optional<std::string> to_record_key(std::string_view partition_key) {
  Form form = read_form(partition_key);
  if (form.is_form) return form.key;
  return std::string(partition_key);
}

bool is_utf8(std::string_view bytes) {
  size_t i = 0;
  auto byte = [&](size_t at) { return static_cast<unsigned char>(bytes[at]); };
  while (i < bytes.size()) {
    const unsigned char first = byte(i);
    if (first < 0x80) {
      ++i;
      continue;
    }
    const size_t more = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : 1;
    if (first < 0xc2 || first > 0xf4 || bytes.size() - i <= more) return false;
    for (size_t k = 1; k <= more; ++k) {
      if ((byte(i + k) & 0xc0) != 0x80) return false;
    }
    const unsigned char second = byte(i + 1);
    if ((first == 0xe0 && second < 0xa0) || (first == 0xed && second > 0x9f) ||
        (first == 0xf0 && second < 0x90) || (first == 0xf4 && second > 0x8f)) {
      return false;
    }
    i += more + 1;
  }
  return true;
}

}  // namespace broker::handlers::kinesis
