#include "broker/handlers/kafka/assignments.h"

#include <set>

namespace broker::handlers::kafka {

Refusal check_assignments(const cluster::Metadata& metadata, const Assignments& assignments,
                          int32_t copies) {
  auto bad = [](std::string message) {
    return Refusal{Error::kInvalidReplicaAssignment, std::move(message)};
  };
  for (const auto& brokers : assignments) {
    if (brokers.empty()) return bad("The manual partition assignment includes an empty replica list.");
    if (copies == 0) copies = static_cast<int32_t>(brokers.size());
    if (static_cast<int32_t>(brokers.size()) != copies) {
      return bad("The manual partition assignment includes a partition with " +
                 std::to_string(brokers.size()) + " replica(s), but this is not consistent with "
                 "previous partitions, which have " + std::to_string(copies) + " replica(s).");
    }
    std::set<int32_t> seen;
    for (int32_t broker : brokers) {
      if (!seen.insert(broker).second) {
        return bad("The manual partition assignment includes the broker " + std::to_string(broker) +
                   " more than once.");
      }
      if (!metadata.find_broker(BrokerId{broker})) {
        return bad("The manual partition assignment includes broker " + std::to_string(broker) +
                   ", but no such broker is registered.");
      }
    }
  }
  return {};
}

}  // namespace broker::handlers::kafka
