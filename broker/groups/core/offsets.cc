// Committed offsets: who may commit, what is kept, and when it is dropped.
#include <algorithm>

#include "broker/groups/core/consumer_protocol.h"
#include "broker/groups/core/machine.h"

namespace broker::groups {
namespace {

constexpr int16_t kMemberEpochVersionMin = 9;  // of OffsetCommit

}  // namespace

void Machine::set_offset(const std::string& group, const std::string& topic, int32_t partition,
                         const CommittedOffset& offset) {
  auto& partitions = offsets_[group][topic];
  offset_count_ += partitions.insert_or_assign(partition, offset).second ? 1 : 0;
}

bool Machine::drop_offset(const std::string& group, const std::string& topic, int32_t partition) {
  auto topics = offsets_.find(group);
  if (topics == offsets_.end()) return false;
  auto partitions = topics->second.find(topic);
  if (partitions == topics->second.end() || partitions->second.erase(partition) == 0) return false;
  --offset_count_;
  if (partitions->second.empty()) topics->second.erase(partitions);
  if (topics->second.empty()) offsets_.erase(topics);
  return true;
}

// Whether the request comes from a member of the current generation or epoch, or from somebody who
// manages offsets of a group without members.
GroupError Machine::may_commit(const CommitRequest& request, Now now) {
  bool anonymous = request.generation < 0;
  if (ConsumerGroup* group = consumer_group(request.group)) {
    if (anonymous && group->members.empty()) return GroupError::kNone;
    auto found = group->members.find(request.member);
    if (found == group->members.end()) return GroupError::kUnknownMemberId;
    const ConsumerMember& member = found->second;
    if (member.classic) {
      GroupError error = check_classic_part(*group, request.member, request.instance);
      if (error != GroupError::kNone) return error;
      if (request.generation != member.epoch) return GroupError::kIllegalGeneration;
      touch_consumer(*group, member, now);
      return GroupError::kNone;
    }
    if (request.version < kMemberEpochVersionMin) return GroupError::kUnsupportedVersion;
    return request.generation == member.epoch ? GroupError::kNone : GroupError::kStaleMemberEpoch;
  }
  auto found = classic_.find(request.group);
  if (found == classic_.end()) {
    if (anonymous) return GroupError::kNone;
    return request.version >= kMemberEpochVersionMin ? GroupError::kGroupIdNotFound
                                                     : GroupError::kIllegalGeneration;
  }
  ClassicGroup& group = found->second;
  if (anonymous && group.state == ClassicState::kEmpty) return GroupError::kNone;
  if (anonymous && request.member.empty() && !request.instance) {
    return GroupError::kUnknownMemberId;
  }
  GroupError error = check_classic_member(group, request.member, request.instance);
  if (error != GroupError::kNone) return error;
  if (request.generation != group.generation) return GroupError::kIllegalGeneration;
  if (group.state == ClassicState::kCompletingRebalance) return GroupError::kRebalanceInProgress;
  touch(group, group.members.at(request.member), now);
  return GroupError::kNone;
}

void Machine::commit(CommitRequest request, Now now, const Reply<CommitResult>& reply,
                     Effects& fx) {
  CommitResult result;
  result.error = may_commit(request, now);
  if (result.error != GroupError::kNone) return fx.reply(reply, std::move(result));
  if (!exists(request.group)) classic_group(request.group, now);
  ConsumerGroup* consumer = consumer_group(request.group);
  for (CommitItem& item : request.items) {
    GroupError error = item.error;
    if (error == GroupError::kNone &&
        item.metadata.size() > static_cast<size_t>(settings_.offset_metadata_bytes_max)) {
      error = GroupError::kOffsetMetadataTooLarge;
    }
    result.items.push_back(error);
    if (error != GroupError::kNone) continue;
    CommittedOffset offset{item.offset, item.leader_epoch, std::move(item.metadata), now.wall_ms,
                           request.retention_ms >= 0 ? now.wall_ms + request.retention_ms : -1,
                           item.topic_id};
    fx.puts.push_back({encode_key({RecordKind::kOffset, request.group, item.topic, item.partition}),
                       encode_value(offset)});
    set_offset(request.group, item.topic, item.partition, offset);
    ++counts_.commits;
    // Its children may be given out now: the next heartbeat looks.
    if (consumer && !consumer->refresh) {
      auto topic = topics_.find(item.topic);
      consumer->refresh = topic && topic->elastic;
    }
  }
  fx.reply(reply, std::move(result));
}

void Machine::fetch(const FetchOffsetsRequest& request, const Reply<FetchOffsetsResult>& reply,
                    Effects& fx) const {
  FetchOffsetsResult result;
  auto consumer = consumer_.find(request.group);
  bool as_member = (request.member && !request.member->empty()) || request.epoch >= 0;
  if (consumer != consumer_.end() && as_member) {
    auto member = consumer->second.members.find(request.member.value_or(""));
    if (member == consumer->second.members.end()) {
      result.error = GroupError::kUnknownMemberId;
    } else if (!member->second.classic && member->second.epoch != request.epoch) {
      result.error = GroupError::kStaleMemberEpoch;
    }
    if (result.error != GroupError::kNone) return fx.reply(reply, std::move(result));
  }
  static const GroupOffsets none;
  auto found = offsets_.find(request.group);
  const GroupOffsets& offsets = found == offsets_.end() ? none : found->second;
  if (!request.topics) {
    for (const auto& [topic, partitions] : offsets) {
      for (const auto& [partition, offset] : partitions) {
        result.offsets.push_back({topic, partition, offset});
      }
    }
    return fx.reply(reply, std::move(result));
  }
  for (const TopicPartitions& asked : *request.topics) {
    auto topic = offsets.find(asked.topic);
    for (int32_t partition : asked.partitions) {
      FetchedOffset& fetched = result.offsets.emplace_back();
      fetched.topic = asked.topic;
      fetched.partition = partition;
      if (topic == offsets.end()) continue;
      auto committed = topic->second.find(partition);
      if (committed != topic->second.end()) fetched.committed = committed->second;
    }
  }
  fx.reply(reply, std::move(result));
}

void Machine::delete_offsets(const DeleteOffsetsRequest& request,
                             const Reply<DeleteOffsetsResult>& reply, Effects& fx) {
  DeleteOffsetsResult result;
  auto classic = classic_.find(request.group);
  ConsumerGroup* consumer = consumer_group(request.group);
  if (classic == classic_.end() && !consumer) {
    result.error = GroupError::kGroupIdNotFound;
  } else if (!consumer && classic->second.state != ClassicState::kEmpty &&
             !classic->second.uses_consumer_protocol()) {
    result.error = GroupError::kNonEmptyGroup;
  }
  if (result.error != GroupError::kNone) return fx.reply(reply, std::move(result));
  auto subscribed = subscribed_topics(request.group).value_or(std::set<std::string>());
  for (const TopicPartitions& asked : request.topics) {
    bool in_use = subscribed.count(asked.topic) > 0;
    result.topics[asked.topic] =
        in_use ? GroupError::kGroupSubscribedToTopic : GroupError::kNone;
    for (int32_t partition : asked.partitions) {
      if (in_use || !drop_offset(request.group, asked.topic, partition)) continue;
      fx.puts.push_back({encode_key({RecordKind::kOffset, request.group, asked.topic, partition}),
                         std::nullopt});
    }
  }
  fx.reply(reply, std::move(result));
}

// --- Expiry --------------------------------------------------------------------------------------

// What the group's members read; none when that cannot be told.
std::optional<std::set<std::string>> Machine::subscribed_topics(const std::string& id) {
  if (ConsumerGroup* group = consumer_group(id)) {
    std::set<std::string> topics;
    for (const auto& [member_id, member] : group->members) topics.merge(topics_of(member));
    return topics;
  }
  auto found = classic_.find(id);
  if (found == classic_.end()) return std::nullopt;
  return found->second.subscribed_topics();
}

// KIP-211: offsets live while a member reads the topic; else their time runs from when the group
// became empty (members that subscribed) or from the commit (everybody else).
bool Machine::offset_expired(const std::string& id, const std::string& topic,
                             const CommittedOffset& offset, Now now) {
  if (offset.expire_ms >= 0) return now.wall_ms >= offset.expire_ms;
  int64_t since_ms = offset.commit_ms;
  auto classic = classic_.find(id);
  if (classic != classic_.end()) {
    const ClassicGroup& group = classic->second;
    bool rebalancing = group.state == ClassicState::kPreparingRebalance ||
                       group.state == ClassicState::kCompletingRebalance;
    if (rebalancing) return false;
    if (group.protocol_type) {
      if (group.state == ClassicState::kEmpty) {
        since_ms = std::max(since_ms, group.state_ms);
      } else {
        auto subscribed = group.subscribed_topics();
        if (!subscribed || subscribed->count(topic)) return false;
      }
    }
  } else {
    auto subscribed = subscribed_topics(id);
    if (subscribed && subscribed->count(topic)) return false;
  }
  return now.wall_ms - since_ms >= settings_.offsets_retention_ms;
}

void Machine::expire(Now now, Effects& fx) {
  auto all = offsets_;
  for (const auto& [id, topics] : all) {
    for (const auto& [topic, partitions] : topics) {
      auto current = topics_.find(topic);
      for (const auto& [partition, offset] : partitions) {
        // Deleted while its coordinator was away, perhaps made anew under its name since.
        bool deleted = !offset.topic_id.is_zero() && (!current || current->id != offset.topic_id);
        if (!deleted && !offset_expired(id, topic, offset, now)) continue;
        drop_offset(id, topic, partition);
        fx.puts.push_back({encode_key({RecordKind::kOffset, id, topic, partition}), std::nullopt});
      }
    }
  }
  std::vector<std::string> idle;
  for (const auto& [id, group] : classic_) {
    if (group.state == ClassicState::kEmpty && group.pending_join.empty() && !offsets_.count(id)) {
      idle.push_back(id);
    }
  }
  for (const auto& [id, group] : consumer_) {
    if (group.members.empty() && !offsets_.count(id)) idle.push_back(id);
  }
  for (const auto& id : idle) drop_group(id, fx);
}

void Machine::on_topic_deleted(const std::string& name, const Uuid& id, Effects& fx) {
  auto all = offsets_;
  for (const auto& [group, topics] : all) {
    auto found = topics.find(name);
    if (found == topics.end()) continue;
    for (const auto& [partition, offset] : found->second) {
      if (!offset.topic_id.is_zero() && offset.topic_id != id) continue;
      drop_offset(group, name, partition);
      fx.puts.push_back({encode_key({RecordKind::kOffset, group, name, partition}), std::nullopt});
    }
  }
  on_topics_changed();
}

}  // namespace broker::groups
