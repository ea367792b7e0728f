// Operations on what a stream and the account are set to.
#include <gmock/gmock.h>

#include "broker/handlers/kinesis/test_requests.h"

namespace broker::handlers::kinesis {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

TEST(Settings, Retention) {
  TestBroker broker;
  broker.create("s", 1);
  auto increase = [&](int32_t hours) {
    auto request = named<wire::IncreaseStreamRetentionPeriodRequest>("s");
    request.retention_period_hours = hours;
    return broker.error_of(request);
  };
  auto decrease = [&](int32_t hours) {
    auto request = named<wire::DecreaseStreamRetentionPeriodRequest>("s");
    request.retention_period_hours = hours;
    return broker.error_of(request);
  };
  EXPECT_EQ(increase(48), "");
  EXPECT_EQ(describe(broker, "s").retention_period_hours, 48);
  EXPECT_EQ(increase(47), kInvalid);
  EXPECT_EQ(increase(8761), kInvalid);
  EXPECT_EQ(increase(8760), "");
  EXPECT_EQ(decrease(23), kInvalid);
  EXPECT_EQ(decrease(24), "");
  EXPECT_EQ(decrease(25), kInvalid);
  EXPECT_EQ(describe(broker, "s").retention_period_hours, 24);
  EXPECT_EQ(broker.metadata.find("s")->map.config().retention_ms(), 24LL * 3600 * 1000);
}

TEST(Settings, EncryptionIsAFlag) {
  TestBroker broker;
  broker.create("s", 1);
  auto start = named<wire::StartStreamEncryptionRequest>("s");
  start.encryption_type = "NONE";
  start.key_id = "alias/aws/kinesis";
  EXPECT_EQ(broker.error_of(start), kInvalid);
  start.encryption_type = "KMS";
  broker.must(start);
  EXPECT_EQ(describe(broker, "s").encryption_type, "KMS");
  EXPECT_EQ(describe(broker, "s").key_id, "alias/aws/kinesis");
  wire::PutRecordRequest put;
  put.stream_name = "s";
  put.partition_key = "k";
  EXPECT_EQ(broker.must(put).encryption_type, "KMS");
  wire::GetRecordsRequest get;
  get.shard_iterator = broker.iterator("s", 0);
  EXPECT_EQ(broker.must(get).records[0].encryption_type, "KMS");
  for (int i = 0; i < 24; ++i) broker.must(start);
  EXPECT_EQ(broker.error_of(start), kLimit);
  auto stop = named<wire::StopStreamEncryptionRequest>("s");
  stop.encryption_type = "KMS";
  broker.must(stop);
  EXPECT_EQ(describe(broker, "s").encryption_type, "NONE");
}

// As often as it may be started, and counted apart.
TEST(Settings, EncryptionIsStopped25TimesADay) {
  TestBroker broker;
  broker.create("s", 1);
  auto start = named<wire::StartStreamEncryptionRequest>("s");
  start.encryption_type = "KMS";
  start.key_id = "k";
  auto stop = named<wire::StopStreamEncryptionRequest>("s");
  stop.encryption_type = "KMS";
  for (int i = 0; i < 25; ++i) {
    broker.must(start);
    broker.must(stop);
    broker.must(stop);  // nothing to stop: not one of them
  }
  broker.set_attribute("s", "kinesis.encryption-key", "k");
  EXPECT_EQ(broker.error_of(stop), kLimit);
  broker.pass_hours(24);
  broker.must(stop);
}

TEST(Settings, AskForAnActiveStream) {
  TestBroker broker;
  broker.create("s", 1);
  broker.set_attribute("s", "kinesis.target-shards", "3");
  ASSERT_EQ(summary(broker, "s").stream_status, "UPDATING");
  auto longer = named<wire::IncreaseStreamRetentionPeriodRequest>("s");
  longer.retention_period_hours = 48;
  auto answer = broker.call(longer);
  EXPECT_EQ(answer.error, kInUse);
  EXPECT_EQ(answer.message,
            "Stream s under account 123456789012 not ACTIVE, instead in state UPDATING");
  auto enable = named<wire::EnableEnhancedMonitoringRequest>("s");
  enable.shard_level_metrics = {"ALL"};
  EXPECT_EQ(broker.error_of(enable), kInUse);
  ASSERT_TRUE(becomes_active(broker, "s"));
  broker.must(longer);
  broker.must(enable);
}

TEST(Settings, AModeComesWithItsWarmThroughput) {
  TestBroker broker;
  broker.create("s", 1);
  wire::UpdateStreamModeRequest mode;
  mode.stream_arn = stream_arn(broker.caller, "s");
  mode.warm_throughput_mibps = 7;
  mode.stream_mode_details.stream_mode = wire::StreamMode::kProvisioned;
  EXPECT_EQ(broker.error_of(mode), kInvalid);
  mode.stream_mode_details.stream_mode = wire::StreamMode::kOnDemand;
  mode.warm_throughput_mibps = 10'241;
  EXPECT_EQ(broker.error_of(mode), kLimit);
  EXPECT_FALSE(summary(broker, "s").warm_throughput);
  mode.warm_throughput_mibps = 7;
  broker.must(mode);
  ASSERT_TRUE(becomes_active(broker, "s"));
  EXPECT_EQ(summary(broker, "s").open_shard_count, 7);
  EXPECT_EQ(summary(broker, "s").warm_throughput->target_mibps, 7);
  mode.warm_throughput_mibps.reset();
  mode.stream_mode_details.stream_mode = wire::StreamMode::kProvisioned;
  broker.must(mode);
  EXPECT_FALSE(summary(broker, "s").warm_throughput);
}

TEST(Settings, MonitoringModesAndThroughput) {
  TestBroker broker;
  broker.create("s", 2);
  auto enable = named<wire::EnableEnhancedMonitoringRequest>("s");
  enable.shard_level_metrics = {"OutgoingBytes", "IncomingBytes"};
  auto answer = broker.must(enable);
  EXPECT_THAT(*answer.current_shard_level_metrics, IsEmpty());
  EXPECT_THAT(*answer.desired_shard_level_metrics, ElementsAre("IncomingBytes", "OutgoingBytes"));
  enable.shard_level_metrics = {"ALL"};
  EXPECT_THAT(*broker.must(enable).desired_shard_level_metrics, SizeIs(7));
  auto disable = named<wire::DisableEnhancedMonitoringRequest>("s");
  disable.shard_level_metrics = {"IncomingBytes"};
  EXPECT_THAT(*broker.must(disable).desired_shard_level_metrics, SizeIs(6));
  EXPECT_THAT(*describe(broker, "s").enhanced_monitoring[0].shard_level_metrics, SizeIs(6));
  disable.shard_level_metrics = {"ALL"};
  EXPECT_THAT(*broker.must(disable).desired_shard_level_metrics, IsEmpty());

  wire::UpdateStreamModeRequest mode;
  mode.stream_arn = stream_arn(broker.caller, "s");
  mode.stream_mode_details.stream_mode = wire::StreamMode::kOnDemand;
  broker.must(mode);
  EXPECT_EQ(broker.metadata.find("s")->map.config().shards_max(), 200);
  auto warm = named<wire::UpdateStreamWarmThroughputRequest>("s");
  warm.warm_throughput_mibps = 6;
  EXPECT_EQ(broker.must(warm).warm_throughput->target_mibps, 6);
  ASSERT_TRUE(becomes_active(broker, "s"));
  EXPECT_EQ(summary(broker, "s").open_shard_count, 6);
  EXPECT_EQ(summary(broker, "s").warm_throughput->current_mibps, 6);
  mode.stream_mode_details.stream_mode = wire::StreamMode::kProvisioned;
  broker.must(mode);
  EXPECT_EQ(broker.metadata.find("s")->map.config().shards_min(), 6);
  EXPECT_EQ(broker.metadata.find("s")->map.config().shards_max(), 6);
  EXPECT_EQ(broker.error_of(warm), kValidation);
  mode.stream_mode_details.stream_mode = wire::StreamMode::kOnDemand;
  EXPECT_EQ(broker.error_of(mode), kLimit);
  broker.pass_hours(24);
  broker.must(mode);
}

TEST(Settings, OfTheAccount) {
  TestBroker broker;
  auto now = [&] {
    return *broker.must(wire::DescribeAccountSettingsRequest())
                .minimum_throughput_billing_commitment;
  };
  auto set = [&](const char* status) {
    wire::UpdateAccountSettingsRequest request;
    request.minimum_throughput_billing_commitment.status = status;
    return *broker.must(request).minimum_throughput_billing_commitment;
  };
  EXPECT_EQ(now().status, "DISABLED");
  EXPECT_EQ(set("ENABLED").status, "ENABLED");
  const int64_t end_ms = *now().earliest_allowed_end_at_ms;
  EXPECT_EQ(end_ms - *now().started_at_ms, 24LL * 3600 * 1000);
  EXPECT_EQ(set("DISABLED").status, "ENABLED_UNTIL_EARLIEST_ALLOWED_END");
  EXPECT_EQ(set("ENABLED").status, "ENABLED");
  set("DISABLED");
  broker.pass_hours(25);
  EXPECT_EQ(now().status, "DISABLED");
  EXPECT_EQ(now().ended_at_ms, end_ms);
}

}  // namespace
}  // namespace broker::handlers::kinesis
