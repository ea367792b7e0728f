#include "broker/handlers/kinesis/key_mapping.h"

#include "broker/base/utf8.h"
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

}  // namespace broker::handlers::kinesis
