// Consumer groups (KIP-848): one heartbeat joins, subscribes, acknowledges and learns. Epochs: the
// group's grows with every change of members, subscriptions or streams; the target assignment
// follows it at once; each member follows the target step by step (reconcile.h).
#include <re2/re2.h>

#include <algorithm>

#include "broker/groups/core/assignor.h"
#include "broker/groups/core/consumer_protocol.h"
#include "broker/groups/core/machine.h"
#include "broker/groups/core/reconcile.h"

namespace broker::groups {
namespace {

constexpr size_t kSubscriptionBytesMax = 1 << 20;  // it is one record
constexpr int32_t kJoin = 0, kLeave = -1, kStaticLeave = -2;

using Request = ConsumerHeartbeatRequest;

struct Refusal {
  GroupError error = GroupError::kNone;
  std::string message;
  explicit operator bool() const { return error != GroupError::kNone; }
};
Refusal invalid(std::string message) { return {GroupError::kInvalidRequest, std::move(message)}; }

Refusal check_pattern(const std::string& pattern) {
  RE2 re(pattern, RE2::Quiet);
  if (re.ok()) return {};
  return {GroupError::kInvalidRegularExpression,
          "SubscribedTopicRegex `" + pattern + "` is not a valid regular expression: " + re.error() +
              "."};
}

Refusal check_request(const Request& r) {
  if (r.group.empty()) return invalid("GroupId can't be empty.");
  if (r.epoch < kStaticLeave) {
    return invalid("MemberEpoch is " + std::to_string(r.epoch) +
                   ", but must be greater than or equal to -2.");
  }
  if (r.member.empty() && (r.epoch != kJoin || r.client_makes_id)) {
    return invalid("MemberId can't be empty.");
  }
  if (r.instance && r.instance->empty()) return invalid("InstanceId can't be empty.");
  if (r.rack && r.rack->empty()) return invalid("RackId can't be empty.");
  if (r.epoch == kStaticLeave && !r.instance) return invalid("InstanceId can't be null.");
  if (r.epoch == kJoin) {
    if (r.rebalance_timeout_ms == -1) {
      return invalid("RebalanceTimeoutMs must be provided in first request.");
    }
    if (!r.owned || !r.owned->empty()) {
      return invalid("TopicPartitions must be empty when (re-)joining.");
    }
    if (!r.names && (!r.regex || r.regex->empty())) {
      return invalid("Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when "
                     "(re-)joining.");
    }
  }
  if (r.assignor && !is_assignor(*r.assignor)) {
    return {GroupError::kUnsupportedAssignor, "ServerAssignor " + *r.assignor +
                                                  " is not supported. Supported assignors: uniform, "
                                                  "range."};
  }
  size_t bytes = r.regex ? r.regex->size() : 0;
  for (const auto& name : r.names.value_or(std::vector<std::string>())) bytes += name.size();
  if (bytes > kSubscriptionBytesMax) return invalid("The subscription is too long.");
  if (r.regex && !r.regex->empty()) return check_pattern(*r.regex);
  return {};
}

Refusal check_epoch(const ConsumerMember& member, const Request& r) {
  if (r.epoch == kJoin || r.epoch == member.epoch) return {};
  if (r.epoch > member.epoch) {
    return {GroupError::kFencedMemberEpoch,
            "The consumer group member has a greater member epoch (" + std::to_string(r.epoch) +
                ") than the one known by the group coordinator (" + std::to_string(member.epoch) +
                "). The member must abandon all its partitions and rejoin."};
  }
  // The answer that carried the new epoch may have been lost.
  if (r.epoch == member.previous_epoch && r.owned && is_subset(*r.owned, member.assigned)) return {};
  return {GroupError::kFencedMemberEpoch,
          "The consumer group member has a smaller member epoch (" + std::to_string(r.epoch) +
              ") than the one known by the group coordinator (" + std::to_string(member.epoch) +
              "). The member must abandon all its partitions and rejoin."};
}

// Everything that a member can say, as after a reconnection: it wants its whole assignment again.
bool is_full(const Request& r) {
  return r.epoch == kJoin || (r.rebalance_timeout_ms != -1 && (r.names || r.regex) && r.owned);
}

void update_from(const Request& r, StoredConsumerMember& member) {
  if (r.instance) member.instance = r.instance;
  if (r.rack) member.rack = r.rack;
  if (r.assignor) member.assignor = r.assignor;
  if (r.regex) member.regex = *r.regex;
  if (r.rebalance_timeout_ms != -1) member.rebalance_timeout_ms = r.rebalance_timeout_ms;
  if (r.names) member.names = {r.names->begin(), r.names->end()};
  member.client_id = r.client_id;
  member.client_host = r.client_host;
  member.classic.reset();
}

bool same_subscription(const StoredConsumerMember& a, const StoredConsumerMember& b) {
  return a.names == b.names && a.regex == b.regex && a.assignor == b.assignor;
}

}  // namespace

ConsumerGroup* Machine::consumer_group(const std::string& id) {
  auto found = consumer_.find(id);
  return found == consumer_.end() ? nullptr : &found->second;
}

// --- Records -------------------------------------------------------------------------------------

void Machine::put_group(ConsumerGroup& group, Effects& fx) {
  StoredConsumerGroup stored{group.epoch, group.assignment_epoch, group.metadata_hash};
  put({RecordKind::kConsumerGroup, group.id, "", 0}, encode_value(stored), fx);
}

void Machine::put_member(ConsumerGroup& group, const ConsumerMember& member, Effects& fx) {
  ConsumerMember& kept = group.members[member.id];
  kept.id = member.id;
  if (kept.instance && kept.instance != member.instance) group.instances.erase(*kept.instance);
  static_cast<StoredConsumerMember&>(kept) = member;
  if (member.instance) group.instances[*member.instance] = member.id;
  put({RecordKind::kConsumerMember, group.id, member.id, 0},
      encode_value(static_cast<const StoredConsumerMember&>(member)), fx);
}

void Machine::put_current(ConsumerGroup& group, const ConsumerMember& member, Effects& fx) {
  ConsumerMember& kept = group.members[member.id];
  hold(group, kept, true);
  static_cast<StoredCurrentAssignment&>(kept) = member;
  hold(group, kept, false);
  put({RecordKind::kCurrentAssignment, group.id, member.id, 0},
      encode_value(static_cast<const StoredCurrentAssignment&>(member)), fx);
}

void Machine::put_target(ConsumerGroup& group, const std::string& member, Assignment target,
                         Effects& fx) {
  put({RecordKind::kTargetAssignment, group.id, member, 0}, encode_value(target), fx);
  group.target[member] = std::move(target);
}

void Machine::hold(ConsumerGroup& group, const StoredCurrentAssignment& part, bool release) {
  for (const Assignment* partitions : {&part.assigned, &part.revoking}) {
    for (const auto& [topic, indexes] : *partitions) {
      auto& held = group.holders[topic];
      for (int32_t index : indexes) {
        if (release) {
          held.erase(index);
        } else {
          held[index] = part.epoch;
        }
      }
      if (held.empty()) group.holders.erase(topic);
    }
  }
}

void Machine::remove_consumer(ConsumerGroup& group, const std::string& id, Effects& fx) {
  auto found = group.members.find(id);
  if (found == group.members.end()) return;
  hold(group, found->second, true);
  if (found->second.instance) {
    auto owner = group.instances.find(*found->second.instance);
    if (owner != group.instances.end() && owner->second == id) group.instances.erase(owner);
  }
  for (TimerKind kind : {TimerKind::kConsumerMember, TimerKind::kRevocation, TimerKind::kRejoin}) {
    timers_.cancel({kind, group.id, id});
  }
  group.members.erase(found);
  group.target.erase(id);
  erase({RecordKind::kCurrentAssignment, group.id, id, 0}, fx);
  erase({RecordKind::kTargetAssignment, group.id, id, 0}, fx);
  erase({RecordKind::kConsumerMember, group.id, id, 0}, fx);
}

// A member that left or fell silent: the others' next heartbeats share what it had.
void Machine::evict_consumer(ConsumerGroup& group, const std::string& id, Now now, Effects& fx) {
  remove_consumer(group, id, fx);
  ++group.epoch;
  ++counts_.rebalances;
  put_group(group, fx);
  downgrade_if_due(group.id, now, fx);
}

// --- What there is to read ---------------------------------------------------------------------------

std::set<std::string> Machine::topics_of(const StoredConsumerMember& member) {
  std::set<std::string> topics = member.names;
  if (member.regex.empty()) return topics;
  auto [it, is_new] = regex_matches_.try_emplace(member.regex);
  if (is_new) {
    RE2 re(member.regex, RE2::Quiet);
    for (const std::string& name : topics_.names()) {
      if (re.ok() && RE2::FullMatch(name, re)) it->second.insert(name);
    }
  }
  topics.insert(it->second.begin(), it->second.end());
  return topics;
}

// A closed shard that the group has read to its end. The consumer's position may stand before or
// after the seal, which takes one offset and carries no record.
bool Machine::finished(const std::string& group, const Topic& topic, const TopicShard& shard) const {
  if (shard.closed_end <= 0) return false;
  if (shard.closed_end == 1) return true;  // closed before anything was written
  auto topics = offsets_.find(group);
  if (topics == offsets_.end()) return false;
  auto partitions = topics->second.find(topic.name);
  if (partitions == topics->second.end()) return false;
  auto committed = partitions->second.find(shard.index);
  return committed != partitions->second.end() &&
         committed->second.offset >= shard.closed_end - 1;
}

// Of an elastic stream: shards whose parents are read to their ends, so that the order of keys
// holds, and which are not read to the end themselves.
std::set<int32_t> Machine::assignable(const std::string& group, const Topic& topic) const {
  std::set<int32_t> out;
  for (const TopicShard& shard : topic.shards) {
    bool ready = !topic.elastic || !finished(group, topic, shard);
    for (int32_t parent : shard.parents) {
      auto found = std::find_if(topic.shards.begin(), topic.shards.end(),
                                [&](const TopicShard& s) { return s.index == parent; });
      // A parent that is gone was dropped by retention.
      if (found != topic.shards.end()) ready &= finished(group, topic, *found);
    }
    if (ready) out.insert(shard.index);
  }
  return out;
}

// FNV-1a over what the group's members subscribe to and what of it there is.
uint64_t Machine::metadata_hash(ConsumerGroup& group) {
  uint64_t hash = 0xcbf29ce484222325;
  auto mix = [&](uint64_t value) {
    for (int i = 0; i < 8; ++i) hash = (hash ^ ((value >> (8 * i)) & 0xff)) * 0x100000001b3;
  };
  std::set<std::string> names;
  for (const auto& [id, member] : group.members) names.merge(topics_of(member));
  for (const std::string& name : names) {
    auto topic = topics_.find(name);
    if (!topic) continue;
    for (uint8_t byte : topic->id.bytes) mix(byte);
    for (int32_t index : assignable(group.id, *topic)) mix(static_cast<uint64_t>(index));
  }
  return hash;
}

std::string Machine::preferred_assignor(const ConsumerGroup& group) const {
  std::map<std::string, size_t> votes;
  for (const auto& [id, member] : group.members) {
    if (member.assignor) ++votes[*member.assignor];
  }
  auto best = std::max_element(votes.begin(), votes.end(), [](const auto& a, const auto& b) {
    return a.second < b.second;
  });
  return best == votes.end() ? std::string(kUniform) : best->first;
}

void Machine::assign(ConsumerGroup& group, Effects& fx) {
  std::vector<AssignorMember> members;
  AssignablePartitions partitions;
  std::map<std::string, std::optional<Uuid>> known;
  for (const auto& [id, member] : group.members) {
    AssignorMember& m = members.emplace_back();
    m.id = id;
    m.instance = member.instance;
    m.current = group.target_of(id);
    for (const std::string& name : topics_of(member)) {
      auto [it, is_new] = known.try_emplace(name);
      if (is_new) {
        if (auto topic = topics_.find(name)) {
          it->second = topic->id;
          partitions[topic->id] = assignable(group.id, *topic);
        }
      }
      if (it->second) m.topics.insert(*it->second);
    }
  }
  for (auto& [id, target] : groups::assign(preferred_assignor(group), members, partitions)) {
    put_target(group, id, std::move(target), fx);
  }
  group.assignment_epoch = group.epoch;
}

// --- Heartbeats ------------------------------------------------------------------------------------

void Machine::touch_consumer(const ConsumerGroup& group, const ConsumerMember& member, Now now) {
  int32_t session_ms = member.classic ? member.classic->session_timeout_ms
                                      : settings_.consumer_session_timeout_ms;
  timers_.set({TimerKind::kConsumerMember, group.id, member.id}, now.mono_ms + session_ms);
}

ConsumerMember Machine::advance(ConsumerGroup& group, ConsumerMember member,
                                bool subscription_changed, const std::optional<Assignment>& owned,
                                Now now, Effects& fx) {
  put_member(group, member, fx);
  bool changed = subscription_changed;
  if (changed || group.refresh) {
    uint64_t hash = metadata_hash(group);
    changed |= hash != group.metadata_hash;
    group.metadata_hash = hash;
    group.refresh = false;
  }
  if (changed) {
    ++group.epoch;
    ++counts_.rebalances;
  }
  if (group.epoch > group.assignment_epoch) assign(group, fx);
  put_group(group, fx);
  bool was_revoking = member.state == MemberState::kUnrevoked;
  int32_t epoch_before = member.epoch;
  static_cast<StoredCurrentAssignment&>(member) = reconcile(group, member, owned);
  put_current(group, member, fx);
  TimerKey revocation{TimerKind::kRevocation, group.id, member.id};
  if (member.state != MemberState::kUnrevoked) {
    timers_.cancel(revocation);
  } else if (!was_revoking || member.epoch != epoch_before || !timers_.has(revocation)) {
    timers_.set(revocation, now.mono_ms + member.rebalance_timeout_ms);
  }
  touch_consumer(group, member, now);
  return member;
}

void Machine::consumer_heartbeat(const Request& r, Now now,
                                 const Reply<ConsumerHeartbeatResult>& reply, Effects& fx) {
  auto fail = [&](GroupError error, std::string message) {
    ConsumerHeartbeatResult result;
    result.error = error;
    result.message = std::move(message);
    fx.reply(reply, std::move(result));
  };
  if (Refusal refusal = check_request(r)) return fail(refusal.error, refusal.message);
  if (r.epoch < 0) return consumer_leave(r, now, reply, fx);
  if (auto classic = classic_.find(r.group); classic != classic_.end()) {
    if (r.epoch != kJoin || !can_upgrade(classic->second)) {
      return fail(GroupError::kGroupIdNotFound, "Group " + r.group + " is not a consumer group.");
    }
    upgrade(classic->second, now, fx);
  }
  ConsumerGroup* group = consumer_group(r.group);
  if (!group) {
    if (r.epoch != kJoin) {
      return fail(GroupError::kGroupIdNotFound, "Consumer group " + r.group + " not found.");
    }
    group = &consumer_[r.group];
    group->id = r.group;
  }
  std::string id = r.member.empty() ? new_id_().to_string() : r.member;
  auto known = group->members.find(id);
  bool is_new = known == group->members.end();
  if (is_new && r.epoch != kJoin) {
    return fail(GroupError::kUnknownMemberId, "Member " + id + " is not a member of group " +
                                                  r.group + ".");
  }
  ConsumerMember member;
  if (!is_new) member = known->second;
  member.id = id;
  auto owner = r.instance ? group->instances.find(*r.instance) : group->instances.end();
  bool replaces = owner != group->instances.end() && owner->second != id;
  if (r.instance && r.epoch != kJoin && (replaces || owner == group->instances.end())) {
    return replaces ? fail(GroupError::kFencedInstanceId,
                           "Static member " + id + " with instance id " + *r.instance +
                               " was fenced by member " + owner->second + ".")
                    : fail(GroupError::kUnknownMemberId, "Instance id " + *r.instance +
                                                             " is unknown.");
  }
  if (!is_new) {
    if (Refusal refusal = check_epoch(member, r)) return fail(refusal.error, refusal.message);
  }
  bool changed = is_new;
  if (replaces) {
    // A static member is back under a new id, if the one before said that it would be.
    const ConsumerMember before = group->members.at(owner->second);
    if (before.epoch != kStaticLeave) {
      return fail(GroupError::kUnreleasedInstanceId,
                  "Static member " + id + " with instance id " + *r.instance +
                      " cannot join the group because the instance id is owned by " + before.id +
                      " member.");
    }
    Assignment target = group->target_of(before.id);
    remove_consumer(*group, before.id, fx);
    member = before;
    member.id = id;
    member.epoch = 0;
    put_target(*group, id, std::move(target), fx);
    changed = false;
  } else if (is_new && group->members.size() >= static_cast<size_t>(settings_.group_size_max)) {
    return fail(GroupError::kGroupMaxSizeReached,
                "The consumer group has reached its maximum capacity of " +
                    std::to_string(settings_.group_size_max) + " members.");
  } else if (r.epoch == kJoin && !is_new) {
    // It has given everything up and begins anew.
    static_cast<StoredCurrentAssignment&>(member) = {};
    put_current(*group, member, fx);
  }
  StoredConsumerMember before = member;
  Assignment assigned_before = member.assigned;
  update_from(r, member);
  changed |= !same_subscription(before, member);
  member = advance(*group, std::move(member), changed, r.owned, now, fx);
  ConsumerHeartbeatResult result;
  result.member = member.id;
  result.epoch = member.epoch;
  result.heartbeat_ms = settings_.consumer_heartbeat_ms;
  if (is_full(r) || member.assigned != assigned_before) result.assignment = member.assigned;
  fx.reply(reply, std::move(result));
}

void Machine::consumer_leave(const Request& r, Now now, const Reply<ConsumerHeartbeatResult>& reply,
                             Effects& fx) {
  ConsumerHeartbeatResult result;
  result.member = r.member;
  result.epoch = r.epoch;
  ConsumerGroup* group = consumer_group(r.group);
  auto owner = group && r.instance ? group->instances.find(*r.instance)
                                   : std::map<std::string, std::string>::iterator();
  if (!group) {
    result.error = GroupError::kGroupIdNotFound;
    result.message = "Consumer group " + r.group + " not found.";
  } else if (r.instance && owner == group->instances.end()) {
    result.error = GroupError::kUnknownMemberId;
    result.message = "Instance id " + *r.instance + " is unknown.";
  } else if (r.instance && owner->second != r.member) {
    result.error = GroupError::kFencedInstanceId;
    result.message = "Static member " + r.member + " with instance id " + *r.instance +
                     " was fenced by member " + owner->second + ".";
  } else if (group->members.count(r.member) == 0) {
    result.error = GroupError::kUnknownMemberId;
    result.message = "Member " + r.member + " is not a member of group " + r.group + ".";
  } else if (r.epoch == kStaticLeave) {
    // It will be back: its partitions stay until its session ends.
    ConsumerMember member = group->members.at(r.member);
    member.epoch = kStaticLeave;
    put_current(*group, member, fx);
  } else {
    evict_consumer(*group, r.member, now, fx);
  }
  fx.reply(reply, std::move(result));
}

void Machine::on_topics_changed() {
  regex_matches_.clear();
  for (auto& [id, group] : consumer_) group.refresh = true;
}

}  // namespace broker::groups
