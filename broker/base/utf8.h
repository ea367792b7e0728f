#pragma once
// Whether bytes that somebody sent are text: what goes into a string of a protobuf message has to
// be, or the receiver takes the message for broken. Pure.
#include <string_view>

namespace broker {

// Whole and shortest-form UTF-8, without surrogates.
bool is_utf8(std::string_view bytes);

}  // namespace broker
