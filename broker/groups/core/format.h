#pragma once
// The records of the coordinators' stream: keys and values as bytes. Layout and versions are in
// ../README.md (FORMAT), fixed by format_test.cc. Values from a log are never trusted: decoding
// fails on damage instead of guessing.
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "broker/base/status.h"
#include "broker/groups/core/types.h"

namespace broker::groups {

enum class RecordKind : uint8_t {
  kOffset = 0,
  kClassicGroup = 1,
  kConsumerGroup = 2,
  kConsumerMember = 3,
  kTargetAssignment = 4,
  kCurrentAssignment = 5,
};

struct RecordKey {
  RecordKind kind = RecordKind::kOffset;
  std::string group;
  std::string name;       // the topic of an offset; the member of 3, 4 and 5
  int32_t partition = 0;  // of an offset
  bool operator==(const RecordKey&) const = default;
};
std::string encode_key(const RecordKey& key);
Result<RecordKey> decode_key(std::string_view bytes);

struct StoredClassicMember {
  std::string id;
  std::optional<std::string> instance;
  std::string client_id, client_host;
  int32_t rebalance_timeout_ms = 0, session_timeout_ms = 0;
  std::vector<Protocol> protocols;
  std::string assignment;
  bool operator==(const StoredClassicMember&) const = default;
};
struct StoredClassicGroup {
  std::optional<std::string> protocol_type, protocol_name, leader;
  int32_t generation = 0;
  int64_t state_ms = 0;
  std::vector<StoredClassicMember> members;
  bool operator==(const StoredClassicGroup&) const = default;
};

struct StoredConsumerGroup {
  int32_t epoch = 0, assignment_epoch = 0;
  uint64_t metadata_hash = 0;
  bool operator==(const StoredConsumerGroup&) const = default;
};
// What a member of a consumer group keeps when it speaks the classic protocol.
struct ClassicPart {
  int32_t session_timeout_ms = 0;
  std::vector<Protocol> protocols;
  bool operator==(const ClassicPart&) const = default;
};
struct StoredConsumerMember {
  std::optional<std::string> instance, rack, assignor;
  std::string client_id, client_host, regex;
  std::set<std::string> names;
  int32_t rebalance_timeout_ms = 0;
  std::optional<ClassicPart> classic;
  bool operator==(const StoredConsumerMember&) const = default;
};

enum class MemberState : uint8_t { kStable = 0, kUnrevoked = 1, kUnreleased = 2 };
struct StoredCurrentAssignment {
  int32_t epoch = 0, previous_epoch = -1;
  MemberState state = MemberState::kStable;
  Assignment assigned, revoking;
  bool operator==(const StoredCurrentAssignment&) const = default;
};

std::string encode_value(const CommittedOffset& value);
std::string encode_value(const StoredClassicGroup& value);
std::string encode_value(const StoredConsumerGroup& value);
std::string encode_value(const StoredConsumerMember& value);
std::string encode_value(const StoredCurrentAssignment& value);
std::string encode_value(const Assignment& value);
Status decode_value(std::string_view bytes, CommittedOffset& out);
Status decode_value(std::string_view bytes, StoredClassicGroup& out);
Status decode_value(std::string_view bytes, StoredConsumerGroup& out);
Status decode_value(std::string_view bytes, StoredConsumerMember& out);
Status decode_value(std::string_view bytes, StoredCurrentAssignment& out);
Status decode_value(std::string_view bytes, Assignment& out);

}  // namespace broker::groups
