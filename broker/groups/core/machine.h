#pragma once
// All groups of one partition of the coordinators' stream, as a state machine: every call takes the
// time and a request, changes the state, and returns records to append and answers to give once
// they are committed. No clock, no I/O. Groups (../groups.h) drives it on the reactor; when a record
// cannot be appended, the driver drops the machine and replays the log into a new one.
// Invariant: replaying the records of every step gives what is persistent of the state.
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "broker/groups/core/consumer_protocol.h"
#include "broker/groups/core/state.h"
#include "broker/groups/core/timers.h"
#include "broker/groups/core/topics.h"
#include "broker/groups/core/types.h"

namespace broker::groups {

class Machine {
 public:
  // `new_id` makes ids of members. All outlive the machine.
  Machine(const Settings& settings, const Topics& topics, std::function<Uuid()> new_id);

  // --- Loading ---
  Status replay(std::string_view key, std::optional<std::string_view> value);
  // After the last record: sessions start anew.
  void loaded(Now now);
  // Every live record: replayed into an empty machine they give this one's state.
  std::vector<Put> snapshot() const;
  size_t live_records() const { return image_.size() + offset_count_; }
  // Answers everyone who waits; the machine is not used afterwards.
  void abandon(GroupError why, Effects& fx);

  // --- Classic protocol ---
  void join(JoinRequest request, Now now, const Reply<JoinResult>& reply, Effects& fx);
  void sync(SyncRequest request, Now now, const Reply<SyncResult>& reply, Effects& fx);
  void heartbeat(const HeartbeatRequest& request, Now now, const Reply<HeartbeatResult>& reply,
                 Effects& fx);
  void leave(LeaveRequest request, Now now, const Reply<LeaveResult>& reply, Effects& fx);

  // --- KIP-848 ---
  void consumer_heartbeat(const ConsumerHeartbeatRequest& request, Now now,
                          const Reply<ConsumerHeartbeatResult>& reply, Effects& fx);

  // --- Offsets ---
  void commit(CommitRequest request, Now now, const Reply<CommitResult>& reply, Effects& fx);
  void fetch(const FetchOffsetsRequest& request, const Reply<FetchOffsetsResult>& reply,
             Effects& fx) const;
  void delete_offsets(const DeleteOffsetsRequest& request, const Reply<DeleteOffsetsResult>& reply,
                      Effects& fx);

  // --- Administration ---
  void delete_group(const std::string& group, const Reply<DeleteGroupResult>& reply, Effects& fx);
  std::vector<GroupSummary> list() const;
  DescribeResult describe_classic(const std::string& group) const;
  DescribeResult describe_consumer(const std::string& group) const;
  // Every offset committed here.
  using GroupOffsets = std::map<std::string, std::map<int32_t, CommittedOffset>>;
  const std::map<std::string, GroupOffsets>& offsets() const { return offsets_; }

  // --- Time and streams ---
  std::optional<int64_t> next_deadline() const { return timers_.next(); }
  // Runs the timers that are due.
  void tick(Now now, Effects& fx);
  // Drops offsets that nobody wants any more, and groups without any.
  void expire(Now now, Effects& fx);
  // These streams have changed (shards, names); these are gone.
  void on_topics_changed();
  void on_topic_deleted(const std::string& name, const Uuid& id, Effects& fx);

  struct Counts {
    uint64_t rebalances = 0, commits = 0;
  };
  const Counts& counts() const { return counts_; }

 private:
  // machine.cc
  void put(const RecordKey& key, std::string value, Effects& fx);
  void erase(const RecordKey& key, Effects& fx);
  void drop_group(const std::string& group, Effects& fx);
  bool exists(const std::string& group) const;
  Status replay_member(const RecordKey& key, std::optional<std::string_view> value);

  // classic.cc
  struct Joining;
  ClassicGroup& classic_group(const std::string& id, Now now);
  GroupError check_classic_member(const ClassicGroup& group, const std::string& member,
                                  const std::optional<std::string>& instance) const;
  bool has_room(const ClassicGroup& group, const std::string& member) const;
  void join_new(ClassicGroup& group, const Joining& j);
  void join_existing(ClassicGroup& group, const Joining& j);
  void add_member(ClassicGroup& group, const std::string& id, const Joining& j);
  void update_member(ClassicGroup& group, ClassicMember& member, const Joining& j);
  void replace_static_member(ClassicGroup& group, const std::string& old_id,
                             const std::string& new_id, const Joining& j);
  void set_state(ClassicGroup& group, ClassicState state, Now now);
  void rebalance_or_complete(ClassicGroup& group, Now now, Effects& fx);
  void prepare_rebalance(ClassicGroup& group, Now now, Effects& fx);
  void complete_join_if_ready(ClassicGroup& group, Now now, Effects& fx);
  void complete_join(ClassicGroup& group, Now now, Effects& fx);
  void answer_joined(ClassicGroup& group, ClassicMember& member, Effects& fx);
  bool elect_joined_leader(ClassicGroup& group);
  void finish_initial_delay(ClassicGroup& group, Now now, Effects& fx);
  void on_sync_timeout(ClassicGroup& group, Now now, Effects& fx);
  void on_session_timeout(ClassicGroup& group, const std::string& member, Now now, Effects& fx);
  void remove_member(ClassicGroup& group, const std::string& member, Effects& fx);
  void touch(ClassicGroup& group, const ClassicMember& member, Now now);
  void propagate_assignment(ClassicGroup& group, GroupError error, Now now, Effects& fx);
  void put_classic(ClassicGroup& group, Effects& fx);

  // consumer.cc
  ConsumerGroup* consumer_group(const std::string& id);
  void consumer_leave(const ConsumerHeartbeatRequest& request, Now now,
                      const Reply<ConsumerHeartbeatResult>& reply, Effects& fx);
  void put_group(ConsumerGroup& group, Effects& fx);
  void put_member(ConsumerGroup& group, const ConsumerMember& member, Effects& fx);
  void put_current(ConsumerGroup& group, const ConsumerMember& member, Effects& fx);
  void put_target(ConsumerGroup& group, const std::string& member, Assignment target, Effects& fx);
  void remove_consumer(ConsumerGroup& group, const std::string& member, Effects& fx);
  void hold(ConsumerGroup& group, const StoredCurrentAssignment& part, bool release);
  void evict_consumer(ConsumerGroup& group, const std::string& member, Now now, Effects& fx);
  std::set<std::string> topics_of(const StoredConsumerMember& member);
  std::set<int32_t> assignable(const std::string& group, const Topic& topic) const;
  uint64_t metadata_hash(ConsumerGroup& group);
  // Brings epoch, target and the member's own assignment up to date; the member's new state.
  ConsumerMember advance(ConsumerGroup& group, ConsumerMember member, bool subscription_changed,
                         const std::optional<Assignment>& owned, Now now, Effects& fx);
  void assign(ConsumerGroup& group, Effects& fx);
  // What most members ask for.
  std::string preferred_assignor(const ConsumerGroup& group) const;
  void touch_consumer(const ConsumerGroup& group, const ConsumerMember& member, Now now);
  bool finished(const std::string& group, const Topic& topic, const TopicShard& shard) const;

  // migration.cc
  bool can_upgrade(const ClassicGroup& group) const;
  ConsumerGroup& upgrade(ClassicGroup& group, Now now, Effects& fx);
  void downgrade_if_due(std::string group, Now now, Effects& fx);
  void classic_join_consumer(ConsumerGroup& group, JoinRequest request, Now now,
                             const Reply<JoinResult>& reply, Effects& fx);
  void classic_sync_consumer(ConsumerGroup& group, const SyncRequest& request, Now now,
                             const Reply<SyncResult>& reply, Effects& fx);
  GroupError classic_heartbeat_consumer(ConsumerGroup& group, const HeartbeatRequest& request,
                                        Now now, Effects& fx);
  void classic_leave_consumer(ConsumerGroup& group, LeaveRequest request, Now now,
                              const Reply<LeaveResult>& reply, Effects& fx);
  GroupError check_classic_part(const ConsumerGroup& group, const std::string& member,
                                const std::optional<std::string>& instance) const;
  NamedAssignment named(const Assignment& assignment) const;

  // offsets.cc
  GroupError may_commit(const CommitRequest& request, Now now);
  void set_offset(const std::string& group, const std::string& topic, int32_t partition,
                  const CommittedOffset& offset);
  bool drop_offset(const std::string& group, const std::string& topic, int32_t partition);
  bool offset_expired(const std::string& group, const std::string& topic,
                      const CommittedOffset& offset, Now now);
  std::optional<std::set<std::string>> subscribed_topics(const std::string& group);

  const Settings& settings_;
  const Topics& topics_;
  std::function<Uuid()> new_id_;
  std::map<std::string, ClassicGroup> classic_;
  std::map<std::string, ConsumerGroup> consumer_;
  std::map<std::string, GroupOffsets> offsets_;
  size_t offset_count_ = 0;
  std::map<std::string, std::string> image_;  // live records but offsets, as they were written
  Timers timers_;
  Counts counts_;
  // What patterns match, until streams come or go.
  std::map<std::string, std::set<std::string>> regex_matches_;
};

}  // namespace broker::groups
