#pragma once
// What goes into and comes out of the group machine: requests as the protocol's handlers read them,
// results as they answer them, and the effects of one step. Plain values; no thread.
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "broker/base/uuid.h"

namespace broker::groups {

// Kafka's error numbers, so that a handler answers them as they are.
enum class GroupError : int16_t {
  kNone = 0,
  kUnknownTopicOrPartition = 3,
  kOffsetMetadataTooLarge = 12,
  kCoordinatorLoadInProgress = 14,
  kCoordinatorNotAvailable = 15,
  kNotCoordinator = 16,
  kIllegalGeneration = 22,
  kInconsistentGroupProtocol = 23,
  kInvalidGroupId = 24,
  kUnknownMemberId = 25,
  kInvalidSessionTimeout = 26,
  kRebalanceInProgress = 27,
  kTopicAuthorizationFailed = 29,
  kGroupAuthorizationFailed = 30,
  kUnsupportedVersion = 35,
  kInvalidRequest = 42,
  kNonEmptyGroup = 68,
  kGroupIdNotFound = 69,
  kMemberIdRequired = 79,
  kGroupMaxSizeReached = 81,
  kFencedInstanceId = 82,
  kGroupSubscribedToTopic = 86,
  kUnknownTopicId = 100,
  kFencedMemberEpoch = 110,
  kUnreleasedInstanceId = 111,
  kUnsupportedAssignor = 112,
  kStaleMemberEpoch = 113,
  kInvalidRegularExpression = 128,
};

// Session time-outs run on the monotonic clock; what is stored carries wall time.
struct Now {
  int64_t mono_ms = 0;
  int64_t wall_ms = 0;
};

struct Settings {
  int32_t session_timeout_ms_min = 6'000;
  int32_t session_timeout_ms_max = 1'800'000;
  int32_t initial_rebalance_delay_ms = 3'000;
  int32_t new_member_timeout_ms = 300'000;  // a first JoinGroup that nobody waits for any more
  int32_t group_size_max = INT32_MAX;
  size_t group_bytes_max = 8 << 20;  // metadata of a classic group's members: it is one record
  int32_t offset_metadata_bytes_max = 4'096;
  int64_t offsets_retention_ms = 7LL * 24 * 3'600'000;
  int64_t offsets_check_ms = 600'000;  // between two looks for expired offsets
  int32_t consumer_session_timeout_ms = 45'000;
  int32_t consumer_heartbeat_ms = 5'000;
  bool upgrade = true;    // a classic group may become a consumer group (KIP-848) while it works,
  bool downgrade = true;  // and go back when its last member of the new protocol leaves
};

template <class T>
using Reply = std::function<void(T)>;

// One record of the log: a key's new value; none: the key is gone.
struct Put {
  std::string key;
  std::optional<std::string> value;
  bool operator==(const Put&) const = default;
};

// What one step asks of the world: records to append, all or none, and answers that may go out once
// everything appended so far is committed.
struct Effects {
  struct Answer {
    std::function<void()> send;
    std::function<void(GroupError)> fail;
  };
  std::vector<Put> puts;
  std::vector<Answer> answers;

  template <class T>
  void reply(const Reply<T>& to, T result) {
    if (!to) return;
    answers.push_back({[to, result = std::move(result)] { to(result); },
                       [to](GroupError error) {
                         T failed;
                         failed.error = error;
                         to(std::move(failed));
                       }});
  }
};

// A protocol of a classic member: an assignor's name with the member's metadata for it.
struct Protocol {
  std::string name;
  std::string metadata;
  bool operator==(const Protocol&) const = default;
};

struct JoinRequest {
  std::string group, member;
  std::optional<std::string> instance;
  std::string client_id, client_host;
  int32_t session_timeout_ms = 0, rebalance_timeout_ms = 0;
  std::string protocol_type;
  std::vector<Protocol> protocols;
  bool require_known_member = false;      // version 4: MEMBER_ID_REQUIRED (KIP-394)
  bool supports_skip_assignment = false;  // version 9 (KIP-814)
};
struct JoinedMember {
  std::string member;
  std::optional<std::string> instance;
  std::string metadata;
};
struct JoinResult {
  GroupError error = GroupError::kNone;
  int32_t generation = -1;
  std::optional<std::string> protocol_type, protocol_name;
  std::string leader, member;
  bool skip_assignment = false;
  std::vector<JoinedMember> members;
};

struct SyncRequest {
  std::string group, member;
  std::optional<std::string> instance, protocol_type, protocol_name;
  int32_t generation = -1;
  std::map<std::string, std::string> assignments;
};
struct SyncResult {
  GroupError error = GroupError::kNone;
  std::optional<std::string> protocol_type, protocol_name;
  std::string assignment;
};

struct HeartbeatRequest {
  std::string group, member;
  std::optional<std::string> instance;
  int32_t generation = -1;
};
struct HeartbeatResult {
  GroupError error = GroupError::kNone;
};

struct LeavingMember {
  std::string member;
  std::optional<std::string> instance;
  GroupError error = GroupError::kNone;
};
struct LeaveRequest {
  std::string group;
  std::vector<LeavingMember> members;
};
struct LeaveResult {
  GroupError error = GroupError::kNone;
  std::vector<LeavingMember> members;
};

using Assignment = std::map<Uuid, std::set<int32_t>>;

// KIP-848. A field that is absent has not changed since the member's last heartbeat.
struct ConsumerHeartbeatRequest {
  std::string group, member;
  std::string client_id, client_host;
  int32_t epoch = 0;
  std::optional<std::string> instance, rack, assignor, regex;
  int32_t rebalance_timeout_ms = -1;
  std::optional<std::vector<std::string>> names;
  std::optional<Assignment> owned;
  bool client_makes_id = false;  // version 1
};
struct ConsumerHeartbeatResult {
  GroupError error = GroupError::kNone;
  std::string message;
  std::string member;
  int32_t epoch = 0;
  int32_t heartbeat_ms = 0;
  std::optional<Assignment> assignment;
};

struct CommittedOffset {
  int64_t offset = -1;
  int32_t leader_epoch = -1;
  std::string metadata;
  int64_t commit_ms = 0;
  int64_t expire_ms = -1;  // set by old versions of OffsetCommit only
  Uuid topic_id;
  bool operator==(const CommittedOffset&) const = default;
};
struct CommitItem {
  std::string topic;
  Uuid topic_id;
  int32_t partition = 0;
  int64_t offset = -1;
  int32_t leader_epoch = -1;
  std::string metadata;
  GroupError error = GroupError::kNone;  // set beforehand: answered as it is
};
struct CommitRequest {
  std::string group, member;
  std::optional<std::string> instance;
  int32_t generation = -1;  // or the member's epoch
  int16_t version = 0;
  int64_t retention_ms = -1;
  std::vector<CommitItem> items;
};
struct CommitResult {
  GroupError error = GroupError::kNone;  // of the whole request
  std::vector<GroupError> items;
};

struct TopicPartitions {
  std::string topic;
  std::vector<int32_t> partitions;
};
struct FetchOffsetsRequest {
  std::string group;
  std::optional<std::string> member;
  int32_t epoch = -1;
  std::optional<std::vector<TopicPartitions>> topics;  // none: all
};
struct FetchedOffset {
  std::string topic;
  int32_t partition = 0;
  std::optional<CommittedOffset> committed;
};
struct FetchOffsetsResult {
  GroupError error = GroupError::kNone;
  std::vector<FetchedOffset> offsets;
};

struct DeleteOffsetsRequest {
  std::string group;
  std::vector<TopicPartitions> topics;
};
struct DeleteOffsetsResult {
  GroupError error = GroupError::kNone;
  std::map<std::string, GroupError> topics;
};
struct DeleteGroupResult {
  GroupError error = GroupError::kNone;
};

struct GroupSummary {
  std::string group, protocol_type, state;
  bool consumer = false;  // KIP-848
};
struct ListResult {
  GroupError error = GroupError::kNone;
  std::vector<GroupSummary> groups;
};

struct DescribedMember {
  std::string member;
  std::optional<std::string> instance, rack;
  std::string client_id, client_host, metadata, assignment;
  // Of consumer groups.
  int32_t epoch = 0;
  std::vector<std::string> names;
  std::string regex;
  bool classic = false;
  Assignment assigned, target;
};
struct DescribeResult {
  GroupError error = GroupError::kNone;
  std::string message;
  std::string group, state, protocol_type, protocol;
  int32_t epoch = 0, assignment_epoch = 0;
  std::vector<DescribedMember> members;
};

}  // namespace broker::groups
