#include "broker/groups/core/reconcile.h"

namespace broker::groups {
namespace {

// Partitions of `a` that are not in `b`.
Assignment minus(const Assignment& a, const Assignment& b) {
  Assignment out;
  for (const auto& [topic, partitions] : a) {
    for (int32_t p : partitions) {
      if (!contains(b, topic, p)) out[topic].insert(p);
    }
  }
  return out;
}

bool still_owns(const std::optional<Assignment>& owned, const Assignment& revoking) {
  if (!owned) return true;
  for (const auto& [topic, partitions] : revoking) {
    for (int32_t p : partitions) {
      if (contains(*owned, topic, p)) return true;
    }
  }
  return false;
}

StoredCurrentAssignment next(const ConsumerGroup& group, const ConsumerMember& member,
                             const std::optional<Assignment>& owned) {
  const Assignment& target = group.target_of(member.id);
  StoredCurrentAssignment out;
  out.epoch = member.epoch;
  out.previous_epoch = member.previous_epoch;
  Assignment to_revoke = minus(member.assigned, target);
  out.assigned = minus(member.assigned, to_revoke);
  if (!to_revoke.empty() && still_owns(owned, to_revoke)) {
    // Keeps its epoch until it has given them up.
    out.state = MemberState::kUnrevoked;
    out.revoking = std::move(to_revoke);
    return out;
  }
  bool unreleased = false;
  for (const auto& [topic, partitions] : minus(target, member.assigned)) {
    for (int32_t p : partitions) {
      if (group.holder_epoch(topic, p) == -1) {
        out.assigned[topic].insert(p);
      } else {
        unreleased = true;
      }
    }
  }
  out.state = unreleased ? MemberState::kUnreleased : MemberState::kStable;
  if (out.epoch != group.assignment_epoch) {
    out.previous_epoch = out.epoch;
    out.epoch = group.assignment_epoch;
  }
  return out;
}

}  // namespace

StoredCurrentAssignment reconcile(const ConsumerGroup& group, const ConsumerMember& member,
                                  const std::optional<Assignment>& owned) {
  switch (member.state) {
    case MemberState::kStable:
      if (member.epoch == group.assignment_epoch) return member;
      return next(group, member, owned);
    case MemberState::kUnrevoked:
      if (still_owns(owned, member.revoking)) return member;
      return next(group, member, owned);
    case MemberState::kUnreleased:
      return next(group, member, owned);
  }
  return member;
}

}  // namespace broker::groups
