#include "broker/groups/core/machine.h"

#include <algorithm>

namespace broker::groups {

Machine::Machine(const Settings& settings, const Topics& topics, std::function<Uuid()> new_id)
    : settings_(settings), topics_(topics), new_id_(std::move(new_id)) {}

void Machine::put(const RecordKey& key, std::string value, Effects& fx) {
  std::string bytes = encode_key(key);
  auto [it, is_new] = image_.try_emplace(bytes);
  if (!is_new && it->second == value) return;
  it->second = value;
  fx.puts.push_back({std::move(bytes), std::move(value)});
}

void Machine::erase(const RecordKey& key, Effects& fx) {
  std::string bytes = encode_key(key);
  if (image_.erase(bytes) > 0) fx.puts.push_back({std::move(bytes), std::nullopt});
}

bool Machine::exists(const std::string& group) const {
  return classic_.count(group) > 0 || consumer_.count(group) > 0;
}

std::vector<Put> Machine::snapshot() const {
  std::vector<Put> out;
  out.reserve(live_records());
  for (const auto& [key, value] : image_) out.push_back({key, value});
  for (const auto& [group, topics] : offsets_) {
    for (const auto& [topic, partitions] : topics) {
      for (const auto& [partition, offset] : partitions) {
        out.push_back({encode_key({RecordKind::kOffset, group, topic, partition}),
                       encode_value(offset)});
      }
    }
  }
  return out;
}

namespace {

ClassicGroup from_stored(const std::string& id, StoredClassicGroup&& stored) {
  ClassicGroup group;
  group.id = id;
  group.state = stored.members.empty() ? ClassicState::kEmpty : ClassicState::kStable;
  group.state_ms = stored.state_ms;
  group.protocol_type = std::move(stored.protocol_type);
  group.protocol_name = std::move(stored.protocol_name);
  group.leader = std::move(stored.leader);
  group.generation = stored.generation;
  for (StoredClassicMember& member : stored.members) {
    if (member.instance) group.instances[*member.instance] = member.id;
    std::string member_id = member.id;
    ClassicMember& made = group.members[member_id];
    static_cast<StoredClassicMember&>(made) = std::move(member);
  }
  return group;
}

}  // namespace

Status Machine::replay(std::string_view key_bytes, std::optional<std::string_view> value) {
  ASSIGN_OR_RETURN(RecordKey key, decode_key(key_bytes));
  if (key.kind == RecordKind::kOffset) {
    if (!value) {
      drop_offset(key.group, key.name, key.partition);
      return {};
    }
    CommittedOffset offset;
    RETURN_IF_ERROR(decode_value(*value, offset));
    set_offset(key.group, key.name, key.partition, offset);
    return {};
  }
  if (value) {
    image_[std::string(key_bytes)] = std::string(*value);
  } else {
    image_.erase(std::string(key_bytes));
  }
  if (key.kind == RecordKind::kClassicGroup) {
    classic_.erase(key.group);
    if (!value) return {};
    StoredClassicGroup stored;
    RETURN_IF_ERROR(decode_value(*value, stored));
    classic_.emplace(key.group, from_stored(key.group, std::move(stored)));
    return {};
  }
  if (key.kind == RecordKind::kConsumerGroup) {
    if (!value) {
      consumer_.erase(key.group);
      return {};
    }
    StoredConsumerGroup stored;
    RETURN_IF_ERROR(decode_value(*value, stored));
    ConsumerGroup& group = consumer_[key.group];
    group.id = key.group;
    group.epoch = stored.epoch;
    group.assignment_epoch = stored.assignment_epoch;
    group.metadata_hash = stored.metadata_hash;
    return {};
  }
  return replay_member(key, value);
}

Status Machine::replay_member(const RecordKey& key, std::optional<std::string_view> value) {
  auto found = consumer_.find(key.group);
  if (found == consumer_.end()) {
    // Its group's record went before it, in the same batch.
    if (!value) return {};
    found = consumer_.emplace(key.group, ConsumerGroup{}).first;
    found->second.id = key.group;
  }
  ConsumerGroup& group = found->second;
  if (key.kind == RecordKind::kTargetAssignment) {
    if (!value) {
      group.target.erase(key.name);
      return {};
    }
    return decode_value(*value, group.target[key.name]);
  }
  if (!value) {
    if (key.kind == RecordKind::kConsumerMember) group.members.erase(key.name);
    return {};
  }
  ConsumerMember& member = group.members[key.name];
  member.id = key.name;
  if (key.kind == RecordKind::kConsumerMember) {
    return decode_value(*value, static_cast<StoredConsumerMember&>(member));
  }
  return decode_value(*value, static_cast<StoredCurrentAssignment&>(member));
}

void Machine::loaded(Now now) {
  for (auto& [id, group] : consumer_) {
    group.instances.clear();
    group.holders.clear();
    for (auto& [member_id, member] : group.members) {
      if (member.instance) group.instances[*member.instance] = member_id;
      hold(group, member, false);
      touch_consumer(group, member, now);
      if (member.state == MemberState::kUnrevoked) {
        timers_.set({TimerKind::kRevocation, id, member_id},
                    now.mono_ms + member.rebalance_timeout_ms);
      }
    }
    group.refresh = true;
  }
  for (auto& [id, group] : classic_) {
    for (auto& [member_id, member] : group.members) touch(group, member, now);
  }
  for (const auto& [id, topics] : offsets_) {
    if (!exists(id)) classic_group(id, now);
  }
}

void Machine::abandon(GroupError why, Effects& fx) {
  for (auto& [id, group] : classic_) {
    for (auto& [member_id, member] : group.members) {
      JoinResult joined;
      joined.error = why;
      joined.member = member_id;
      fx.reply(std::exchange(member.awaiting_join, nullptr), std::move(joined));
      SyncResult synced;
      synced.error = why;
      fx.reply(std::exchange(member.awaiting_sync, nullptr), std::move(synced));
    }
  }
}

void Machine::tick(Now now, Effects& fx) {
  while (auto key = timers_.take_due(now.mono_ms)) {
    if (key->kind == TimerKind::kConsumerMember || key->kind == TimerKind::kRevocation ||
        key->kind == TimerKind::kRejoin) {
      ConsumerGroup* group = consumer_group(key->group);
      if (group && group->members.count(key->member) > 0) {
        evict_consumer(*group, key->member, now, fx);
      }
      continue;
    }
    auto found = classic_.find(key->group);
    if (found == classic_.end()) continue;
    ClassicGroup& group = found->second;
    switch (key->kind) {
      case TimerKind::kSession:
        on_session_timeout(group, key->member, now, fx);
        break;
      case TimerKind::kJoin:
        complete_join(group, now, fx);
        break;
      case TimerKind::kInitialDelay:
        finish_initial_delay(group, now, fx);
        break;
      case TimerKind::kSync:
        on_sync_timeout(group, now, fx);
        break;
      case TimerKind::kConsumerMember:
      case TimerKind::kRevocation:
      case TimerKind::kRejoin:
        break;
    }
  }
}

// Everything of a group that has no members.
void Machine::drop_group(const std::string& group, Effects& fx) {
  auto offsets = offsets_.find(group);
  if (offsets != offsets_.end()) {
    GroupOffsets copy = offsets->second;
    for (const auto& [topic, partitions] : copy) {
      for (const auto& [partition, offset] : partitions) {
        drop_offset(group, topic, partition);
        fx.puts.push_back({encode_key({RecordKind::kOffset, group, topic, partition}),
                           std::nullopt});
      }
    }
  }
  if (auto found = classic_.find(group); found != classic_.end()) {
    for (const auto& member : found->second.pending_join) {
      timers_.cancel({TimerKind::kSession, group, member});
    }
    timers_.cancel({TimerKind::kJoin, group, ""});
    timers_.cancel({TimerKind::kInitialDelay, group, ""});
    timers_.cancel({TimerKind::kSync, group, ""});
    classic_.erase(found);
  }
  consumer_.erase(group);
  erase({RecordKind::kClassicGroup, group, "", 0}, fx);
  erase({RecordKind::kConsumerGroup, group, "", 0}, fx);
}

void Machine::delete_group(const std::string& group, const Reply<DeleteGroupResult>& reply,
                           Effects& fx) {
  DeleteGroupResult result;
  auto classic = classic_.find(group);
  ConsumerGroup* consumer = consumer_group(group);
  if (group.empty()) {
    result.error = GroupError::kInvalidGroupId;
  } else if (classic == classic_.end() && !consumer) {
    result.error = GroupError::kGroupIdNotFound;
  } else if (consumer ? !consumer->members.empty()
                      : classic->second.state != ClassicState::kEmpty) {
    result.error = GroupError::kNonEmptyGroup;
  } else {
    drop_group(group, fx);
  }
  fx.reply(reply, result);
}

std::vector<GroupSummary> Machine::list() const {
  std::vector<GroupSummary> out;
  for (const auto& [id, group] : classic_) {
    out.push_back({id, group.protocol_type.value_or(""), std::string(to_string(group.state)), false});
  }
  for (const auto& [id, group] : consumer_) {
    out.push_back({id, std::string(kConsumerProtocolType), std::string(group.state()), true});
  }
  return out;
}

DescribeResult Machine::describe_classic(const std::string& id) const {
  DescribeResult out;
  out.group = id;
  auto found = classic_.find(id);
  if (found == classic_.end()) {
    out.error = GroupError::kGroupIdNotFound;
    out.state = "Dead";
    out.message = consumer_.count(id) ? "Group " + id + " is not a classic group."
                                      : "Group " + id + " not found.";
    return out;
  }
  const ClassicGroup& group = found->second;
  out.state = to_string(group.state);
  out.protocol_type = group.protocol_type.value_or("");
  // Metadata and assignments mean something only once both are chosen.
  bool stable = group.state == ClassicState::kStable;
  if (stable) out.protocol = group.protocol_name.value_or("");
  for (const auto& [member_id, member] : group.members) {
    DescribedMember& described = out.members.emplace_back();
    described.member = member_id;
    described.instance = member.instance;
    described.client_id = member.client_id;
    described.client_host = member.client_host;
    if (!stable) continue;
    described.metadata = member.metadata(out.protocol);
    described.assignment = member.assignment;
  }
  return out;
}

DescribeResult Machine::describe_consumer(const std::string& id) const {
  DescribeResult out;
  out.group = id;
  auto found = consumer_.find(id);
  if (found == consumer_.end()) {
    out.error = GroupError::kGroupIdNotFound;
    out.state = "Dead";
    out.message = classic_.count(id) ? "Group " + id + " is not a consumer group."
                                     : "Group " + id + " not found.";
    return out;
  }
  const ConsumerGroup& group = found->second;
  out.state = group.state();
  out.epoch = group.epoch;
  out.assignment_epoch = group.assignment_epoch;
  out.protocol = preferred_assignor(group);
  for (const auto& [member_id, member] : group.members) {
    DescribedMember& described = out.members.emplace_back();
    described.member = member_id;
    described.instance = member.instance;
    described.rack = member.rack;
    described.client_id = member.client_id;
    described.client_host = member.client_host;
    described.epoch = member.epoch;
    described.names.assign(member.names.begin(), member.names.end());
    described.regex = member.regex;
    described.classic = member.classic.has_value();
    described.assigned = member.assigned;
    described.target = group.target_of(member_id);
  }
  return out;
}

}  // namespace broker::groups
