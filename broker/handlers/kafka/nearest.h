#pragma once
// Reading from the closest replica (KIP-392): whom a leader sends a consumer to, and which replica
// on this broker a consumer that was sent here may read. Used by Fetch on the reactor.
#include <optional>
#include <string>

#include "broker/handlers/kafka/topics.h"

namespace broker::handlers::kafka {

// An in-sync follower in the consumer's zone; nothing where the leader is in it, or there is none.
std::optional<BrokerId> nearest_replica(const Services& services,
                                        const partition::Partition& leader,
                                        const std::string& rack);

// As find_led(), for a follower here that knows its leader.
Led find_followed(const Services& services, const cluster::Stream& stream, int32_t index,
                  int32_t leader_epoch);

}  // namespace broker::handlers::kafka
