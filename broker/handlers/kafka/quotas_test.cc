// Client quotas as clients see them: altered and described, the answer that tells the pause, the
// connection that is muted for it, and what is refused rather than paused.
#include <gtest/gtest.h>

#include "broker/handlers/kafka/test_broker.h"
#include "broker/model/records.h"

namespace broker::handlers::kafka {
namespace {

using Entity = wire::AlterClientQuotasRequest::Entry::Entity;

class QuotasTest : public testing::Test {
 protected:
  QuotasTest() {
    broker.client = std::make_shared<Client>();
    broker.client->principal.user = "alice";
    broker.client->mute = [this](int64_t ms) { mutes.push_back(ms); };
    broker.create_stream("t", v1::STREAM_MODE_PARTITIONED, 1);
  }
  wire::AlterClientQuotasResponse::Entry alter(std::vector<Entity> entity, const std::string& key,
                                               std::optional<double> value) {
    wire::AlterClientQuotasRequest request;
    auto& entry = request.entries.emplace_back();
    entry.entity = std::move(entity);
    auto& op = entry.ops.emplace_back();
    op.key = key;
    op.value = value.value_or(0);
    op.remove = !value;
    return broker.call<wire::AlterClientQuotasResponse>(1, request).entries.at(0);
  }
  static Entity user(std::optional<std::string> name) { return {"user", std::move(name), {}}; }
  static Entity client_id(std::optional<std::string> name) {
    return {"client-id", std::move(name), {}};
  }
  void must_alter(std::vector<Entity> entity, const std::string& key, double value) {
    auto told = alter(std::move(entity), key, value);
    ASSERT_EQ(told.error_code, 0) << told.error_message.value_or("");
  }
  wire::ProduceResponse produce(size_t value_bytes, int16_t acks = -1) {
    RecordBatchBuilder builder({Compression::kNone, -1, -1, -1});
    builder.add(1000, "key", std::string(value_bytes, 'v'));
    wire::ProduceRequest request;
    request.acks = acks;
    request.timeout_ms = 5000;
    auto& topic = request.topics.emplace_back();
    topic.name = "t";
    auto& partition = topic.partitions.emplace_back();
    partition.records =
        wire::Records{{Buffer::from_string(std::move(builder.build()).value())}};
    return broker.call<wire::ProduceResponse>(9, request);
  }
  wire::FetchResponse fetch(int32_t session_epoch, int32_t session_id = 0) {
    wire::FetchRequest request;
    request.min_bytes = 1;
    request.session_epoch = session_epoch;
    request.session_id = session_id;
    if (session_epoch <= 0) {
      auto& topic = request.topics.emplace_back();
      topic.topic = "t";
      topic.partitions.emplace_back().partition_max_bytes = 1 << 20;
    }
    return broker.call<wire::FetchResponse>(11, request);
  }
  static size_t bytes_of(const wire::FetchResponse& response) {
    size_t bytes = 0;
    for (const auto& topic : response.responses) {
      for (const auto& partition : topic.partitions) bytes += partition.records->size();
    }
    return bytes;
  }
  wire::CreateTopicsResponse create_topic(const std::string& name, int32_t partitions,
                                          int16_t version) {
    wire::CreateTopicsRequest request;
    auto& topic = request.topics.emplace_back();
    topic.name = name;
    topic.num_partitions = partitions;
    topic.replication_factor = 1;
    return broker.call<wire::CreateTopicsResponse>(version, request);
  }

  std::vector<int64_t> mutes;
  TestBroker broker;
};

TEST_F(QuotasTest, AreAlteredDescribedAndTakenAway) {
  must_alter({user("alice"), client_id("app")}, "producer_byte_rate", 1000);
  must_alter({user("alice"), client_id("app")}, "request_percentage", 12.5);
  must_alter({user(std::nullopt)}, "consumer_byte_rate", 2000);
  auto describe = [&](std::vector<wire::DescribeClientQuotasRequest::Component> components,
                      bool strict) {
    wire::DescribeClientQuotasRequest request;
    request.components = std::move(components);
    request.strict = strict;
    auto response = broker.call<wire::DescribeClientQuotasResponse>(1, request);
    EXPECT_EQ(response.error_code, 0) << response.error_message.value_or("");
    return response.entries.value_or(decltype(response.entries)::value_type());
  };
  EXPECT_EQ(describe({}, false).size(), 2u);
  EXPECT_EQ(describe({{"user", 2, std::nullopt, {}}}, false).size(), 2u);
  auto strict = describe({{"user", 2, std::nullopt, {}}}, true);
  ASSERT_EQ(strict.size(), 1u);
  EXPECT_EQ(strict[0].entity.at(0).entity_name, std::nullopt);
  EXPECT_EQ(describe({{"user", 1, std::nullopt, {}}}, false).size(), 1u);
  auto exact = describe({{"user", 0, "alice", {}}, {"client-id", 0, "app", {}}}, true);
  ASSERT_EQ(exact.size(), 1u);
  ASSERT_EQ(exact[0].values.size(), 2u);
  EXPECT_EQ(exact[0].values[0].key, "producer_byte_rate");
  EXPECT_EQ(exact[0].values[0].value, 1000);
  EXPECT_EQ(exact[0].values[1].value, 12.5);
  EXPECT_EQ(alter({user(std::nullopt)}, "consumer_byte_rate", std::nullopt).error_code, 0);
  EXPECT_EQ(describe({{"user", 1, std::nullopt, {}}}, false).size(), 0u);

  wire::DescribeClientQuotasRequest twice;
  twice.components = {{"user", 2, std::nullopt, {}}, {"user", 1, std::nullopt, {}}};
  EXPECT_EQ(broker.call<wire::DescribeClientQuotasResponse>(1, twice).error_code,
            wire::wire(Error::kInvalidRequest));
}

TEST_F(QuotasTest, WhatCannotBeIsRefusedByName) {
  auto ip = alter({{"ip", "10.0.0.1", {}}}, "connection_creation_rate", 1);
  EXPECT_EQ(ip.error_code, wire::wire(Error::kUnsupportedVersion));
  EXPECT_NE(ip.error_message->find("'ip'"), std::string::npos);
  EXPECT_EQ(ip.entity.at(0).entity_type, "ip");
  auto unknown = alter({user("alice")}, "bytes", 1);
  EXPECT_EQ(unknown.error_code, wire::wire(Error::kInvalidRequest));
  EXPECT_NE(unknown.error_message->find("'bytes'"), std::string::npos);
}

// Such a name reached the coordinator once, which took the broker's whole message for broken.
TEST_F(QuotasTest, ANameThatIsNoTextIsRefusedHere) {
  auto told = alter({user("al\xff")}, "producer_byte_rate", 1000);
  EXPECT_EQ(told.error_code, wire::wire(Error::kInvalidRequest));
  EXPECT_EQ(told.error_message.value_or(""), "the name given is not UTF-8");
}

TEST_F(QuotasTest, AProducerIsToldToPauseAndMuted) {
  EXPECT_EQ(produce(50'000).throttle_time_ms, 0);
  must_alter({user("alice")}, "producer_byte_rate", 1000);
  auto told = produce(50'000);
  EXPECT_EQ(told.responses.at(0).partitions.at(0).error_code, 0) << "it is stored all the same";
  EXPECT_GT(told.throttle_time_ms, 30'000);
  ASSERT_EQ(mutes.size(), 1u);
  EXPECT_EQ(mutes[0], told.throttle_time_ms);
  produce(50'000, 0);  // has no answer
  EXPECT_EQ(mutes.size(), 2u);
  broker.client = std::make_shared<Client>();
  broker.client->principal.user = "bob";
  EXPECT_EQ(produce(50'000).throttle_time_ms, 0);
}

TEST_F(QuotasTest, AConsumerOverItsQuotaGetsNothingAndThenAll) {
  for (int i = 0; i < 3; ++i) produce(20'000);
  must_alter({client_id("test")}, "consumer_byte_rate", 5000);
  auto first = fetch(0);  // 10 windows' worth
  EXPECT_EQ(first.throttle_time_ms, 0);
  EXPECT_GT(bytes_of(first), 20'000u);
  EXPECT_LE(bytes_of(first), 50'000u);
  auto second = fetch(0);
  EXPECT_GT(second.throttle_time_ms, 0);
  EXPECT_EQ(bytes_of(second), 0u);
  EXPECT_TRUE(second.responses.empty());
  EXPECT_EQ(second.session_id, 0) << "a full request's session is not told of";
  auto incremental = fetch(1, first.session_id);
  EXPECT_TRUE(incremental.responses.empty() || bytes_of(incremental) == 0);
  ASSERT_FALSE(mutes.empty());
  broker.world.run_for_us(12'000'000);
  EXPECT_GT(bytes_of(fetch(0)), 20'000u);
}

TEST_F(QuotasTest, MutationsAreRefusedInNewVersionsAndPausedInOldOnes) {
  must_alter({user("alice")}, "controller_mutation_rate", 1);
  EXPECT_EQ(create_topic("a", 20, 6).topics.at(0).error_code, 0);
  auto refused = create_topic("b", 1, 6);
  EXPECT_EQ(refused.topics.at(0).error_code, wire::wire(Error::kThrottlingQuotaExceeded));
  EXPECT_GT(refused.throttle_time_ms, 0);
  EXPECT_EQ(broker.metadata.find("b"), nullptr);
  auto paused = create_topic("c", 1, 5);
  EXPECT_EQ(paused.topics.at(0).error_code, 0);
  EXPECT_GT(paused.throttle_time_ms, refused.throttle_time_ms);
}

}  // namespace
}  // namespace broker::handlers::kafka
