#pragma once
// The server-side assignors of KIP-848, pure: who shall read what. `range` gives each member of a
// topic a contiguous piece; `uniform` balances the number of partitions per member and moves as few
// as that needs. Members and topics come in a fixed order, so equal inputs give equal outputs.
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "broker/groups/core/types.h"

namespace broker::groups {

struct AssignorMember {
  std::string id;
  std::optional<std::string> instance;
  std::set<Uuid> topics;
  Assignment current;  // what it was to read until now
};
using AssignablePartitions = std::map<Uuid, std::set<int32_t>>;
using Assignments = std::map<std::string, Assignment>;

inline constexpr std::string_view kUniform = "uniform", kRange = "range";
bool is_assignor(std::string_view name);
Assignments assign(std::string_view assignor, const std::vector<AssignorMember>& members,
                   const AssignablePartitions& partitions);

}  // namespace broker::groups
