#pragma once
// Base64 with the URL alphabet and without padding, for tokens and keys. Strict: text that another
// encoder would have written differently is refused, so that every value has one form.
#include <optional>
#include <string>
#include <string_view>

namespace broker::handlers::kinesis {

std::string to_base64url(std::string_view bytes);
std::optional<std::string> from_base64url(std::string_view text);

}  // namespace broker::handlers::kinesis
