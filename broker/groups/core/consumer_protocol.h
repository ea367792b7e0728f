#pragma once
// The metadata that consumers of the classic protocol put into JoinGroup and SyncGroup (Kafka's
// ConsumerProtocolSubscription and -Assignment, versions 0 to 3). The coordinator reads it for
// offsets of unsubscribed topics and to carry groups between the two protocols.
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "broker/base/status.h"

namespace broker::groups {

inline constexpr std::string_view kConsumerProtocolType = "consumer";

struct Subscription {
  int16_t version = 0;
  std::set<std::string> topics;
  std::map<std::string, std::set<int32_t>> owned;  // versions 1 and later
  int32_t generation = -1;                         // 2
  std::optional<std::string> rack;                 // 3
};
Result<Subscription> parse_subscription(std::string_view bytes);

using NamedAssignment = std::map<std::string, std::set<int32_t>>;
Result<NamedAssignment> parse_assignment(std::string_view bytes);
std::string encode_assignment(int16_t version, const NamedAssignment& assignment);

}  // namespace broker::groups
