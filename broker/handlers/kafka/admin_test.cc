// Goal: administration as Kafka's tools do it, against one whole broker in virtual time: settings of
// topics and their sources, refusals by name, append time, deletions, creation by asking, log
// directories, producers, reassignments and elections of a single broker, and hostile bytes for
// every API and version.
#include <gtest/gtest.h>

#include "broker/handlers/kafka/test_broker.h"
#include "broker/model/records.h"

namespace broker::handlers::kafka {
namespace {

constexpr auto kPartitioned = sluice::v1::STREAM_MODE_PARTITIONED;
constexpr int8_t kTopic = 2, kBroker = 4, kLogger = 8;
constexpr int8_t kSet = 0, kDelete = 1, kAppend = 2, kSubtract = 3;

int16_t code(Error error) {
  return wire::wire(error);
}

using Alter = wire::IncrementalAlterConfigsRequest;
using Described = wire::DescribeConfigsResponse::Result::Config;

wire::IncrementalAlterConfigsResponse::Result alter(TestBroker& broker, int8_t type,
                                                    const std::string& resource,
                                                    std::vector<Alter::Resource::Config> configs,
                                                    bool validate_only = false) {
  Alter request;
  request.resources.push_back({type, resource, std::move(configs), {}});
  request.validate_only = validate_only;
  return broker.call<wire::IncrementalAlterConfigsResponse>(1, request).responses.at(0);
}

Described described(TestBroker& broker, int8_t type, const std::string& resource,
                    const std::string& key) {
  wire::DescribeConfigsRequest request;
  auto& asked = request.resources.emplace_back();
  asked.resource_type = type;
  asked.resource_name = resource;
  asked.configuration_keys = {key};
  request.include_synonyms = true;
  request.include_documentation = true;
  auto result = broker.call<wire::DescribeConfigsResponse>(4, request).results.at(0);
  EXPECT_EQ(result.configs.size(), 1u) << key;
  return result.configs.empty() ? Described{} : result.configs[0];
}

int16_t produce_one(TestBroker& broker, const std::string& topic, int64_t timestamp_ms,
                    int64_t* append_time_ms = nullptr) {
  RecordBatchBuilder builder;
  builder.add(timestamp_ms, "k", "v");
  wire::ProduceRequest request;
  request.acks = -1;
  request.timeout_ms = 5000;
  request.topics.emplace_back().name = topic;
  auto& partition = request.topics[0].partitions.emplace_back();
  partition.records = wire::Records{{Buffer::from_string(std::move(builder.build()).value())}};
  auto answer = broker.call<wire::ProduceResponse>(9, request).responses.at(0).partitions.at(0);
  if (append_time_ms) *append_time_ms = answer.log_append_time_ms;
  return answer.error_code;
}

TEST(Configs, AreSetTakenBackAndTellWhereTheyComeFrom) {
  TestBroker broker;
  broker.create_stream("t", kPartitioned, 1);
  auto before = described(broker, kTopic, "t", "retention.ms");
  EXPECT_EQ(before.value, "604800000");
  EXPECT_EQ(before.config_source, 5);
  EXPECT_EQ(before.synonyms.at(0).name, "log.retention.ms");
  EXPECT_EQ(alter(broker, kTopic, "t", {{"retention.ms", kSet, "60000", {}},
                                        {"segment.bytes", kSet, "1048576", {}}})
                .error_code,
            0);
  auto set = described(broker, kTopic, "t", "retention.ms");
  EXPECT_EQ(set.value, "60000");
  EXPECT_EQ(set.config_source, 1);
  EXPECT_EQ(described(broker, kTopic, "t", "segment.bytes").value, "1048576");
  EXPECT_FALSE(described(broker, kTopic, "t", "segment.bytes").documentation->empty());
  EXPECT_EQ(alter(broker, kTopic, "t", {{"retention.ms", kDelete, std::nullopt, {}},
                                        {"segment.bytes", kDelete, std::nullopt, {}}})
                .error_code,
            0);
  EXPECT_EQ(described(broker, kTopic, "t", "retention.ms").config_source, 5);
  EXPECT_EQ(described(broker, kTopic, "t", "retention.ms").value, "604800000");
  EXPECT_EQ(described(broker, kTopic, "t", "segment.bytes").value, "1073741824");
}

TEST(Configs, OnlyValidatedChangesNothing) {
  TestBroker broker;
  broker.create_stream("t", kPartitioned, 1);
  EXPECT_EQ(alter(broker, kTopic, "t", {{"retention.ms", kSet, "60000", {}}}, true).error_code, 0);
  EXPECT_EQ(described(broker, kTopic, "t", "retention.ms").value, "604800000");
}

TEST(Configs, TheLegacyRequestReplacesAll) {
  TestBroker broker;
  broker.create_stream("t", kPartitioned, 1);
  alter(broker, kTopic, "t", {{"retention.ms", kSet, "60000", {}}, {"flush.ms", kSet, "5", {}}});
  wire::AlterConfigsRequest replace;
  replace.resources.push_back({kTopic, "t", {{"max.message.bytes", "2000", {}}}, {}});
  EXPECT_EQ(broker.call<wire::AlterConfigsResponse>(2, replace).responses.at(0).error_code, 0);
  EXPECT_EQ(described(broker, kTopic, "t", "max.message.bytes").value, "2000");
  EXPECT_EQ(described(broker, kTopic, "t", "retention.ms").config_source, 5);
  EXPECT_EQ(described(broker, kTopic, "t", "flush.ms").config_source, 5);
}

// librdkafka's suite (0081) makes topics with compression.type=lz4.
TEST(Configs, ALeaderCompressesAsItsTopicAsks) {
  TestBroker broker;
  broker.create_stream("t", kPartitioned, 1);
  alter(broker, kTopic, "t", {{"compression.type", kSet, "lz4", {}}});
  produce_one(broker, "t", 1000);
  auto stored = broker.partition("t", 0).read(Offset{0}, 1 << 20);
  ASSERT_TRUE(stored.ok() && stored->batches.size() == 1);
  EXPECT_EQ(stored->batches[0].header.compression(), Compression::kLz4);
  EXPECT_TRUE(batch_crc_matches(stored->batches[0].bytes.view()));
}

TEST(Configs, AreRefusedByName) {
  TestBroker broker;
  broker.create_stream("t", kPartitioned, 1);
  auto refused = [&](const std::string& name, int8_t operation, const std::string& value) {
    auto result = alter(broker, kTopic, "t", {{name, operation, value, {}}});
    EXPECT_TRUE(result.error_message && result.error_message->find(name) != std::string::npos)
        << name << ": " << result.error_message.value_or("no message");
    return result.error_code;
  };
  EXPECT_EQ(refused("cleanup.policy", kSet, "compact"), code(Error::kInvalidConfig));
  EXPECT_EQ(refused("cleanup.policy", kAppend, "compact"), code(Error::kInvalidConfig));
  EXPECT_EQ(refused("cleanup.policy", kSubtract, "delete"), code(Error::kInvalidConfig));
  EXPECT_EQ(refused("compression.type", kSet, "brotli"), code(Error::kInvalidConfig));
  EXPECT_EQ(refused("remote.storage.enable", kSet, "true"), code(Error::kInvalidConfig));
  EXPECT_EQ(refused("unclean.leader.election.enable", kSet, "true"), code(Error::kInvalidConfig));
  EXPECT_EQ(refused("retention.ms", kSet, "soon"), code(Error::kInvalidConfig));
  EXPECT_EQ(refused("retention.ms", kAppend, "1"), code(Error::kInvalidConfig));
  EXPECT_EQ(refused("min.insync.replicas", kSet, "2"), code(Error::kInvalidConfig));
  EXPECT_EQ(refused("message.timestamp.type", kSet, "Never"), code(Error::kInvalidConfig));
  EXPECT_EQ(refused("min.cleanable.dirty.ratio", kSet, "1.5"), code(Error::kInvalidConfig));
  EXPECT_EQ(refused("no.such.config", kSet, "1"), code(Error::kInvalidConfig));
  EXPECT_EQ(alter(broker, kTopic, "t", {{"cleanup.policy", kAppend, "delete", {}}}).error_code, 0);
  EXPECT_EQ(alter(broker, kTopic, "none", {{"retention.ms", kSet, "1", {}}}).error_code,
            code(Error::kUnknownTopicOrPartition));
  EXPECT_EQ(alter(broker, kBroker, "0", {{"message.max.bytes", kSet, "1", {}}}).error_code,
            code(Error::kInvalidConfig));
  EXPECT_EQ(
      alter(broker, kBroker, "0", {{"leader.replication.throttled.rate", kDelete, "", {}}}).error_code,
      0);
}

// kafka-reassign-partitions --throttle, topicctl and Cruise Control set these around what they move.
TEST(Configs, MovesAreThrottledAsKafkasToolsAsk) {
  TestBroker broker;
  broker.create_stream("t", kPartitioned, 3);
  const std::string leaders = "leader.replication.throttled.replicas";
  EXPECT_EQ(alter(broker, kTopic, "t", {{leaders, kSet, "0:0,1:2", {}}}).error_code, 0);
  EXPECT_EQ(described(broker, kTopic, "t", leaders).value, "0:0,1:2");
  EXPECT_EQ(described(broker, kTopic, "t", leaders).config_source, 1);
  EXPECT_EQ(alter(broker, kTopic, "t", {{leaders, kAppend, "1:2,2:1", {}}}).error_code, 0);
  EXPECT_EQ(described(broker, kTopic, "t", leaders).value, "0:0,1:2,2:1");
  EXPECT_EQ(alter(broker, kTopic, "t", {{leaders, kSubtract, "1:2", {}}}).error_code, 0);
  EXPECT_EQ(described(broker, kTopic, "t", leaders).value, "0:0,2:1");
  EXPECT_EQ(alter(broker, kTopic, "t", {{leaders, kSet, "*", {}}}).error_code, 0);
  for (const char* wrong : {"0", "0:", "a:b", "0:1,*", "0:1:2"}) {
    EXPECT_EQ(alter(broker, kTopic, "t", {{leaders, kSet, wrong, {}}}).error_code,
              code(Error::kInvalidConfig))
        << wrong;
  }
  EXPECT_EQ(alter(broker, kTopic, "t", {{leaders, kDelete, std::nullopt, {}}}).error_code, 0);
  EXPECT_EQ(described(broker, kTopic, "t", leaders).value, "");
  EXPECT_EQ(described(broker, kTopic, "t", leaders).config_source, 5);

  // A broker's rate is in force at once, and until it is taken back.
  const std::string rate = "leader.replication.throttled.rate";
  const std::string followers = "follower.replication.throttled.rate";
  EXPECT_EQ(described(broker, kBroker, "0", rate).value, std::to_string(INT64_MAX));
  EXPECT_EQ(alter(broker, kBroker, "0", {{rate, kSet, "1000", {}}}, true).error_code, 0);
  EXPECT_EQ(broker.catch_up_limit, std::nullopt);  // that was to be validated only
  EXPECT_EQ(alter(broker, kBroker, "0", {{rate, kSet, "1000", {}}, {followers, kSet, "2000", {}}})
                .error_code,
            0);
  EXPECT_EQ(broker.catch_up_limit, 1000);
  EXPECT_EQ(described(broker, kBroker, "0", rate).value, "1000");
  EXPECT_EQ(described(broker, kBroker, "0", rate).config_source, 2);
  EXPECT_EQ(described(broker, kBroker, "0", followers).value, "2000");
  // All or nothing.
  EXPECT_EQ(alter(broker, kBroker, "0", {{rate, kSet, "5", {}}, {"num.io.threads", kSet, "5", {}}})
                .error_code,
            code(Error::kInvalidConfig));
  EXPECT_EQ(broker.catch_up_limit, 1000);
  for (const char* wrong : {"-1", "fast", ""}) {
    EXPECT_EQ(alter(broker, kBroker, "0", {{rate, kSet, wrong, {}}}).error_code,
              code(Error::kInvalidConfig))
        << wrong;
  }
  EXPECT_EQ(alter(broker, kBroker, "0", {{rate, kDelete, "", {}}}).error_code, 0);
  EXPECT_EQ(broker.catch_up_limit, std::nullopt);
  EXPECT_EQ(described(broker, kBroker, "0", rate).config_source, 5);
  EXPECT_EQ(described(broker, kBroker, "0", followers).value, "2000");
  // AlterConfigs replaces what was set.
  wire::AlterConfigsRequest replace;
  replace.resources.push_back({kBroker, "0", {{rate, "3000", {}}}, {}});
  EXPECT_EQ(broker.call<wire::AlterConfigsResponse>(2, replace).responses.at(0).error_code, 0);
  EXPECT_EQ(broker.catch_up_limit, 3000);
  EXPECT_EQ(described(broker, kBroker, "0", followers).config_source, 5);
}

TEST(Configs, ALogLevelIsABrokersLoggerSetting) {
  TestBroker broker;
  std::string level = described(broker, kLogger, "0", "root").value.value_or("");
  EXPECT_EQ(alter(broker, kLogger, "0", {{"root", kSet, "DEBUG", {}}}).error_code, 0);
  EXPECT_EQ(described(broker, kLogger, "0", "root").value, "DEBUG");
  EXPECT_EQ(alter(broker, kLogger, "0", {{"root", kSet, level, {}}}).error_code, 0);
  EXPECT_EQ(described(broker, kLogger, "0", "root").value, level);
  EXPECT_EQ(alter(broker, kLogger, "0", {{"root", kSet, "LOUD", {}}}).error_code,
            code(Error::kInvalidConfig));
}

TEST(Configs, AppendTimeReplacesProducersTimestamps) {
  TestBroker broker;
  broker.create_stream("t", kPartitioned, 1);
  int64_t stamped_ms = 0;
  EXPECT_EQ(produce_one(broker, "t", 1000, &stamped_ms), 0);
  EXPECT_EQ(stamped_ms, -1);
  alter(broker, kTopic, "t", {{"message.timestamp.type", kSet, "LogAppendTime", {}}});
  EXPECT_EQ(produce_one(broker, "t", 1000, &stamped_ms), 0);
  EXPECT_GT(stamped_ms, 1000);
  wire::FetchRequest fetch;
  fetch.topics.emplace_back().topic = "t";
  auto& asked = fetch.topics[0].partitions.emplace_back();
  asked.fetch_offset = 1;
  asked.partition_max_bytes = 1 << 20;
  auto fetched = broker.call<wire::FetchResponse>(12, fetch);
  std::string batch = fetched.responses.at(0).partitions.at(0).records->flatten();
  auto header = parse_batch_header(batch);
  ASSERT_TRUE(header.ok());
  EXPECT_TRUE(header->log_append_time());
  EXPECT_EQ(header->max_timestamp_ms, stamped_ms);
  EXPECT_TRUE(batch_crc_matches(batch));
  auto records = RecordIterator::open(batch, 1 << 20);
  Record record;
  ASSERT_TRUE(records.ok() && records->next(record));
  EXPECT_EQ(record.timestamp_ms, stamped_ms);
}

TEST(Configs, TimestampsFarFromTheClockAreRefused) {
  TestBroker broker;
  broker.create_stream("t", kPartitioned, 1);
  alter(broker, kTopic, "t", {{"message.timestamp.type", kSet, "LogAppendTime", {}}});
  int64_t now_ms = 0;
  produce_one(broker, "t", 0, &now_ms);
  alter(broker, kTopic, "t", {{"message.timestamp.type", kDelete, std::nullopt, {}}});
  EXPECT_EQ(produce_one(broker, "t", now_ms + 3'500'000), 0);
  EXPECT_EQ(produce_one(broker, "t", now_ms + 3'700'000), code(Error::kInvalidTimestamp));
  EXPECT_EQ(produce_one(broker, "t", now_ms - 100'000), 0);
  alter(broker, kTopic, "t", {{"message.timestamp.before.max.ms", kSet, "60000", {}}});
  EXPECT_EQ(produce_one(broker, "t", now_ms - 100'000), code(Error::kInvalidTimestamp));
}

TEST(Topics, AreCreatedByAskingForThem) {
  TestBroker broker;
  auto ask = [&](const std::string& name, bool allowed) {
    wire::MetadataRequest request;
    request.allow_auto_topic_creation = allowed;
    request.topics.emplace().emplace_back().name = name;
    return broker.call<wire::MetadataResponse>(12, request).topics.at(0);
  };
  EXPECT_EQ(ask("t", false).error_code, code(Error::kUnknownTopicOrPartition));
  auto made = ask("t", true);
  EXPECT_EQ(made.error_code, 0);
  ASSERT_EQ(made.partitions.size(), 1u);
  EXPECT_EQ(made.partitions[0].leader_id, 0);
  EXPECT_EQ(ask("a b", true).error_code, code(Error::kInvalidTopicException));
  EXPECT_EQ(ask("__consumer_offsets", true).error_code, code(Error::kUnknownTopicOrPartition));
  Options more;
  more.num_partitions = 4;
  TestBroker wide(more);
  wire::MetadataRequest any;
  any.topics.emplace().emplace_back().name = "t";
  any.allow_auto_topic_creation = true;
  EXPECT_EQ(wide.call<wire::MetadataResponse>(12, any).topics.at(0).partitions.size(), 4u);
  wire::CreateTopicsRequest silent;
  silent.timeout_ms = 5000;
  silent.topics.emplace_back().name = "u";
  silent.topics[0].num_partitions = silent.topics[0].replication_factor = -1;
  EXPECT_EQ(wide.call<wire::CreateTopicsResponse>(7, silent).topics.at(0).num_partitions, 4);
  Options off;
  off.auto_create_topics = false;
  TestBroker strict(off);
  wire::MetadataRequest request;
  request.topics.emplace().emplace_back().name = "t";
  EXPECT_EQ(strict.call<wire::MetadataResponse>(12, request).topics.at(0).error_code,
            code(Error::kUnknownTopicOrPartition));
}

// librdkafka's suite (0081) and Kafka's tools place replicas by hand.
TEST(Topics, ReplicasArePlacedByHand) {
  TestBroker broker;
  auto create = [&](const std::string& name, int32_t partitions,
                    std::vector<wire::CreateTopicsRequest::Topic::Assignment> by_hand) {
    wire::CreateTopicsRequest request;
    request.timeout_ms = 5000;
    auto& topic = request.topics.emplace_back();
    topic.name = name;
    topic.num_partitions = partitions;
    topic.replication_factor = -1;
    topic.assignments = std::move(by_hand);
    return broker.call<wire::CreateTopicsResponse>(7, request).topics.at(0);
  };
  auto made = create("t", -1, {{1, {0}, {}}, {0, {0}, {}}});
  EXPECT_EQ(made.error_code, 0) << made.error_message.value_or("");
  EXPECT_EQ(made.num_partitions, 2);
  EXPECT_EQ(made.replication_factor, 1);
  EXPECT_EQ(broker.metadata.find("t")->shard(1)->wanted_brokers(0), 0);
  EXPECT_EQ(create("u", 2, {{0, {0}, {}}}).error_code, code(Error::kInvalidRequest));
  EXPECT_EQ(create("u", -1, {{1, {0}, {}}}).error_code, code(Error::kInvalidReplicaAssignment));
  EXPECT_EQ(create("u", -1, {{0, {7}, {}}}).error_code, code(Error::kInvalidReplicaAssignment));
  EXPECT_EQ(create("u", -1, {{0, {0, 0}, {}}}).error_code, code(Error::kInvalidReplicaAssignment));
  EXPECT_EQ(create("u", -1, {{0, {}, {}}}).error_code, code(Error::kInvalidReplicaAssignment));

  auto grow = [&](int32_t count, std::vector<wire::CreatePartitionsRequest::Topic::Assignment> by_hand) {
    wire::CreatePartitionsRequest request;
    request.timeout_ms = 5000;
    request.topics.push_back({"t", count, std::move(by_hand), {}});
    return broker.call<wire::CreatePartitionsResponse>(3, request).results.at(0).error_code;
  };
  EXPECT_EQ(grow(4, {{{0}, {}}}), code(Error::kInvalidReplicaAssignment));
  EXPECT_EQ(grow(3, {{{0, 0}, {}}}), code(Error::kInvalidReplicaAssignment));
  EXPECT_EQ(grow(3, {{{0}, {}}}), 0);
}

TEST(Topics, RecordsAreDeletedUpToAnOffset) {
  TestBroker broker;
  broker.create_stream("t", kPartitioned, 1);
  for (int i = 0; i < 5; ++i) produce_one(broker, "t", 1000);
  auto remove = [&](const std::string& topic, int32_t partition, int64_t before) {
    wire::DeleteRecordsRequest request;
    request.timeout_ms = 5000;
    request.topics.push_back({topic, {{partition, before, {}}}, {}});
    return broker.call<wire::DeleteRecordsResponse>(2, request).topics.at(0).partitions.at(0);
  };
  EXPECT_EQ(remove("t", 0, 3).low_watermark, 3);
  EXPECT_EQ(broker.partition("t", 0).log_start(), Offset{3});
  EXPECT_EQ(remove("t", 0, 1).low_watermark, 3);  // gone already
  EXPECT_EQ(remove("t", 0, 6).error_code, code(Error::kOffsetOutOfRange));
  EXPECT_EQ(remove("t", 0, -2).error_code, code(Error::kOffsetOutOfRange));
  EXPECT_EQ(remove("t", 7, 1).error_code, code(Error::kUnknownTopicOrPartition));
  EXPECT_EQ(remove("none", 0, 1).error_code, code(Error::kUnknownTopicOrPartition));
  EXPECT_EQ(remove("t", 0, -1).low_watermark, 5);
}

TEST(Cluster, LogDirsProducersQuorumAndResources) {
  Options options;
  options.data_dir = "/data";
  TestBroker broker(options);
  broker.create_stream("t", kPartitioned, 2);
  produce_one(broker, "t", 1000);
  auto dirs = broker.call<wire::DescribeLogDirsResponse>(5, wire::DescribeLogDirsRequest{});
  ASSERT_EQ(dirs.results.size(), 1u);
  EXPECT_EQ(dirs.results[0].log_dir, "/data");
  EXPECT_EQ(dirs.results[0].topics.at(0).partitions.size(), 2u);
  EXPECT_GT(dirs.results[0].topics[0].partitions[0].partition_size, 60);

  wire::DescribeProducersRequest producers;
  producers.topics.push_back({"t", {0, 9}, {}});
  auto active = broker.call<wire::DescribeProducersResponse>(0, producers).topics.at(0);
  EXPECT_EQ(active.partitions.at(0).error_code, 0);
  EXPECT_EQ(active.partitions.at(1).error_code, code(Error::kUnknownTopicOrPartition));

  wire::DescribeQuorumRequest quorum;
  quorum.topics.push_back({"__cluster_metadata", {{0, {}}}, {}});
  auto view = broker.call<wire::DescribeQuorumResponse>(2, quorum).topics.at(0).partitions.at(0);
  EXPECT_EQ(view.leader_id, 0);
  EXPECT_EQ(view.current_voters.size(), 1u);

  auto resources =
      broker.call<wire::ListConfigResourcesResponse>(1, wire::ListConfigResourcesRequest{});
  EXPECT_EQ(resources.config_resources.size(), 3u);  // the topic, the broker, its log
  wire::DescribeTransactionsRequest transactions;
  transactions.transactional_ids = {"tx"};
  EXPECT_EQ(broker.call<wire::DescribeTransactionsResponse>(0, transactions)
                .transaction_states.at(0)
                .error_code,
            code(Error::kTransactionalIdNotFound));
}

TEST(Cluster, ReassignmentsAndElectionsOfOneBroker) {
  TestBroker broker;
  broker.create_stream("t", kPartitioned, 1);
  auto ask = [&](std::optional<std::vector<int32_t>> replicas, bool resize = true) {
    wire::AlterPartitionReassignmentsRequest request;
    request.topics.push_back({"t", {{0, std::move(replicas), {}}}, {}});
    request.allow_replication_factor_change = resize;
    auto answer = broker.call<wire::AlterPartitionReassignmentsResponse>(1, request);
    return answer.responses.at(0).partitions.at(0).error_code;
  };
  EXPECT_EQ(ask(std::vector<int32_t>{0}), 0);
  EXPECT_EQ(ask(std::vector<int32_t>{7}), code(Error::kInvalidReplicaAssignment));
  EXPECT_EQ(ask(std::vector<int32_t>{}), code(Error::kInvalidReplicaAssignment));
  EXPECT_EQ(ask(std::vector<int32_t>{0, 0}), code(Error::kInvalidReplicaAssignment));
  EXPECT_EQ(ask(std::vector<int32_t>{0}, false), 0);
  EXPECT_EQ(ask(std::vector<int32_t>{0, 0}, false), code(Error::kInvalidReplicationFactor));
  EXPECT_EQ(ask(std::nullopt), code(Error::kNoReassignmentInProgress));
  auto listed = broker.call<wire::ListPartitionReassignmentsResponse>(
      0, wire::ListPartitionReassignmentsRequest{});
  EXPECT_TRUE(listed.topics.empty());
  wire::ElectLeadersRequest elect;
  elect.topic_partitions.emplace().push_back({"t", {0, 5}, {}});
  auto elected = broker.call<wire::ElectLeadersResponse>(2, elect).replica_election_results.at(0);
  EXPECT_EQ(elected.partition_result.at(0).error_code, code(Error::kElectionNotNeeded));
  EXPECT_EQ(elected.partition_result.at(1).error_code, code(Error::kUnknownTopicOrPartition));
}

// One that fails fails the request, at every version: clients of versions 0 and 1 look there too.
TEST(Admin, AFeatureThatIsNotRaisedFailsTheRequest) {
  TestBroker broker;
  wire::UpdateFeaturesRequest request;
  request.feature_updates.push_back({"no.such.feature", 1, false, 1, {}});
  for (int16_t version = 0; version <= 2; ++version) {
    auto answer = broker.call<wire::UpdateFeaturesResponse>(version, request);
    EXPECT_EQ(answer.error_code, code(Error::kInvalidUpdateVersion)) << version;
    EXPECT_TRUE(answer.error_message) << version;
    EXPECT_TRUE(answer.results.empty()) << version;
  }
}

// What a stranger may send: every API and version, cut short at each byte, with counts that claim
// more than is there, and as noise. Each is answered or ends its connection; the broker goes on.
class Hostile : public ::testing::Test {
 protected:
  void send(int16_t key, int16_t version, const std::string& body) {
    std::string frame;
    ByteWriter out(frame);
    out.i16(key);
    out.i16(version);
    out.i32(1);
    out.i16(-1);
    const wire::ApiInfo* api = wire::find_api(key);
    if (api && version >= api->flexible_from) out.u8(0);
    frame += body;
    broker_.send_raw(std::move(frame));
  }
  TestBroker broker_;
};

TEST_F(Hostile, TruncatedOversizedAndNoiseForEveryApiAndVersion) {
  uint64_t seed = 42;
  auto next = [&] {
    seed = seed * 6364136223846793005ull + 1442695040888963407ull;
    return static_cast<char>(seed >> 56);
  };
  for (const Handler& handler : handlers()) {
    const wire::ApiInfo& api = *wire::find_api(static_cast<int16_t>(handler.key));
    for (int16_t version = api.version_min; version <= api.version_max; ++version) {
      auto key = static_cast<int16_t>(api.key);
      for (size_t size = 0; size < 24; ++size) {
        send(key, version, std::string(size, '\x7f'));                 // counts of 2^31 and so on
        send(key, version, std::string(size, '\xff'));                 // nulls, huge varints
        send(key, version, std::string(size, '\0'));                   // empty everything
        send(key, version, std::string(size, '\0') + "\x7f\xff\xff\xff\x7f\xff\xff\xff");
        std::string noise;
        for (size_t i = 0; i < size * 3; ++i) noise += next();
        send(key, version, noise);
      }
    }
  }
  broker_.world.run_for_us(70'000'000);  // whatever was taken up has ended
  auto alive = broker_.call<wire::ApiVersionsResponse>(3, wire::ApiVersionsRequest{});
  EXPECT_EQ(alive.error_code, 0);
}

}  // namespace
}  // namespace broker::handlers::kafka
