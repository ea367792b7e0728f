// Client quotas at the Kinesis door: the request that goes over is served, the next ones are refused in
// AWS's words until the time is over.
#include <gtest/gtest.h>

#include "broker/handlers/kinesis/test_broker.h"

namespace broker::handlers::kinesis {
namespace {

class KinesisQuotas : public testing::Test {
 protected:
  KinesisQuotas() {
    broker.caller.user = "alice";
    broker.create("s", 1);
    broker.set_attribute("s", "limits", "none");  // the shard's own limits are another matter
  }
  void quota(const std::string& key, double value) {
    sluice::v1::ClientQuotas quotas;
    auto* quota = quotas.add_quotas();
    auto* part = quota->add_entity();
    part->set_type("user");
    part->set_name("alice");
    (*quota->mutable_values())[key] = value;
    broker.client_quotas().update(quotas);
  }
  wire::PutRecordRequest record(size_t bytes) {
    wire::PutRecordRequest request;
    request.stream_name = "s";
    request.partition_key = "k";
    request.data = std::string(bytes, 'x');
    return request;
  }
  TestBroker broker;
};

constexpr const char* kThroughput = "ProvisionedThroughputExceededException";

TEST_F(KinesisQuotas, PutsAreRefusedUntilTheTimeIsOver) {
  quota("producer_byte_rate", 1000);
  broker.must(record(19'999));  // 10 windows' worth, twice
  auto refused = broker.call(record(1));
  EXPECT_EQ(refused.error, kThroughput);
  EXPECT_NE(refused.message.find("producer_byte_rate of user alice"), std::string::npos)
      << refused.message;
  wire::PutRecordsRequest many;
  many.stream_name = "s";
  many.records.push_back({"x", std::nullopt, "k"});
  EXPECT_EQ(broker.error_of(many), kThroughput);
  broker.caller.user = "bob";
  broker.must(record(1));
  broker.caller.user = "alice";
  broker.advance_ms(11'000);
  broker.must(record(1));
}

TEST_F(KinesisQuotas, ReadsAreRefusedUntilTheTimeIsOver) {
  broker.must(record(30'000));
  quota("consumer_byte_rate", 1000);
  wire::GetRecordsRequest read;
  read.shard_iterator = broker.iterator("s", 0);
  EXPECT_EQ(broker.must(read).records.size(), 1u);
  EXPECT_EQ(broker.error_of(read), kThroughput);
  broker.advance_ms(21'000);
  EXPECT_EQ(broker.must(read).records.size(), 1u);
}

TEST_F(KinesisQuotas, MutationsAreRefused) {
  quota("controller_mutation_rate", 1);
  broker.create("other", 20);
  wire::CreateStreamRequest request;
  request.stream_name = "third";
  request.shard_count = 1;
  auto refused = broker.call(request);
  EXPECT_EQ(refused.error, "LimitExceededException");
  EXPECT_NE(refused.message.find("controller_mutation_rate"), std::string::npos);
  EXPECT_EQ(broker.metadata.find("third"), nullptr);
}

}  // namespace
}  // namespace broker::handlers::kinesis
