// Goal: groups through the Kafka door of one whole broker in virtual time: the coordinators' stream
// is made at first use, members meet, offsets outlive what they must, and the log of groups stays
// bounded. What each request answers in every state is broker/groups' own test.
#include <gtest/gtest.h>

#include "broker/groups/core/test_machine.h"
#include "broker/handlers/kafka/test_broker.h"
#include "broker/model/internal_streams.h"
#include "broker/model/records.h"

namespace broker::handlers::kafka {
namespace {

int16_t code(Error error) { return wire::wire(error); }

class GroupsTest : public ::testing::Test {
 protected:
  GroupsTest() { broker_.create_stream("t", sluice::v1::STREAM_MODE_PARTITIONED, 2); }

  wire::FindCoordinatorResponse::Coordinator find(const std::string& group, int8_t type = 0) {
    wire::FindCoordinatorRequest request;
    request.key_type = type;
    request.coordinator_keys = {group};
    return broker_.call<wire::FindCoordinatorResponse>(4, request).coordinators.at(0);
  }
  // As clients do: until there is one.
  void find_until_known(const std::string& group) {
    EXPECT_TRUE(broker_.world.run_until([&] { return find(group).error_code == 0; }, 10'000'000));
  }
  wire::JoinGroupRequest join_request(const std::string& member = "") {
    wire::JoinGroupRequest request;
    request.group_id = "g";
    request.session_timeout_ms = 10'000;
    request.rebalance_timeout_ms = 20'000;
    request.member_id = member;
    request.protocol_type = "consumer";
    request.protocols.push_back({"range", groups::subscription({"t"}), {}});
    return request;
  }
  // The whole of joining; the member's id.
  wire::JoinGroupResponse join_alone() {
    auto told = broker_.call<wire::JoinGroupResponse>(9, join_request());
    EXPECT_EQ(told.error_code, code(Error::kMemberIdRequired));
    auto joined = broker_.call<wire::JoinGroupResponse>(9, join_request(told.member_id));
    EXPECT_EQ(joined.error_code, 0);
    wire::SyncGroupRequest sync;
    sync.group_id = "g";
    sync.generation_id = joined.generation_id;
    sync.member_id = joined.member_id;
    sync.protocol_type = joined.protocol_type;
    sync.protocol_name = joined.protocol_name;
    sync.assignments.push_back({joined.member_id, "mine", {}});
    EXPECT_EQ(broker_.call<wire::SyncGroupResponse>(5, sync).assignment, "mine");
    return joined;
  }
  int16_t heartbeat(const wire::JoinGroupResponse& member) {
    wire::HeartbeatRequest request;
    request.group_id = "g";
    request.generation_id = member.generation_id;
    request.member_id = member.member_id;
    return broker_.call<wire::HeartbeatResponse>(4, request).error_code;
  }
  int16_t commit(int64_t offset, int16_t version = 9, const std::string& topic = "t",
                 const wire::JoinGroupResponse* member = nullptr) {
    wire::OffsetCommitRequest request;
    request.group_id = "g";
    if (member) {
      request.generation_id_or_member_epoch = member->generation_id;
      request.member_id = member->member_id;
    }
    auto& asked = request.topics.emplace_back();
    asked.name = topic;
    if (auto stream = broker_.metadata.find(topic)) asked.topic_id = stream->id;
    auto& partition = asked.partitions.emplace_back();
    partition.committed_offset = offset;
    partition.committed_metadata = "note";
    return broker_.call<wire::OffsetCommitResponse>(version, request)
        .topics.at(0)
        .partitions.at(0)
        .error_code;
  }
  int64_t committed() {
    wire::OffsetFetchRequest request;
    auto& group = request.groups.emplace_back();
    group.group_id = "g";
    auto& topic = group.topics.emplace().emplace_back();
    topic.name = "t";
    topic.partition_indexes = {0, 1};
    auto answer = broker_.call<wire::OffsetFetchResponse>(8, request).groups.at(0);
    EXPECT_EQ(answer.error_code, 0);
    EXPECT_EQ(answer.topics.at(0).partitions.at(1).committed_offset, -1);
    return answer.topics.at(0).partitions.at(0).committed_offset;
  }

  TestBroker broker_{[] {
    Options options;
    options.group_initial_rebalance_delay_ms = 0;
    return options;
  }()};
};

TEST_F(GroupsTest, TheCoordinatorsStreamIsMadeWhenItIsAskedFor) {
  EXPECT_EQ(find("g").error_code, code(Error::kCoordinatorNotAvailable));
  find_until_known("g");
  auto found = find("g");
  EXPECT_EQ(found.node_id, 0);
  EXPECT_EQ(found.host, "broker.test");
  wire::MetadataRequest all;
  auto metadata = broker_.call<wire::MetadataResponse>(12, all);
  auto internal = std::find_if(metadata.topics.begin(), metadata.topics.end(),
                               [](const auto& t) { return t.name == kConsumerOffsetsStream; });
  ASSERT_NE(internal, metadata.topics.end());
  EXPECT_TRUE(internal->is_internal);
  EXPECT_EQ(internal->partitions.size(), 16u);
  wire::FindCoordinatorRequest old;
  old.key = "g";
  EXPECT_EQ(broker_.call<wire::FindCoordinatorResponse>(0, old).node_id, 0);
  EXPECT_EQ(find("g", 2).error_code, code(Error::kInvalidRequest));
}

TEST_F(GroupsTest, ClientsDoNotWriteToTheCoordinatorsStream) {
  find_until_known("g");
  RecordBatchBuilder builder;
  builder.add(1, "k", "v");
  wire::ProduceRequest produce;
  produce.acks = -1;
  produce.timeout_ms = 1000;
  auto& topic = produce.topics.emplace_back();
  topic.name = std::string(kConsumerOffsetsStream);
  topic.partitions.emplace_back().records =
      wire::Records{{Buffer::from_string(*builder.build())}};
  auto answer = broker_.call<wire::ProduceResponse>(9, produce);
  EXPECT_EQ(answer.responses.at(0).partitions.at(0).error_code,
            code(Error::kInvalidTopicException));
  wire::DeleteTopicsRequest drop;
  drop.topic_names = {std::string(kConsumerOffsetsStream)};
  drop.timeout_ms = 1000;
  EXPECT_EQ(broker_.call<wire::DeleteTopicsResponse>(4, drop).responses.at(0).error_code,
            code(Error::kInvalidTopicException));
}

TEST_F(GroupsTest, AMemberJoinsCommitsAndLeaves) {
  find_until_known("g");
  auto member = join_alone();
  EXPECT_EQ(heartbeat(member), 0);
  EXPECT_EQ(commit(42, 8, "t", &member), 0);
  EXPECT_EQ(commit(43, 10, "t", &member), 0);
  EXPECT_EQ(committed(), 43);
  wire::DescribeGroupsRequest describe;
  describe.groups = {"g", "none"};
  auto described = broker_.call<wire::DescribeGroupsResponse>(6, describe);
  EXPECT_EQ(described.groups.at(0).group_state, "Stable");
  EXPECT_EQ(described.groups.at(0).members.at(0).client_id, "test");
  EXPECT_EQ(described.groups.at(1).error_code, code(Error::kGroupIdNotFound));
  described = broker_.call<wire::DescribeGroupsResponse>(5, describe);
  EXPECT_EQ(described.groups.at(1).error_code, 0);
  EXPECT_EQ(described.groups.at(1).group_state, "Dead");
  wire::ListGroupsRequest list;
  list.states_filter = {"stable"};
  EXPECT_EQ(broker_.call<wire::ListGroupsResponse>(5, list).groups.at(0).group_type, "classic");
  list.types_filter = {"consumer"};
  EXPECT_TRUE(broker_.call<wire::ListGroupsResponse>(5, list).groups.empty());
  wire::DeleteGroupsRequest drop;
  drop.groups_names = {"g", "none"};
  auto dropped = broker_.call<wire::DeleteGroupsResponse>(2, drop);
  EXPECT_EQ(dropped.results.at(0).error_code, code(Error::kNonEmptyGroup));
  EXPECT_EQ(dropped.results.at(1).error_code, code(Error::kGroupIdNotFound));
  wire::LeaveGroupRequest leave;
  leave.group_id = "g";
  leave.member_id = member.member_id;
  EXPECT_EQ(broker_.call<wire::LeaveGroupResponse>(1, leave).error_code, 0);
  EXPECT_EQ(broker_.call<wire::LeaveGroupResponse>(1, leave).error_code,
            code(Error::kUnknownMemberId));
  EXPECT_EQ(broker_.call<wire::DeleteGroupsResponse>(2, drop).results.at(0).error_code, 0);
  EXPECT_EQ(committed(), -1);
}

TEST_F(GroupsTest, ASilentMemberIsGoneAfterItsSession) {
  find_until_known("g");
  auto member = join_alone();
  broker_.world.run_for_us(9'000'000);
  EXPECT_EQ(heartbeat(member), 0);
  broker_.world.run_for_us(11'000'000);
  EXPECT_EQ(heartbeat(member), code(Error::kUnknownMemberId));
}

TEST_F(GroupsTest, OffsetsOfTopicsThatAreNotThere) {
  find_until_known("g");
  EXPECT_EQ(commit(1, 9, "none"), code(Error::kUnknownTopicOrPartition));
  EXPECT_EQ(commit(1, 10, "none"), code(Error::kUnknownTopicId));
  EXPECT_EQ(commit(7), 0);
  wire::OffsetFetchRequest request;
  request.groups.emplace_back().group_id = "g";
  auto& unknown = request.groups[0].topics.emplace().emplace_back();
  unknown.topic_id = Uuid::from_random(1, 1);
  unknown.partition_indexes = {0};
  auto answer = broker_.call<wire::OffsetFetchResponse>(10, request).groups.at(0);
  EXPECT_EQ(answer.topics.at(0).partitions.at(0).error_code, code(Error::kUnknownTopicId));
  request.groups[0].topics.reset();
  answer = broker_.call<wire::OffsetFetchResponse>(10, request).groups.at(0);
  EXPECT_EQ(answer.topics.at(0).topic_id, broker_.metadata.find("t")->id);
  EXPECT_EQ(answer.topics.at(0).partitions.at(0).metadata, "note");
  // One group per request before version 8; all topics from version 2 on.
  wire::OffsetFetchRequest old;
  old.group_id = "g";
  EXPECT_EQ(broker_.call<wire::OffsetFetchResponse>(5, old)
                .topics.at(0)
                .partitions.at(0)
                .committed_offset,
            7);
  wire::DeleteTopicsRequest drop;
  drop.topic_names = {"t"};
  drop.timeout_ms = 10'000;
  EXPECT_EQ(broker_.call<wire::DeleteTopicsResponse>(4, drop).responses.at(0).error_code, 0);
  EXPECT_TRUE(broker_.world.run_until([&] {
    return broker_.call<wire::OffsetFetchResponse>(5, old).topics.empty();
  }));
}

TEST_F(GroupsTest, AConsumerGroupHeartbeats) {
  find_until_known("g");
  wire::ConsumerGroupHeartbeatRequest request;
  request.group_id = "g";
  request.member_id = "m";
  request.rebalance_timeout_ms = 10'000;
  request.subscribed_topic_names = {{"t"}};
  request.topic_partitions.emplace();
  auto joined = broker_.call<wire::ConsumerGroupHeartbeatResponse>(1, request);
  EXPECT_EQ(joined.error_code, 0);
  EXPECT_EQ(joined.member_id, "m");
  ASSERT_TRUE(joined.assignment);
  EXPECT_EQ(joined.assignment->topic_partitions.at(0).partitions, (std::vector<int32_t>{0, 1}));
  wire::ConsumerGroupDescribeRequest describe;
  describe.group_ids = {"g"};
  auto group = broker_.call<wire::ConsumerGroupDescribeResponse>(1, describe).groups.at(0);
  EXPECT_EQ(group.group_state, "Stable");
  EXPECT_EQ(group.members.at(0).assignment.topic_partitions.at(0).topic_name, "t");
  EXPECT_EQ(group.members.at(0).member_type, 1);
  request.member_epoch = 7;
  auto fenced = broker_.call<wire::ConsumerGroupHeartbeatResponse>(1, request);
  EXPECT_EQ(fenced.error_code, code(Error::kFencedMemberEpoch));
  EXPECT_TRUE(fenced.error_message);
}

// Kafka's brokers match a pattern against every topic, its own ones too; only clients that match by
// themselves leave those out.
TEST_F(GroupsTest, APatternMatchesTheCoordinatorsStream) {
  find_until_known("g");
  wire::ConsumerGroupHeartbeatRequest request;
  request.group_id = "g";
  request.member_id = "m";
  request.rebalance_timeout_ms = 10'000;
  request.subscribed_topic_regex = "__consumer_.*";
  request.topic_partitions.emplace();
  auto joined = broker_.call<wire::ConsumerGroupHeartbeatResponse>(1, request);
  EXPECT_EQ(joined.error_code, 0);
  ASSERT_TRUE(joined.assignment);
  ASSERT_EQ(joined.assignment->topic_partitions.size(), 1u);
  EXPECT_EQ(joined.assignment->topic_partitions[0].topic_id,
            broker_.metadata.find(kConsumerOffsetsStream)->id);
  EXPECT_EQ(joined.assignment->topic_partitions[0].partitions.size(), 16u);
}

TEST_F(GroupsTest, TransactionsOffsetsAreRefused) {
  wire::TxnOffsetCommitRequest request;
  request.topics.emplace_back().name = "t";
  request.topics[0].partitions.emplace_back();
  auto answer = broker_.call<wire::TxnOffsetCommitResponse>(3, request);
  EXPECT_EQ(answer.topics.at(0).partitions.at(0).error_code, code(Error::kInvalidTxnState));
}

// Every commit is a record: without snapshots the log would grow for ever.
TEST_F(GroupsTest, TheLogOfGroupsStaysBounded) {
  find_until_known("g");
  EXPECT_EQ(commit(0), 0);
  auto stream = broker_.metadata.find(kConsumerOffsetsStream);
  auto log_of_g = [&]() -> partition::Partition* {
    for (int32_t i = 0; i < 16; ++i) {
      auto& partition = broker_.partition(std::string(kConsumerOffsetsStream), i);
      if (partition.log_end() > Offset{0}) return &partition;
    }
    return nullptr;
  };
  ASSERT_NE(log_of_g(), nullptr);
  for (int i = 1; i <= 5'500; ++i) ASSERT_EQ(commit(i), 0);
  EXPECT_TRUE(broker_.world.run_until([&] { return log_of_g()->log_start() > Offset{4'000}; }));
  EXPECT_EQ(committed(), 5'500);
}

}  // namespace
}  // namespace broker::handlers::kafka
