// Goal: what Kafka clients rely on, against one whole broker in virtual time: produce and fetch
// with every acks, idempotence, long polling, limits, epochs, offsets by time, sessions, topics and
// their configurations, and the refusals.
#include <gtest/gtest.h>

#include "broker/handlers/kafka/test_broker.h"
#include "broker/model/records.h"

namespace broker::handlers::kafka {
namespace {

constexpr auto kPartitioned = sluice::v1::STREAM_MODE_PARTITIONED;
constexpr auto kElastic = sluice::v1::STREAM_MODE_ELASTIC;

int16_t code(Error error) {
  return wire::wire(error);
}

struct BatchSpec {
  int records = 1;
  int64_t timestamp_ms = 1000;
  size_t value_bytes = 10;
  Compression compression = Compression::kNone;
  int64_t producer_id = -1;
  int32_t sequence = -1;
};

std::string batch_of(const BatchSpec& spec) {
  RecordBatchBuilder builder({spec.compression, spec.producer_id,
                              static_cast<int16_t>(spec.producer_id < 0 ? -1 : 0), spec.sequence});
  for (int i = 0; i < spec.records; ++i) {
    builder.add(spec.timestamp_ms + i, "key", std::string(spec.value_bytes, 'v'));
  }
  return std::move(builder.build()).value();
}

wire::ProduceRequest produce(const std::string& topic, int32_t partition, std::string batch,
                             int16_t acks = -1) {
  wire::ProduceRequest request;
  request.acks = acks;
  request.timeout_ms = 5000;
  auto& t = request.topics.emplace_back();
  t.name = topic;
  auto& p = t.partitions.emplace_back();
  p.index = partition;
  p.records = wire::Records{{Buffer::from_string(std::move(batch))}};
  return request;
}

wire::ProduceResponse::Topic::Partition produce_one(TestBroker& broker, const std::string& topic,
                                                    const BatchSpec& spec, int16_t version = 9) {
  auto response = broker.call<wire::ProduceResponse>(version, produce(topic, 0, batch_of(spec)));
  return response.responses.at(0).partitions.at(0);
}

wire::FetchRequest fetch(const std::string& topic, int64_t offset, int32_t max_wait_ms = 0) {
  wire::FetchRequest request;
  request.max_wait_ms = max_wait_ms;
  request.min_bytes = 1;
  auto& t = request.topics.emplace_back();
  t.topic = topic;
  auto& p = t.partitions.emplace_back();
  p.partition = 0;
  p.fetch_offset = offset;
  p.partition_max_bytes = 1 << 20;
  return request;
}

TEST(ProduceFetch, WhatIsProducedIsFetched) {
  TestBroker broker;
  broker.create_stream("t", kPartitioned, 1);
  EXPECT_EQ(produce_one(broker, "t", {.records = 3}).base_offset, 0);
  EXPECT_EQ(produce_one(broker, "t", {.records = 2, .compression = Compression::kZstd}).base_offset,
            3);
  auto response = broker.call<wire::FetchResponse>(12, fetch("t", 0));
  auto& partition = response.responses.at(0).partitions.at(0);
  EXPECT_EQ(partition.error_code, 0);
  EXPECT_EQ(partition.high_watermark, 5);
  EXPECT_EQ(partition.last_stable_offset, 5);
  std::string records = partition.records->flatten();
  auto first = parse_batch_header(records);
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(first->record_count, 3);
  auto second = parse_batch_header(std::string_view(records).substr(first->size));
  ASSERT_TRUE(second.ok());
  EXPECT_EQ(second->base_offset, Offset{3});
  EXPECT_EQ(second->term, broker.partition("t", 0).term());
}

// aiokafka fetches by version 4 and decompresses zstd all the same; it was refused once.
TEST(ProduceFetch, ZstdIsProducedByVersionsThatKnowItAndFetchedByAll) {
  TestBroker broker;
  broker.create_stream("t", kPartitioned, 1);
  BatchSpec zstd{.compression = Compression::kZstd};
  EXPECT_EQ(produce_one(broker, "t", zstd, 6).error_code, code(Error::kUnsupportedCompressionType));
  EXPECT_EQ(produce_one(broker, "t", zstd, 7).error_code, 0);
  auto response = broker.call<wire::FetchResponse>(4, fetch("t", 0));
  EXPECT_EQ(response.responses.at(0).partitions.at(0).error_code, 0);
  EXPECT_GT(response.responses.at(0).partitions.at(0).records->size(), 0u);
}

TEST(ProduceFetch, AcksZeroHasNoResponseAndErrorsCloseTheConnection) {
  TestBroker broker;
  broker.create_stream("t", kPartitioned, 1);
  auto sent = broker.send<wire::ProduceResponse>(9, produce("t", 0, batch_of({}), 0));
  EXPECT_TRUE(broker.world.run_until([&] { return sent->answered; }));
  EXPECT_TRUE(broker.world.run_until(
      [&] { return broker.partition("t", 0).high_watermark() == Offset{1}; }));
  auto lost = broker.send<wire::ProduceResponse>(9, produce("t", 9, batch_of({}), 0));
  EXPECT_TRUE(broker.world.run_until([&] { return lost->closed; }));
}

TEST(ProduceFetch, IdempotenceByProducerIds) {
  TestBroker broker;
  broker.create_stream("t", kPartitioned, 1);
  auto id = broker.call<wire::InitProducerIdResponse>(4, wire::InitProducerIdRequest{});
  ASSERT_EQ(id.error_code, 0);
  auto other = broker.call<wire::InitProducerIdResponse>(4, wire::InitProducerIdRequest{});
  EXPECT_NE(other.producer_id, id.producer_id);
  BatchSpec first{.records = 2, .producer_id = id.producer_id, .sequence = 0};
  EXPECT_EQ(produce_one(broker, "t", first).base_offset, 0);
  auto again = produce_one(broker, "t", first);  // a retry: the same answer, nothing appended
  EXPECT_EQ(again.error_code, 0);
  EXPECT_EQ(again.base_offset, 0);
  EXPECT_EQ(broker.partition("t", 0).log_end(), Offset{2});
  BatchSpec gap{.producer_id = id.producer_id, .sequence = 7};
  EXPECT_EQ(produce_one(broker, "t", gap).error_code, code(Error::kOutOfOrderSequenceNumber));
}

TEST(ProduceFetch, Refusals) {
  TestBroker broker;
  broker.create_stream("t", kPartitioned, 1);
  broker.create_stream("e", kElastic, 2);
  auto elastic = produce_one(broker, "e", {});
  EXPECT_EQ(elastic.error_code, code(Error::kPolicyViolation));
  EXPECT_TRUE(elastic.error_message && elastic.error_message->find("elastic") != std::string::npos);
  std::string damaged = batch_of({});
  damaged.back() ^= 1;
  auto answer = [&](wire::ProduceRequest request) {
    return broker.call<wire::ProduceResponse>(9, request)
        .responses.at(0)
        .partitions.at(0)
        .error_code;
  };
  EXPECT_EQ(answer(produce("t", 0, damaged)), code(Error::kCorruptMessage));
  EXPECT_EQ(answer(produce("t", 1, batch_of({}))), code(Error::kUnknownTopicOrPartition));
  EXPECT_EQ(answer(produce("none", 0, batch_of({}))), code(Error::kUnknownTopicOrPartition));
  EXPECT_EQ(answer(produce("t", 0, batch_of({}), 2)), code(Error::kInvalidRequiredAcks));
  EXPECT_EQ(answer(produce("t", 0, batch_of({.value_bytes = 40 << 20}))),
            code(Error::kMessageTooLarge));
  EXPECT_EQ(answer(produce("t", 0, build_seal_batch("x", 1))), code(Error::kInvalidRecord));
  EXPECT_EQ(answer(produce("t", 0, "")), code(Error::kInvalidRecord));
  auto transactional = produce("t", 0, batch_of({}));
  transactional.transactional_id = "tx";
  EXPECT_EQ(answer(transactional), code(Error::kInvalidTxnState));
  EXPECT_EQ(broker.partition("t", 0).log_end(), Offset{0});
}

TEST(Fetch, LongPollEndsWithDataOrTime) {
  TestBroker broker;
  broker.create_stream("t", kPartitioned, 1);
  auto waiting = broker.send<wire::FetchResponse>(12, fetch("t", 0, 10'000));
  broker.world.run_for_us(2'000'000);
  EXPECT_FALSE(waiting->answered);
  produce_one(broker, "t", {});
  EXPECT_TRUE(broker.world.run_until([&] { return waiting->answered; }, 1'000'000));
  EXPECT_GT(waiting->response.responses.at(0).partitions.at(0).records->size(), 0u);
  int64_t began_us = broker.world.now_us();
  auto empty = broker.call<wire::FetchResponse>(12, fetch("t", 1, 500));
  EXPECT_GE(broker.world.now_us() - began_us, 500'000);
  EXPECT_EQ(empty.responses.at(0).partitions.at(0).records->size(), 0u);
}

// Records on the disk are fetched beside the reactor, and waited for longer than for news.
TEST(Fetch, WhatIsOnTheDiskIsWaitedFor) {
  TestBroker broker;
  broker.create_stream("t", kPartitioned, 2);
  for (int i = 0; i < 3; ++i) produce_one(broker, "t", {.value_bytes = 1000});
  auto request = fetch("t", 0);
  request.min_bytes = 0;
  auto warm = broker.call<wire::FetchResponse>(12, request);
  broker.leave_only_on_disk();
  auto cold = broker.send<wire::FetchResponse>(12, request);
  EXPECT_FALSE(cold->answered);
  EXPECT_TRUE(broker.world.run_until([&] { return cold->answered; }, 1'000'000));
  EXPECT_EQ(cold->response.responses.at(0).partitions.at(0).records->flatten(),
            warm.responses.at(0).partitions.at(0).records->flatten());
  // Another partition's news do not wait for it.
  auto& empty = request.topics[0].partitions.emplace_back(request.topics[0].partitions[0]);
  empty.partition = 1;
  empty.fetch_offset = 7;
  auto refused = broker.send<wire::FetchResponse>(12, request);
  ASSERT_TRUE(refused->answered);
  EXPECT_EQ(refused->response.responses.at(0).partitions.at(1).error_code,
            code(Error::kOffsetOutOfRange));
}

// Seen: at a broker's end its shards told the handlers of waiting requests, which had gone before.
TEST(Fetch, AFetchThatWaitsAtTheBrokersEndIsTold) {
  TestBroker broker;
  broker.create_stream("t", kPartitioned, 1);
  auto left = broker.send<wire::FetchResponse>(12, fetch("t", 0, 60'000));
  auto told = broker.send<wire::FetchResponse>(12, fetch("t", 0, 60'000));
  broker.world.run_for_us(1'000'000);
  EXPECT_FALSE(told->answered);
  broker.end_shards();
  EXPECT_TRUE(broker.world.run_until([&] { return told->answered; }, 1'000'000));
  EXPECT_TRUE(left->answered);
}
TEST(Fetch, AFetchMayWaitPastTheBrokersEnd) {
  TestBroker broker;
  broker.create_stream("t", kPartitioned, 1);
  broker.send<wire::FetchResponse>(12, fetch("t", 0, 60'000));
  broker.world.run_for_us(1'000'000);
}

TEST(Fetch, LimitsLetOneBatchThrough) {
  TestBroker broker;
  broker.create_stream("t", kPartitioned, 1);
  for (int i = 0; i < 4; ++i) produce_one(broker, "t", {.value_bytes = 10'000});
  auto request = fetch("t", 0);
  request.topics[0].partitions[0].partition_max_bytes = 1;
  auto one = broker.call<wire::FetchResponse>(12, request);
  size_t batch_bytes = one.responses.at(0).partitions.at(0).records->size();
  EXPECT_GT(batch_bytes, 10'000u);
  EXPECT_LT(batch_bytes, 11'000u);
  request.topics[0].partitions[0].partition_max_bytes = 1 << 20;
  request.max_bytes = static_cast<int32_t>(batch_bytes * 2);
  auto two = broker.call<wire::FetchResponse>(12, request);
  EXPECT_EQ(two.responses.at(0).partitions.at(0).records->size(), 2 * batch_bytes);
}

TEST(Fetch, OffsetsAndEpochsAreChecked) {
  TestBroker broker;
  broker.create_stream("t", kPartitioned, 1);
  produce_one(broker, "t", {.records = 2});
  int32_t epoch = broker.partition("t", 0).term().value;
  auto error = [&](int64_t offset, int32_t leader_epoch) {
    auto request = fetch("t", offset, 1000);
    request.topics[0].partitions[0].current_leader_epoch = leader_epoch;
    return broker.call<wire::FetchResponse>(12, request)
        .responses.at(0)
        .partitions.at(0)
        .error_code;
  };
  EXPECT_EQ(error(0, epoch), 0);
  EXPECT_EQ(error(99, -1), code(Error::kOffsetOutOfRange));
  EXPECT_EQ(error(0, epoch + 1), code(Error::kUnknownLeaderEpoch));
  if (epoch > 0) {
    EXPECT_EQ(error(0, epoch - 1), code(Error::kFencedLeaderEpoch));
  }
  auto beyond = fetch("t", 0);
  beyond.topics[0].partitions[0].last_fetched_epoch = epoch + 3;
  auto diverged = broker.call<wire::FetchResponse>(12, beyond);
  EXPECT_EQ(diverged.responses.at(0).partitions.at(0).diverging_epoch.epoch, epoch);
  EXPECT_EQ(diverged.responses.at(0).partitions.at(0).diverging_epoch.end_offset, 2);

  wire::OffsetForLeaderEpochRequest ends;
  ends.topics.emplace_back().topic = "t";
  auto& asked = ends.topics[0].partitions.emplace_back();
  asked.leader_epoch = epoch;
  auto end = broker.call<wire::OffsetForLeaderEpochResponse>(4, ends);
  EXPECT_EQ(end.topics.at(0).partitions.at(0).leader_epoch, epoch);
  EXPECT_EQ(end.topics.at(0).partitions.at(0).end_offset, 2);
}

TEST(Fetch, SessionsTellOnlyWhatIsNew) {
  TestBroker broker;
  broker.create_stream("t", kPartitioned, 2);
  auto request = fetch("t", 0);
  request.topics[0].partitions.push_back(request.topics[0].partitions[0]);
  request.topics[0].partitions[1].partition = 1;
  request.session_epoch = 0;
  auto full = broker.call<wire::FetchResponse>(12, request);
  ASSERT_NE(full.session_id, 0);
  ASSERT_EQ(full.responses.at(0).partitions.size(), 2u);

  wire::FetchRequest next;
  next.session_id = full.session_id;
  next.session_epoch = 1;
  EXPECT_TRUE(broker.call<wire::FetchResponse>(12, next).responses.empty());
  produce_one(broker, "t", {});
  next.session_epoch = 2;
  auto news = broker.call<wire::FetchResponse>(12, next);
  ASSERT_EQ(news.responses.size(), 1u);
  ASSERT_EQ(news.responses[0].partitions.size(), 1u);
  EXPECT_GT(news.responses[0].partitions[0].records->size(), 0u);
  EXPECT_EQ(broker.call<wire::FetchResponse>(12, next).error_code,
            code(Error::kInvalidFetchSessionEpoch));  // the same epoch again
  auto& forgotten = next.forgotten_topics.emplace_back();
  forgotten.topic = "t";
  forgotten.partitions = {0};
  next.session_epoch = 3;
  EXPECT_TRUE(broker.call<wire::FetchResponse>(12, next).responses.empty());
  next.session_id = full.session_id ^ 1;
  EXPECT_EQ(broker.call<wire::FetchResponse>(12, next).error_code,
            code(Error::kFetchSessionIdNotFound));
}

TEST(Fetch, ByTopicId) {
  TestBroker broker;
  broker.create_stream("t", kPartitioned, 1);
  auto request = produce("", 0, batch_of({}));
  request.topics[0].topic_id = broker.metadata.find("t")->id;
  auto produced = broker.call<wire::ProduceResponse>(13, request);
  EXPECT_EQ(produced.responses.at(0).partitions.at(0).error_code, 0);
  auto read = fetch("", 0);
  read.topics[0].topic_id = request.topics[0].topic_id;
  auto fetched = broker.call<wire::FetchResponse>(18, read);
  EXPECT_GT(fetched.responses.at(0).partitions.at(0).records->size(), 0u);
  read.topics[0].topic_id = Uuid::from_random(9, 9);
  fetched = broker.call<wire::FetchResponse>(18, read);
  EXPECT_EQ(fetched.responses.at(0).partitions.at(0).error_code, code(Error::kUnknownTopicId));
}

TEST(ListOffsets, ByTimestampAndSpecials) {
  TestBroker broker;
  broker.create_stream("t", kPartitioned, 1);
  auto ask = [&](int64_t timestamp, int16_t version = 11) {
    wire::ListOffsetsRequest request;
    request.topics.emplace_back().name = "t";
    request.topics[0].partitions.emplace_back().timestamp = timestamp;
    return broker.call<wire::ListOffsetsResponse>(version, request).topics.at(0).partitions.at(0);
  };
  EXPECT_EQ(ask(-1).offset, 0);
  EXPECT_EQ(ask(-2).leader_epoch, broker.partition("t", 0).term().value) << "of an empty log, too";
  EXPECT_EQ(ask(-3).offset, -1);
  produce_one(broker, "t", {.records = 10, .timestamp_ms = 1000});
  produce_one(broker, "t", {.records = 10, .timestamp_ms = 5000, .compression = Compression::kLz4});
  produce_one(broker, "t", {.records = 2, .timestamp_ms = 3000});
  EXPECT_EQ(ask(-1).offset, 22);
  EXPECT_EQ(ask(-2).offset, 0);
  EXPECT_EQ(ask(-2).leader_epoch, broker.partition("t", 0).term().value);
  EXPECT_EQ(ask(-4).offset, 0);
  EXPECT_EQ(ask(-5).offset, -1);
  EXPECT_EQ(ask(-3).offset, 19);
  EXPECT_EQ(ask(-3).timestamp, 5009);
  EXPECT_EQ(ask(1004).offset, 4);
  EXPECT_EQ(ask(2000).offset, 10);
  EXPECT_EQ(ask(5003).offset, 13);
  EXPECT_EQ(ask(9000).offset, -1);
  EXPECT_EQ(ask(-3, 6).error_code, code(Error::kUnsupportedVersion));
}

// OFFSET_OUT_OF_RANGE once: records had been deleted up to the middle of the batch that was found.
TEST(ListOffsets, ByTimestampWhereTheLogStartsInsideABatch) {
  TestBroker broker;
  broker.create_stream("t", kPartitioned, 1);
  auto ask = [&](int64_t timestamp) {
    wire::ListOffsetsRequest request;
    request.topics.emplace_back().name = "t";
    request.topics[0].partitions.emplace_back().timestamp = timestamp;
    return broker.call<wire::ListOffsetsResponse>(11, request).topics.at(0).partitions.at(0);
  };
  produce_one(broker, "t", {.records = 10, .timestamp_ms = 1000});
  wire::DeleteRecordsRequest remove;
  remove.timeout_ms = 5000;
  remove.topics.push_back({"t", {{0, 4, {}}}, {}});
  auto removed = broker.call<wire::DeleteRecordsResponse>(2, remove).topics.at(0);
  EXPECT_EQ(removed.partitions.at(0).low_watermark, 4);
  EXPECT_EQ(ask(-2).offset, 4);
  auto latest = ask(-3);
  EXPECT_EQ(latest.error_code, 0);
  EXPECT_EQ(latest.offset, 9);
  EXPECT_EQ(latest.timestamp, 1009);
  auto deleted = ask(1002);
  EXPECT_EQ(deleted.error_code, 0);
  EXPECT_EQ(deleted.offset, 4);
  EXPECT_EQ(deleted.timestamp, 1004);
  EXPECT_EQ(ask(1006).offset, 6);
  EXPECT_EQ(ask(1010).offset, -1);
}

TEST(Topics, LifeOfATopic) {
  TestBroker broker;
  wire::CreateTopicsRequest create;
  auto& topic = create.topics.emplace_back();
  topic.name = "t";
  topic.num_partitions = 3;
  topic.replication_factor = 1;
  topic.configs.push_back({"retention.ms", "60000", {}});
  topic.configs.push_back({"cleanup.policy", "delete", {}});
  create.validate_only = true;
  EXPECT_EQ(broker.call<wire::CreateTopicsResponse>(7, create).topics.at(0).error_code, 0);
  EXPECT_EQ(broker.metadata.find("t"), nullptr);
  create.validate_only = false;
  auto created = broker.call<wire::CreateTopicsResponse>(7, create).topics.at(0);
  EXPECT_EQ(created.error_code, 0) << created.error_message.value_or("");
  EXPECT_FALSE(created.topic_id.is_zero());
  EXPECT_EQ(created.num_partitions, 3);
  EXPECT_EQ(broker.call<wire::CreateTopicsResponse>(7, create).topics.at(0).error_code,
            code(Error::kTopicAlreadyExists));

  wire::DescribeConfigsRequest describe;
  auto& resource = describe.resources.emplace_back();
  resource.resource_type = 2;
  resource.resource_name = "t";
  resource.configuration_keys = {"retention.ms"};
  auto configs = broker.call<wire::DescribeConfigsResponse>(4, describe).results.at(0).configs;
  ASSERT_EQ(configs.size(), 1u);
  EXPECT_EQ(configs[0].value, "60000");
  EXPECT_EQ(configs[0].config_source, 1);

  wire::CreatePartitionsRequest grow;
  grow.timeout_ms = 5000;
  grow.topics.push_back({"t", 2, std::nullopt, {}});
  EXPECT_EQ(broker.call<wire::CreatePartitionsResponse>(3, grow).results.at(0).error_code,
            code(Error::kInvalidPartitions));
  grow.topics[0].count = 5;
  EXPECT_EQ(broker.call<wire::CreatePartitionsResponse>(3, grow).results.at(0).error_code, 0);
  EXPECT_TRUE(broker.world.run_until(
      [&] { return broker.metadata.find("t")->map.shards_size() == 5; }, 5'000'000));

  wire::DescribeTopicPartitionsRequest pages;
  pages.response_partition_limit = 3;
  auto page = broker.call<wire::DescribeTopicPartitionsResponse>(0, pages);
  EXPECT_EQ(page.topics.at(0).partitions.size(), 3u);
  ASSERT_TRUE(page.next_cursor);
  EXPECT_EQ(page.next_cursor->partition_index, 3);

  wire::DeleteTopicsRequest remove;
  remove.timeout_ms = 5000;
  remove.topics.emplace_back().topic_id = created.topic_id;
  EXPECT_EQ(broker.call<wire::DeleteTopicsResponse>(6, remove).responses.at(0).error_code, 0);
  EXPECT_TRUE(broker.world.run_until([&] { return !broker.metadata.find("t"); }, 5'000'000));
  EXPECT_EQ(broker.call<wire::DeleteTopicsResponse>(6, remove).responses.at(0).error_code,
            code(Error::kUnknownTopicId));
}

TEST(Topics, CreationRefusesByName) {
  TestBroker broker;
  auto error = [&](auto change) {
    wire::CreateTopicsRequest create;
    auto& topic = create.topics.emplace_back();
    topic.name = "t";
    topic.num_partitions = 1;
    topic.replication_factor = 1;
    change(topic);
    return broker.call<wire::CreateTopicsResponse>(5, create).topics.at(0).error_code;
  };
  EXPECT_EQ(error([](auto& t) { t.name = "a b"; }), code(Error::kInvalidTopicException));
  EXPECT_EQ(error([](auto& t) { t.num_partitions = 0; }), code(Error::kInvalidPartitions));
  EXPECT_EQ(error([](auto& t) { t.replication_factor = 3; }),
            code(Error::kInvalidReplicationFactor));
  EXPECT_EQ(error([](auto& t) { t.assignments.emplace_back(); }),
            code(Error::kInvalidRequest));
  for (const char* name : {"cleanup.policy", "retention.ms", "segment.bytes", "no.such.config"}) {
    EXPECT_EQ(error([&](auto& t) {
                t.configs.push_back({name, "compact", {}});
              }),
              code(Error::kInvalidConfig))
        << name;
  }
}

// Just after a coordinator's restart each broker hears of the others one after another.
TEST(Topics, ABrokerThatDoesNotKnowTheOthersYetRefusesNoTopic) {
  TestBroker broker;
  v1::MetadataUpdate update;
  *update.add_brokers() = *broker.metadata.find_broker(BrokerId{0});
  update.mutable_brokers(0)->set_alive(false);
  broker.metadata.apply(update);
  wire::CreateTopicsRequest create;
  auto& topic = create.topics.emplace_back();
  topic.name = "t";
  topic.num_partitions = 1;
  topic.replication_factor = 1;
  auto answer = broker.call<wire::CreateTopicsResponse>(5, create).topics.at(0);
  EXPECT_EQ(answer.error_code, 0) << answer.error_message.value_or("");
}

TEST(Metadata, ByNameIdAndAll) {
  TestBroker broker;
  broker.create_stream("a", kPartitioned, 2);
  broker.create_stream("e", kElastic, 3);
  auto all = broker.call<wire::MetadataResponse>(0, wire::MetadataRequest{.topics = {{}}});
  EXPECT_EQ(all.topics.size(), 2u);
  EXPECT_EQ(all.brokers.at(0).host, "broker.test");
  wire::MetadataRequest none;
  none.topics.emplace();
  EXPECT_TRUE(broker.call<wire::MetadataResponse>(12, none).topics.empty());
  wire::MetadataRequest by_id;
  by_id.topics.emplace().emplace_back().topic_id = broker.metadata.find("e")->id;
  auto answer = broker.call<wire::MetadataResponse>(12, by_id);
  EXPECT_EQ(answer.topics.at(0).name, "e");
  EXPECT_EQ(answer.topics.at(0).partitions.size(), 3u);
  EXPECT_EQ(answer.topics.at(0).partitions.at(0).leader_id, 0);
  EXPECT_EQ(answer.topics.at(0).partitions.at(0).isr_nodes, std::vector<int32_t>{0});
}

// librdkafka's admin client waited for good for a coordinator whose broker Metadata no longer named.
TEST(Metadata, ABrokerThatHasGoneIsNamedForAWhile) {
  TestBroker broker;
  auto set = [&](bool alive, bool full = false) {
    v1::MetadataUpdate update;
    for (const auto& [id, known] : broker.metadata.brokers()) {
      if (id == BrokerId{0}) *update.add_brokers() = known;
    }
    update.set_full(full);
    if (!full) {
      auto& other = *update.add_brokers();
      other.set_id(1);
      other.set_alive(alive);
      other.mutable_kafka()->set_host("other.test");
      other.mutable_kafka()->set_port(9092);
    }
    broker.metadata.apply(update);
  };
  auto named = [&] {
    wire::MetadataRequest none;
    none.topics.emplace();
    std::vector<int32_t> ids;
    for (const auto& node : broker.call<wire::MetadataResponse>(12, none).brokers) {
      ids.push_back(node.node_id);
    }
    return ids;
  };
  const std::vector<int32_t> both{0, 1}, one{0};
  set(false);
  EXPECT_EQ(named(), one) << "nobody has seen it alive";
  set(true);
  set(false);
  EXPECT_EQ(named(), both);
  broker.world.run_for_us(8'000'000);
  set(false);
  EXPECT_EQ(named(), both);
  broker.world.run_for_us(1'000'000);
  EXPECT_EQ(named(), one);
  set(true);
  set(false);
  EXPECT_EQ(named(), both);
  set(false, true);
  EXPECT_EQ(named(), one) << "the cluster has given it up";
}

// A client that has heard (no leader, epoch 1) does not take (leader 0, epoch 1) for news: librdkafka
// kept such a partition without a leader for good.
TEST(Metadata, ATermWithoutALeaderIsNotToldAsAnEpoch) {
  TestBroker broker;
  v1::MetadataUpdate update;
  auto* map = update.add_streams();
  map->set_stream_id(Uuid::from_random(3, 4).to_string());
  map->set_stream("b");
  map->set_generation(1);
  auto* shard = map->add_shards();
  shard->set_state(sluice::v1::SHARD_STATE_OPEN);
  shard->set_term(1);
  broker.metadata.apply(update);
  wire::MetadataRequest request;
  request.topics.emplace().emplace_back().name = "b";
  auto between = broker.call<wire::MetadataResponse>(12, request).topics.at(0).partitions.at(0);
  EXPECT_EQ(between.leader_id, -1);
  EXPECT_EQ(between.leader_epoch, 0);
  map->set_generation(2);
  shard->set_leader(0);
  broker.metadata.apply(update);
  auto elected = broker.call<wire::MetadataResponse>(12, request).topics.at(0).partitions.at(0);
  EXPECT_GT(elected.leader_epoch, between.leader_epoch);
}

TEST(Refused, Transactions) {
  TestBroker broker;
  wire::FindCoordinatorRequest find;
  find.coordinator_keys = {"transaction"};
  find.key_type = 1;
  auto transaction = broker.call<wire::FindCoordinatorResponse>(6, find);
  EXPECT_EQ(transaction.coordinators.at(0).node_id, 0);
  wire::InitProducerIdRequest init;
  init.transactional_id = "tx";
  EXPECT_EQ(broker.call<wire::InitProducerIdResponse>(5, init).error_code,
            code(Error::kUnsupportedVersion));
}

}  // namespace
}  // namespace broker::handlers::kafka
