// The classic protocol: JoinGroup, SyncGroup, Heartbeat, LeaveGroup, as Apache Kafka 4 answers them.
// A group's life: Empty → PreparingRebalance (members join) → CompletingRebalance (the leader
// assigns) → Stable; any change of members or metadata goes back to PreparingRebalance.
#include <algorithm>

#include "broker/groups/core/machine.h"

namespace broker::groups {

// A JoinGroup while it is worked on.
struct Machine::Joining {
  JoinRequest& request;
  Now now;
  const Reply<JoinResult>& reply;
  Effects& fx;

  void fail(GroupError error, const std::string& member) const {
    JoinResult result;
    result.error = error;
    result.member = member;
    fx.reply(reply, std::move(result));
  }
};

namespace {

// The old request of a member that asks again: its connection is gone, or it does not wait.
void supersede(ClassicMember& member, GroupError why, Effects& fx) {
  JoinResult joined;
  joined.error = why;
  joined.member = member.id;
  fx.reply(std::exchange(member.awaiting_join, nullptr), std::move(joined));
  SyncResult synced;
  synced.error = why;
  fx.reply(std::exchange(member.awaiting_sync, nullptr), std::move(synced));
}

}  // namespace

ClassicGroup& Machine::classic_group(const std::string& id, Now now) {
  auto [it, is_new] = classic_.try_emplace(id);
  if (is_new) {
    it->second.id = id;
    it->second.state_ms = now.wall_ms;
  }
  return it->second;
}

void Machine::set_state(ClassicGroup& group, ClassicState state, Now now) {
  group.state = state;
  group.state_ms = now.wall_ms;
}

void Machine::put_classic(ClassicGroup& group, Effects& fx) {
  put({RecordKind::kClassicGroup, group.id, "", 0}, encode_value(group.stored()), fx);
}

// A static member is who its instance says; another holder of the instance fences it (KIP-345).
GroupError Machine::check_classic_member(const ClassicGroup& group, const std::string& member,
                                         const std::optional<std::string>& instance) const {
  if (instance) {
    auto owner = group.instances.find(*instance);
    if (owner == group.instances.end()) return GroupError::kUnknownMemberId;
    if (owner->second != member) return GroupError::kFencedInstanceId;
  }
  return group.members.count(member) ? GroupError::kNone : GroupError::kUnknownMemberId;
}

bool Machine::has_room(const ClassicGroup& group, const std::string& member) const {
  size_t limit = static_cast<size_t>(settings_.group_size_max);
  if (group.state == ClassicState::kEmpty) return true;
  auto known = group.members.find(member);
  if (group.state == ClassicState::kPreparingRebalance) {
    // Whoever has joined this round keeps the place; the others compete for what is left.
    return (known != group.members.end() && known->second.awaiting_join) ||
           group.awaiting_join_count() < limit;
  }
  return known != group.members.end() || group.members.size() < limit;
}

void Machine::join(JoinRequest request, Now now, const Reply<JoinResult>& reply, Effects& fx) {
  Joining j{request, now, reply, fx};
  if (request.group.empty()) return j.fail(GroupError::kInvalidGroupId, request.member);
  if (request.session_timeout_ms < settings_.session_timeout_ms_min ||
      request.session_timeout_ms > settings_.session_timeout_ms_max) {
    return j.fail(GroupError::kInvalidSessionTimeout, request.member);
  }
  if (ConsumerGroup* consumer = consumer_group(request.group)) {
    if (!consumer->members.empty()) {
      return classic_join_consumer(*consumer, std::move(request), now, reply, fx);
    }
    if (!request.member.empty()) return j.fail(GroupError::kUnknownMemberId, request.member);
    int32_t epoch = consumer->epoch;
    consumer_.erase(request.group);
    erase({RecordKind::kConsumerGroup, request.group, "", 0}, fx);
    classic_group(request.group, now).generation = epoch;
  }
  if (!classic_.count(request.group) && !request.member.empty()) {
    return j.fail(GroupError::kUnknownMemberId, request.member);
  }
  ClassicGroup& group = classic_group(request.group, now);
  if (!has_room(group, request.member)) {
    if (group.members.count(request.member)) remove_member(group, request.member, fx);
    return j.fail(GroupError::kGroupMaxSizeReached, "");
  }
  size_t bytes = group.metadata_bytes();
  for (const Protocol& protocol : request.protocols) bytes += protocol.metadata.size();
  if (bytes > settings_.group_bytes_max) {
    return j.fail(GroupError::kGroupMaxSizeReached, request.member);
  }
  if (request.member.empty()) {
    join_new(group, j);
  } else {
    join_existing(group, j);
  }
}

void Machine::join_new(ClassicGroup& group, const Joining& j) {
  const JoinRequest& request = j.request;
  if (!group.supports(request.protocol_type, request.protocols)) {
    return j.fail(GroupError::kInconsistentGroupProtocol, "");
  }
  std::string id = request.instance.value_or(request.client_id) + "-" + new_id_().to_string();
  if (request.instance) {
    auto owner = group.instances.find(*request.instance);
    if (owner != group.instances.end()) {
      return replace_static_member(group, std::string(owner->second), id, j);
    }
  } else if (request.require_known_member) {
    // It comes back with this id: a first JoinGroup whose answer is lost leaves no member behind.
    group.pending_join.insert(id);
    timers_.set({TimerKind::kSession, group.id, id}, j.now.mono_ms + request.session_timeout_ms);
    return j.fail(GroupError::kMemberIdRequired, id);
  }
  add_member(group, id, j);
}

void Machine::join_existing(ClassicGroup& group, const Joining& j) {
  const JoinRequest& request = j.request;
  if (!group.supports(request.protocol_type, request.protocols)) {
    return j.fail(GroupError::kInconsistentGroupProtocol, request.member);
  }
  if (group.pending_join.count(request.member)) {
    if (request.instance) return j.fail(GroupError::kUnknownMemberId, request.member);
    return add_member(group, request.member, j);
  }
  GroupError error = check_classic_member(group, request.member, request.instance);
  if (error != GroupError::kNone) return j.fail(error, request.member);
  ClassicMember& member = group.members.at(request.member);
  bool same = member.protocols == request.protocols;
  bool rebalances = group.state == ClassicState::kPreparingRebalance || !same ||
                    // The leader joins again to have partitions assigned anew.
                    (group.state == ClassicState::kStable && group.is_leader(member.id));
  if (group.state == ClassicState::kEmpty) return j.fail(GroupError::kUnknownMemberId, member.id);
  if (rebalances) {
    update_member(group, member, j);
    return rebalance_or_complete(group, j.now, j.fx);
  }
  // The answer to its last JoinGroup may have been lost: the same again.
  JoinResult result;
  result.generation = group.generation;
  result.protocol_type = group.protocol_type;
  result.protocol_name = group.protocol_name;
  result.leader = group.leader.value_or("");
  result.member = member.id;
  if (group.state == ClassicState::kCompletingRebalance && group.is_leader(member.id)) {
    result.members = group.joined_members();
  }
  touch(group, member, j.now);
  j.fx.reply(j.reply, std::move(result));
}

void Machine::add_member(ClassicGroup& group, const std::string& id, const Joining& j) {
  const JoinRequest& request = j.request;
  if (group.members.empty()) group.protocol_type = request.protocol_type;
  ClassicMember& member = group.members[id];
  member.id = id;
  member.instance = request.instance;
  member.client_id = request.client_id;
  member.client_host = request.client_host;
  member.session_timeout_ms = request.session_timeout_ms;
  member.rebalance_timeout_ms = request.rebalance_timeout_ms;
  member.protocols = request.protocols;
  member.awaiting_join = j.reply;
  // So that members that give up while the group waits for others do not pile up.
  member.is_new = true;
  timers_.set({TimerKind::kSession, group.id, id}, j.now.mono_ms + settings_.new_member_timeout_ms);
  if (!group.leader) group.leader = id;
  if (request.instance) group.instances[*request.instance] = id;
  group.pending_join.erase(id);
  if (group.initial_delay_left_ms) group.new_member_came = true;
  rebalance_or_complete(group, j.now, j.fx);
}

void Machine::update_member(ClassicGroup& group, ClassicMember& member, const Joining& j) {
  const JoinRequest& request = j.request;
  supersede(member, GroupError::kRebalanceInProgress, j.fx);
  member.client_id = request.client_id;
  member.client_host = request.client_host;
  member.session_timeout_ms = request.session_timeout_ms;
  member.rebalance_timeout_ms = request.rebalance_timeout_ms;
  member.protocols = request.protocols;
  member.awaiting_join = j.reply;
}

// A static member has restarted: the new process takes its place, assignment and all. In a stable
// group nobody else notices, unless the protocol would change.
void Machine::replace_static_member(ClassicGroup& group, const std::string& old_id,
                                    const std::string& new_id, const Joining& j) {
  std::string leader_before = group.leader.value_or("");
  auto node = group.members.extract(old_id);
  supersede(node.mapped(), GroupError::kFencedInstanceId, j.fx);
  timers_.cancel({TimerKind::kSession, group.id, old_id});
  group.pending_sync.erase(old_id);
  node.key() = new_id;
  node.mapped().id = new_id;
  ClassicMember& member = group.members.insert(std::move(node)).position->second;
  group.instances[*member.instance] = new_id;
  if (group.is_leader(old_id)) group.leader = new_id;
  update_member(group, member, j);
  touch(group, member, j.now);
  if (group.state != ClassicState::kStable || group.select_protocol() != group.protocol_name) {
    return rebalance_or_complete(group, j.now, j.fx);
  }
  put_classic(group, j.fx);
  JoinResult result;
  result.generation = group.generation;
  result.protocol_type = group.protocol_type;
  result.protocol_name = group.protocol_name;
  result.member = new_id;
  if (j.request.supports_skip_assignment) {
    // It learns that it leads (it must watch for new partitions), and that nothing is to be assigned.
    result.leader = group.leader.value_or("");
    result.skip_assignment = group.is_leader(new_id);
    if (result.skip_assignment) result.members = group.joined_members();
  } else {
    result.leader = leader_before;
  }
  j.fx.reply(std::exchange(member.awaiting_join, nullptr), std::move(result));
}

// --- Rebalances ----------------------------------------------------------------------------------

void Machine::rebalance_or_complete(ClassicGroup& group, Now now, Effects& fx) {
  if (group.state == ClassicState::kPreparingRebalance) {
    complete_join_if_ready(group, now, fx);
  } else {
    prepare_rebalance(group, now, fx);
  }
}

void Machine::prepare_rebalance(ClassicGroup& group, Now now, Effects& fx) {
  if (group.state == ClassicState::kCompletingRebalance) {
    for (auto& [id, member] : group.members) member.assignment.clear();
    propagate_assignment(group, GroupError::kRebalanceInProgress, now, fx);
  }
  timers_.cancel({TimerKind::kSync, group.id, ""});
  bool initial = group.state == ClassicState::kEmpty;
  set_state(group, ClassicState::kPreparingRebalance, now);
  ++counts_.rebalances;
  if (!initial) return complete_join_if_ready(group, now, fx);
  // Members of a new group come one after another: wait for more before the first assignment.
  int32_t delay_ms = settings_.initial_rebalance_delay_ms;
  group.initial_delay_left_ms = std::max(group.rebalance_timeout_ms() - delay_ms, 0);
  group.new_member_came = false;
  if (delay_ms == 0 && group.pending_join.empty()) return finish_initial_delay(group, now, fx);
  timers_.set({TimerKind::kInitialDelay, group.id, ""}, now.mono_ms + delay_ms);
}

void Machine::finish_initial_delay(ClassicGroup& group, Now now, Effects& fx) {
  if (group.state != ClassicState::kPreparingRebalance || !group.initial_delay_left_ms) return;
  int32_t left_ms = *group.initial_delay_left_ms;
  if (group.new_member_came && left_ms > 0) {
    int32_t delay_ms = std::min(settings_.initial_rebalance_delay_ms, left_ms);
    group.new_member_came = false;
    group.initial_delay_left_ms = std::max(left_ms - delay_ms, 0);
    timers_.set({TimerKind::kInitialDelay, group.id, ""}, now.mono_ms + delay_ms);
    return;
  }
  complete_join(group, now, fx);
}

void Machine::complete_join_if_ready(ClassicGroup& group, Now now, Effects& fx) {
  if (group.initial_delay_left_ms) return;
  if (group.all_joined()) return complete_join(group, now, fx);
  TimerKey timer{TimerKind::kJoin, group.id, ""};
  // The time runs from the beginning of the round, not from the latest member.
  if (!timers_.has(timer)) timers_.set(timer, now.mono_ms + group.rebalance_timeout_ms());
}

// Keeps the leader if it has joined; else takes somebody who has. False when nobody has.
bool Machine::elect_joined_leader(ClassicGroup& group) {
  auto leader = group.leader ? group.members.find(*group.leader) : group.members.end();
  if (leader != group.members.end() && leader->second.awaiting_join) return true;
  for (const auto& [id, member] : group.members) {
    if (!member.awaiting_join) continue;
    group.leader = id;
    return true;
  }
  return false;
}

void Machine::complete_join(ClassicGroup& group, Now now, Effects& fx) {
  if (group.state != ClassicState::kPreparingRebalance) return;
  timers_.cancel({TimerKind::kJoin, group.id, ""});
  timers_.cancel({TimerKind::kInitialDelay, group.id, ""});
  group.initial_delay_left_ms.reset();
  std::vector<std::string> absent;  // static members keep their place until their session ends
  for (const auto& [id, member] : group.members) {
    if (!member.awaiting_join && !member.instance) absent.push_back(id);
  }
  for (const auto& id : absent) remove_member(group, id, fx);
  if (!group.members.empty() && !elect_joined_leader(group)) {
    timers_.set({TimerKind::kJoin, group.id, ""}, now.mono_ms + group.rebalance_timeout_ms());
    return;
  }
  ++group.generation;
  group.pending_sync.clear();
  if (group.members.empty()) {
    group.protocol_name.reset();
    group.leader.reset();
    set_state(group, ClassicState::kEmpty, now);
    return put_classic(group, fx);
  }
  group.protocol_name = group.select_protocol();
  set_state(group, ClassicState::kCompletingRebalance, now);
  for (auto& [id, member] : group.members) {
    bool joined = member.awaiting_join != nullptr;
    answer_joined(group, member, fx);
    if (joined) touch(group, member, now);
    member.is_new = false;
    group.pending_sync.insert(id);
  }
  timers_.set({TimerKind::kSync, group.id, ""}, now.mono_ms + group.rebalance_timeout_ms());
}

void Machine::answer_joined(ClassicGroup& group, ClassicMember& member, Effects& fx) {
  JoinResult result;
  result.generation = group.generation;
  result.protocol_type = group.protocol_type;
  result.protocol_name = group.protocol_name;
  result.leader = group.leader.value_or("");
  result.member = member.id;
  if (group.is_leader(member.id)) result.members = group.joined_members();
  fx.reply(std::exchange(member.awaiting_join, nullptr), std::move(result));
}

void Machine::on_sync_timeout(ClassicGroup& group, Now now, Effects& fx) {
  bool waits = group.state == ClassicState::kCompletingRebalance ||
               group.state == ClassicState::kStable;
  if (!waits || group.pending_sync.empty()) return;
  std::set<std::string> late = group.pending_sync;
  for (const auto& id : late) remove_member(group, id, fx);
  prepare_rebalance(group, now, fx);
}

void Machine::propagate_assignment(ClassicGroup& group, GroupError error, Now now, Effects& fx) {
  for (auto& [id, member] : group.members) {
    if (!member.awaiting_sync) continue;
    SyncResult result;
    result.error = error;
    result.protocol_type = group.protocol_type;
    result.protocol_name = group.protocol_name;
    if (error == GroupError::kNone) result.assignment = member.assignment;
    fx.reply(std::exchange(member.awaiting_sync, nullptr), std::move(result));
    touch(group, member, now);
  }
}

// --- Sessions ------------------------------------------------------------------------------------

void Machine::touch(ClassicGroup& group, const ClassicMember& member, Now now) {
  timers_.set({TimerKind::kSession, group.id, member.id}, now.mono_ms + member.session_timeout_ms);
}

void Machine::on_session_timeout(ClassicGroup& group, const std::string& id, Now now, Effects& fx) {
  if (group.pending_join.erase(id) > 0) {
    if (group.state == ClassicState::kPreparingRebalance) complete_join_if_ready(group, now, fx);
    return;
  }
  auto found = group.members.find(id);
  if (found == group.members.end()) return;
  ClassicMember& member = found->second;
  // While the coordinator makes a member wait, the member cannot heartbeat.
  if (!member.is_new && (member.awaiting_join || member.awaiting_sync)) {
    return touch(group, member, now);
  }
  remove_member(group, id, fx);
  rebalance_or_complete(group, now, fx);
}

// Takes a member out, telling it if it waits. What follows for the group is the caller's.
void Machine::remove_member(ClassicGroup& group, const std::string& id, Effects& fx) {
  auto found = group.members.find(id);
  if (found == group.members.end()) return;
  ClassicMember& member = found->second;
  supersede(member, GroupError::kUnknownMemberId, fx);
  if (member.instance) {
    auto owner = group.instances.find(*member.instance);
    if (owner != group.instances.end() && owner->second == id) group.instances.erase(owner);
  }
  timers_.cancel({TimerKind::kSession, group.id, id});
  group.pending_sync.erase(id);
  bool led = group.is_leader(id);
  group.members.erase(found);
  if (led) {
    group.leader.reset();
    if (!group.members.empty()) group.leader = group.members.begin()->first;
  }
}

// --- SyncGroup, Heartbeat, LeaveGroup --------------------------------------------------------------

void Machine::sync(SyncRequest request, Now now, const Reply<SyncResult>& reply, Effects& fx) {
  auto fail = [&](GroupError error) {
    SyncResult result;
    result.error = error;
    fx.reply(reply, std::move(result));
  };
  if (ConsumerGroup* consumer = consumer_group(request.group)) {
    return classic_sync_consumer(*consumer, request, now, reply, fx);
  }
  auto found = classic_.find(request.group);
  if (found == classic_.end()) return fail(GroupError::kUnknownMemberId);
  ClassicGroup& group = found->second;
  GroupError error = check_classic_member(group, request.member, request.instance);
  if (error != GroupError::kNone) return fail(error);
  if (request.generation != group.generation) return fail(GroupError::kIllegalGeneration);
  if ((request.protocol_type && request.protocol_type != group.protocol_type) ||
      (request.protocol_name && request.protocol_name != group.protocol_name)) {
    return fail(GroupError::kInconsistentGroupProtocol);
  }
  if (group.state == ClassicState::kEmpty) return fail(GroupError::kUnknownMemberId);
  if (group.state == ClassicState::kPreparingRebalance) {
    return fail(GroupError::kRebalanceInProgress);
  }
  ClassicMember& member = group.members.at(request.member);
  group.pending_sync.erase(member.id);
  if (member.awaiting_sync) supersede(member, GroupError::kRebalanceInProgress, fx);
  member.awaiting_sync = reply;
  touch(group, member, now);
  if (group.state == ClassicState::kStable) {
    return propagate_assignment(group, GroupError::kNone, now, fx);
  }
  if (!group.is_leader(member.id)) return;
  size_t bytes = 0;
  for (const auto& [id, assignment] : request.assignments) bytes += assignment.size();
  if (bytes > settings_.group_bytes_max) {
    return supersede(member, GroupError::kInvalidRequest, fx);
  }
  for (auto& [id, each] : group.members) {
    auto assigned = request.assignments.find(id);
    each.assignment = assigned == request.assignments.end() ? "" : std::move(assigned->second);
  }
  set_state(group, ClassicState::kStable, now);
  put_classic(group, fx);
  propagate_assignment(group, GroupError::kNone, now, fx);
  if (group.pending_sync.empty()) timers_.cancel({TimerKind::kSync, group.id, ""});
}

void Machine::heartbeat(const HeartbeatRequest& request, Now now,
                        const Reply<HeartbeatResult>& reply, Effects& fx) {
  auto answer = [&](GroupError error) { fx.reply(reply, HeartbeatResult{error}); };
  if (ConsumerGroup* consumer = consumer_group(request.group)) {
    return answer(classic_heartbeat_consumer(*consumer, request, now, fx));
  }
  auto found = classic_.find(request.group);
  if (found == classic_.end()) return answer(GroupError::kUnknownMemberId);
  ClassicGroup& group = found->second;
  GroupError error = check_classic_member(group, request.member, request.instance);
  if (error != GroupError::kNone) return answer(error);
  if (request.generation != group.generation) return answer(GroupError::kIllegalGeneration);
  if (group.state == ClassicState::kEmpty) return answer(GroupError::kUnknownMemberId);
  touch(group, group.members.at(request.member), now);
  answer(group.state == ClassicState::kPreparingRebalance ? GroupError::kRebalanceInProgress
                                                          : GroupError::kNone);
}

void Machine::leave(LeaveRequest request, Now now, const Reply<LeaveResult>& reply, Effects& fx) {
  if (ConsumerGroup* consumer = consumer_group(request.group)) {
    return classic_leave_consumer(*consumer, std::move(request), now, reply, fx);
  }
  LeaveResult result;
  auto found = classic_.find(request.group);
  if (found == classic_.end()) {
    result.error = GroupError::kUnknownMemberId;
    return fx.reply(reply, std::move(result));
  }
  ClassicGroup& group = found->second;
  bool removed = false;
  for (LeavingMember& leaving : request.members) {
    std::string id = leaving.member;
    if (group.pending_join.erase(id) > 0) {
      timers_.cancel({TimerKind::kSession, group.id, id});
      removed = true;
    } else {
      if (id.empty() && leaving.instance) {  // an administrator knows the instance only
        auto owner = group.instances.find(*leaving.instance);
        if (owner != group.instances.end()) id = owner->second;
      }
      leaving.error = check_classic_member(group, id, leaving.instance);
      if (leaving.error == GroupError::kNone) {
        remove_member(group, id, fx);
        removed = true;
      }
    }
  }
  result.members = std::move(request.members);
  fx.reply(reply, std::move(result));
  if (removed && group.state != ClassicState::kEmpty) rebalance_or_complete(group, now, fx);
}

}  // namespace broker::groups
