#pragma once
// The groups that a machine holds: classic ones (JoinGroup, SyncGroup) and consumer groups
// (KIP-848). Data with the questions that it answers about itself; what happens to it is in the
// machine's files.
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "broker/groups/core/format.h"
#include "broker/groups/core/types.h"

namespace broker::groups {

enum class ClassicState { kEmpty, kPreparingRebalance, kCompletingRebalance, kStable };
std::string_view to_string(ClassicState state);

struct ClassicMember : StoredClassicMember {
  Reply<JoinResult> awaiting_join;
  Reply<SyncResult> awaiting_sync;
  bool is_new = false;

  const std::string& metadata(std::string_view protocol) const;
};

struct ClassicGroup {
  std::string id;
  ClassicState state = ClassicState::kEmpty;
  int64_t state_ms = 0;  // wall time of the last change of state
  std::optional<std::string> protocol_type, protocol_name, leader;
  int32_t generation = 0;
  std::map<std::string, ClassicMember> members;
  std::map<std::string, std::string> instances;  // group.instance.id → member
  std::set<std::string> pending_join;            // told their id, not joined yet (KIP-394)
  std::set<std::string> pending_sync;
  // Set while the initial delay runs; what is left of it, and whether someone came meanwhile.
  std::optional<int32_t> initial_delay_left_ms;
  bool new_member_came = false;

  bool is_leader(const std::string& member) const { return leader == member; }
  bool uses_consumer_protocol() const;
  size_t awaiting_join_count() const;
  bool all_joined() const { return awaiting_join_count() == members.size() && pending_join.empty(); }
  int32_t rebalance_timeout_ms() const;
  size_t metadata_bytes() const;
  bool supports(const std::string& type, const std::vector<Protocol>& protocols) const;
  // By votes among what all members support.
  std::optional<std::string> select_protocol() const;
  // With the chosen protocol's metadata, for the leader.
  std::vector<JoinedMember> joined_members() const;
  // None when the group's metadata is not a consumer's.
  std::optional<std::set<std::string>> subscribed_topics() const;
  StoredClassicGroup stored() const;
};

struct ConsumerMember : StoredConsumerMember, StoredCurrentAssignment {
  std::string id;
  bool operator==(const ConsumerMember&) const = default;
};

struct ConsumerGroup {
  std::string id;
  int32_t epoch = 0, assignment_epoch = 0;
  uint64_t metadata_hash = 0;
  std::map<std::string, ConsumerMember> members;
  std::map<std::string, std::string> instances;
  std::map<std::string, Assignment> target;
  // Who has a partition, assigned or still to be revoked: the epoch it was given in.
  std::map<Uuid, std::map<int32_t, int32_t>> holders;
  bool refresh = true;  // streams may have changed since the hash was taken

  std::string_view state() const;
  int32_t holder_epoch(const Uuid& topic, int32_t partition) const;
  const Assignment& target_of(const std::string& member) const;
};

bool contains(const Assignment& assignment, const Uuid& topic, int32_t partition);
bool is_subset(const Assignment& part, const Assignment& whole);
size_t count(const Assignment& assignment);

}  // namespace broker::groups
