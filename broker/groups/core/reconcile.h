#pragma once
// The next step of one member of a consumer group towards its target (KIP-848): revoke before
// assign, and take nothing that another member still holds. Pure.
#include <optional>

#include "broker/groups/core/state.h"

namespace broker::groups {

// `owned`: what the member says it reads; none: it does not say. What comes back has the member's
// new epoch, state, assigned and revoking partitions.
StoredCurrentAssignment reconcile(const ConsumerGroup& group, const ConsumerMember& member,
                                  const std::optional<Assignment>& owned);

}  // namespace broker::groups
