#pragma once
// The patterns that api.schema names, as functions: linear in the text, and safe on any length
// (std::regex recurses once a character). Each matches the whole text.
#include <string_view>

namespace broker::protocol::kinesis::patterns {

bool name(std::string_view text);          // [a-zA-Z0-9_.-]+
bool number_39(std::string_view text);     // ^(0|([1-9]\d{0,38}))$
bool number_129(std::string_view text);    // ^(0|([1-9]\d{0,128}))$
bool stream_id(std::string_view text);     // [a-z0-9]{20}-[a-z0-9]{3}
bool stream_arn(std::string_view text);    // arn:aws.*:kinesis:.*:\d{12}:stream/\S+
bool consumer_arn(std::string_view text);  // …:\d{12}:…stream/NAME/consumer/NAME:\d+
bool resource_arn(std::string_view text);  // …:\d{12}:…(stream|channel)/\S+

}  // namespace broker::protocol::kinesis::patterns
