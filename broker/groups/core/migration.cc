// Groups between the two protocols (KIP-848, "online migration"): a classic group becomes a consumer
// group when a member of the new protocol joins, and goes back when the last one leaves. In between
// the members of the classic protocol are served from the consumer group: their generation is their
// member epoch.
#include <algorithm>

#include "broker/groups/core/consumer_protocol.h"
#include "broker/groups/core/machine.h"

namespace broker::groups {
namespace {

// The metadata of the protocol that the group's members agree on; the member's first otherwise.
const std::string& first_metadata(const std::vector<Protocol>& protocols) {
  static const std::string none;
  return protocols.empty() ? none : protocols.front().metadata;
}

}  // namespace

bool Machine::can_upgrade(const ClassicGroup& group) const {
  if (group.members.empty()) return group.pending_join.empty();
  if (!settings_.upgrade || !group.uses_consumer_protocol()) return false;
  if (group.members.size() >= static_cast<size_t>(settings_.group_size_max)) return false;
  std::string protocol = group.protocol_name.value_or("");
  return std::all_of(group.members.begin(), group.members.end(), [&](const auto& entry) {
    const std::string& metadata = protocol.empty() ? first_metadata(entry.second.protocols)
                                                   : entry.second.metadata(protocol);
    return parse_subscription(metadata).ok() && parse_assignment(entry.second.assignment).ok();
  });
}

ConsumerGroup& Machine::upgrade(ClassicGroup& classic, Now now, Effects& fx) {
  ConsumerGroup& group = consumer_[classic.id];
  group.id = classic.id;
  group.epoch = group.assignment_epoch = classic.generation;
  erase({RecordKind::kClassicGroup, classic.id, "", 0}, fx);
  for (auto& [id, member] : classic.members) {
    JoinResult joined;
    joined.error = GroupError::kRebalanceInProgress;
    joined.member = id;
    fx.reply(std::exchange(member.awaiting_join, nullptr), std::move(joined));
    SyncResult synced;
    synced.error = GroupError::kRebalanceInProgress;
    fx.reply(std::exchange(member.awaiting_sync, nullptr), std::move(synced));
    timers_.cancel({TimerKind::kSession, classic.id, id});
    const std::string& metadata = classic.protocol_name ? member.metadata(*classic.protocol_name)
                                                        : first_metadata(member.protocols);
    auto subscription = parse_subscription(metadata);
    auto assignment = parse_assignment(member.assignment);
    ConsumerMember made;
    made.id = id;
    made.instance = member.instance;
    made.client_id = member.client_id;
    made.client_host = member.client_host;
    made.rebalance_timeout_ms = member.rebalance_timeout_ms;
    made.classic = ClassicPart{member.session_timeout_ms, member.protocols};
    if (subscription.ok()) {
      made.names = subscription->topics;
      made.rack = subscription->rack;
    }
    made.epoch = made.previous_epoch = classic.generation;
    if (assignment.ok()) {
      for (const auto& [name, partitions] : *assignment) {
        auto topic = topics_.find(name);
        if (topic) made.assigned[topic->id] = partitions;
      }
    }
    put_member(group, made, fx);
    put_target(group, id, made.assigned, fx);
    put_current(group, made, fx);
    touch_consumer(group, made, now);
  }
  for (const auto& id : classic.pending_join) {
    timers_.cancel({TimerKind::kSession, classic.id, id});
  }
  for (TimerKind kind : {TimerKind::kJoin, TimerKind::kInitialDelay, TimerKind::kSync}) {
    timers_.cancel({kind, classic.id, ""});
  }
  put_group(group, fx);
  classic_.erase(group.id);
  return group;
}

void Machine::downgrade_if_due(std::string id, Now now, Effects& fx) {
  ConsumerGroup* group = consumer_group(id);
  if (!settings_.downgrade || !group || group->members.empty()) return;
  for (const auto& [member_id, member] : group->members) {
    if (!member.classic) return;
  }
  ClassicGroup classic;
  classic.id = id;
  classic.state = ClassicState::kStable;
  classic.state_ms = now.wall_ms;
  classic.protocol_type = std::string(kConsumerProtocolType);
  classic.generation = group->epoch;
  std::map<std::string, ConsumerMember> members = group->members;
  for (const auto& [member_id, member] : members) {
    ClassicMember& made = classic.members[member_id];
    made.id = member_id;
    made.instance = member.instance;
    made.client_id = member.client_id;
    made.client_host = member.client_host;
    made.rebalance_timeout_ms = member.rebalance_timeout_ms;
    made.session_timeout_ms = member.classic->session_timeout_ms;
    made.protocols = member.classic->protocols;
    auto subscription = parse_subscription(first_metadata(made.protocols));
    made.assignment = encode_assignment(subscription.ok() ? subscription->version : int16_t{0},
                                        named(member.assigned));
    if (member.instance) classic.instances[*member.instance] = member_id;
    remove_consumer(*group, member_id, fx);
  }
  classic.leader = classic.members.begin()->first;
  classic.protocol_name = classic.select_protocol();
  consumer_.erase(id);
  erase({RecordKind::kConsumerGroup, id, "", 0}, fx);
  ClassicGroup& made = classic_[id] = std::move(classic);
  for (const auto& [member_id, member] : made.members) touch(made, member, now);
  put_classic(made, fx);
  prepare_rebalance(made, now, fx);
}

NamedAssignment Machine::named(const Assignment& assignment) const {
  NamedAssignment out;
  for (const auto& [id, partitions] : assignment) {
    auto name = topics_.name_of(id);
    if (name && !partitions.empty()) out[*name] = partitions;
  }
  return out;
}

GroupError Machine::check_classic_part(const ConsumerGroup& group, const std::string& id,
                                       const std::optional<std::string>& instance) const {
  if (instance) {
    auto owner = group.instances.find(*instance);
    if (owner == group.instances.end()) return GroupError::kUnknownMemberId;
    if (owner->second != id) return GroupError::kFencedInstanceId;
  }
  auto found = group.members.find(id);
  if (found == group.members.end() || !found->second.classic) return GroupError::kUnknownMemberId;
  return GroupError::kNone;
}

void Machine::classic_join_consumer(ConsumerGroup& group, JoinRequest request, Now now,
                                    const Reply<JoinResult>& reply, Effects& fx) {
  auto fail = [&](GroupError error, std::string member) {
    JoinResult result;
    result.error = error;
    result.member = std::move(member);
    fx.reply(reply, std::move(result));
  };
  auto subscription = parse_subscription(first_metadata(request.protocols));
  if (request.protocol_type != kConsumerProtocolType || request.protocols.empty() ||
      !subscription.ok()) {
    return fail(GroupError::kInconsistentGroupProtocol, request.member);
  }
  std::string id = request.member;
  if (id.empty()) {
    id = request.instance.value_or(request.client_id) + "-" + new_id_().to_string();
    if (!request.instance && request.require_known_member) {
      return fail(GroupError::kMemberIdRequired, id);
    }
  }
  auto known = group.members.find(id);
  bool is_new = known == group.members.end();
  ConsumerMember member;
  bool changed = is_new;
  auto owner = request.instance ? group.instances.find(*request.instance) : group.instances.end();
  if (owner != group.instances.end() && owner->second != id) {
    if (!request.member.empty()) return fail(GroupError::kFencedInstanceId, id);
    member = group.members.at(owner->second);  // the new process takes its place
    Assignment target = group.target_of(member.id);
    remove_consumer(group, member.id, fx);
    member.id = id;
    put_target(group, id, std::move(target), fx);
    changed = false;
  } else if (!is_new) {
    bool other_instance = request.instance && owner == group.instances.end();
    if (!known->second.classic || other_instance) return fail(GroupError::kUnknownMemberId, id);
    member = known->second;
  } else if (!request.member.empty() && request.instance) {
    return fail(GroupError::kUnknownMemberId, id);
  } else if (group.members.size() >= static_cast<size_t>(settings_.group_size_max)) {
    return fail(GroupError::kGroupMaxSizeReached, "");
  }
  member.id = id;
  changed |= member.names != subscription->topics;
  member.names = subscription->topics;
  if (request.instance) member.instance = request.instance;
  member.rack = subscription->rack;
  member.client_id = request.client_id;
  member.client_host = request.client_host;
  member.rebalance_timeout_ms = request.rebalance_timeout_ms;
  member.classic = ClassicPart{request.session_timeout_ms, request.protocols};
  Assignment owned;  // eager members own nothing when they join
  for (const auto& [name, partitions] : subscription->owned) {
    if (auto topic = topics_.find(name)) owned[topic->id] = partitions;
  }
  member = advance(group, std::move(member), changed, owned, now, fx);
  timers_.set({TimerKind::kRejoin, group.id, id}, now.mono_ms + member.rebalance_timeout_ms);
  JoinResult result;
  result.generation = member.epoch;
  result.protocol_type = request.protocol_type;
  result.protocol_name = request.protocols.front().name;
  result.member = id;
  fx.reply(reply, std::move(result));
}

void Machine::classic_sync_consumer(ConsumerGroup& group, const SyncRequest& request, Now now,
                                    const Reply<SyncResult>& reply, Effects& fx) {
  SyncResult result;
  result.error = check_classic_part(group, request.member, request.instance);
  if (result.error == GroupError::kNone) {
    const ConsumerMember& member = group.members.at(request.member);
    const Protocol& protocol = member.classic->protocols.front();
    if (request.generation != member.epoch) {
      result.error = GroupError::kIllegalGeneration;
    } else if ((request.protocol_type && *request.protocol_type != kConsumerProtocolType) ||
               (request.protocol_name && *request.protocol_name != protocol.name)) {
      result.error = GroupError::kInconsistentGroupProtocol;
    } else if (member.epoch < group.epoch && member.state != MemberState::kUnrevoked) {
      result.error = GroupError::kRebalanceInProgress;
    } else {
      timers_.cancel({TimerKind::kRejoin, group.id, member.id});
      touch_consumer(group, member, now);
      auto subscription = parse_subscription(protocol.metadata);
      result.protocol_type = std::string(kConsumerProtocolType);
      result.protocol_name = protocol.name;
      result.assignment = encode_assignment(subscription.ok() ? subscription->version : int16_t{0},
                                            named(member.assigned));
    }
  }
  fx.reply(reply, std::move(result));
}

// A member of the classic protocol learns by REBALANCE_IN_PROGRESS that there is something to revoke
// or to take: it joins again.
GroupError Machine::classic_heartbeat_consumer(ConsumerGroup& group,
                                               const HeartbeatRequest& request, Now now,
                                               Effects& fx) {
  GroupError error = check_classic_part(group, request.member, request.instance);
  if (error != GroupError::kNone) return error;
  const ConsumerMember& member = group.members.at(request.member);
  if (request.generation != member.epoch) return GroupError::kIllegalGeneration;
  touch_consumer(group, member, now);
  bool waits = false;  // for partitions that others have not released: joining would not help
  if (member.state == MemberState::kUnreleased) {
    for (const auto& [topic, partitions] : group.target_of(member.id)) {
      for (int32_t p : partitions) {
        waits |= !contains(member.assigned, topic, p) && group.holder_epoch(topic, p) != -1;
      }
    }
  }
  bool behind = member.epoch < group.epoch || member.state == MemberState::kUnrevoked ||
                (member.state == MemberState::kUnreleased && !waits);
  if (!behind) return GroupError::kNone;
  TimerKey rejoin{TimerKind::kRejoin, group.id, member.id};
  if (!timers_.has(rejoin)) timers_.set(rejoin, now.mono_ms + member.rebalance_timeout_ms);
  return GroupError::kRebalanceInProgress;
}

void Machine::classic_leave_consumer(ConsumerGroup& group, LeaveRequest request, Now now,
                                     const Reply<LeaveResult>& reply, Effects& fx) {
  LeaveResult result;
  bool removed = false;
  for (LeavingMember& leaving : request.members) {
    std::string id = leaving.member;
    if (leaving.instance) {
      auto owner = group.instances.find(*leaving.instance);
      if (owner == group.instances.end()) {
        leaving.error = GroupError::kUnknownMemberId;
      } else if (id.empty()) {
        id = owner->second;
      } else if (owner->second != id) {
        leaving.error = GroupError::kFencedInstanceId;
      }
    }
    if (leaving.error == GroupError::kNone && group.members.count(id) == 0) {
      leaving.error = GroupError::kUnknownMemberId;
    }
    if (leaving.error != GroupError::kNone) continue;
    remove_consumer(group, id, fx);
    removed = true;
  }
  std::string id = group.id;
  if (removed) {
    ++group.epoch;
    ++counts_.rebalances;
    put_group(group, fx);
  }
  result.members = std::move(request.members);
  fx.reply(reply, std::move(result));
  if (removed) downgrade_if_due(id, now, fx);
}

}  // namespace broker::groups
