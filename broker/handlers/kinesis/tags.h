#pragma once
// Tags of streams and consumers. For this folder's files only; pure.
#include <map>
#include <optional>
#include <string>

#include "broker/protocol/kinesis/call.h"

namespace broker::handlers::kinesis {

inline constexpr size_t kTagsMax = 50;

// Why these cannot be added to those that are there, or nothing.
std::optional<protocol::kinesis::Error> check_tags(
    const std::map<std::string, std::string>& added,
    const std::map<std::string, std::string>& present, const std::string& stream,
    const protocol::kinesis::Caller& caller);

}  // namespace broker::handlers::kinesis
