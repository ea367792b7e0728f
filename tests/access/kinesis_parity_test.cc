// Every operation of the Kinesis API as mallory and as root, by requests in JSON as clients send them.
#include <gtest/gtest.h>

#include <map>

#include "broker/handlers/kinesis/test_broker.h"
#include "tests/access/people.h"

namespace broker::handlers::kinesis {
namespace {

constexpr const char* kArn = "arn:aws:kinesis:eu-central-1:123456789012:stream/secret";

struct Told {
  std::string error, message, body;
};

class KinesisParity : public testing::Test {
 protected:
  KinesisParity() : broker_(TestBroker::without_rates(), &authorizer_) {
    authorizer_.update(sluice_tests::denied_and_super());
    broker_.caller.user = "root";
    broker_.create("secret", 2);
    iterator_ = broker_.iterator("secret", 0);
    wire::ListShardsRequest pages;
    pages.stream_name = "secret";
    pages.max_results = 1;
    page_ = broker_.must(pages).next_token.value_or("");
    wire::RegisterStreamConsumerRequest consumer;
    consumer.stream_arn = kArn;
    consumer.consumer_name = "reader";
    consumer_arn_ = broker_.must(consumer).consumer.consumer_arn;
  }

  std::string body_of(wire::Operation operation) {
    const std::string arn = std::string("\"StreamARN\":\"") + kArn + "\"";
    const std::string resource = std::string("\"ResourceARN\":\"") + kArn + "\"";
    const std::string consumer = "\"ConsumerARN\":\"" + consumer_arn_ + "\"";
    const std::string name = "\"StreamName\":\"secret\"";
    static const std::string hours = "\"RetentionPeriodHours\":48";
    const std::map<std::string, std::string> rows{
        {"AddTagsToStream", name + ",\"Tags\":{\"a\":\"b\"}"},
        {"CreateStream", "\"StreamName\":\"another\",\"ShardCount\":1"},
        {"DecreaseStreamRetentionPeriod", name + "," + hours},
        {"DeleteResourcePolicy", resource},
        {"DeleteStream", name},
        {"DeregisterStreamConsumer", consumer},
        {"DescribeAccountSettings", ""},
        {"DescribeLimits", ""},
        {"DescribeStream", arn},
        {"DescribeStreamConsumer", consumer},
        {"DescribeStreamSummary", name},
        {"DisableEnhancedMonitoring", name + ",\"ShardLevelMetrics\":[\"ALL\"]"},
        {"EnableEnhancedMonitoring", name + ",\"ShardLevelMetrics\":[\"ALL\"]"},
        {"GetRecords", "\"ShardIterator\":\"" + iterator_ + "\""},
        {"GetResourcePolicy", resource},
        {"GetShardIterator",
         name + ",\"ShardId\":\"shardId-000000000000\",\"ShardIteratorType\":\"LATEST\""},
        {"IncreaseStreamRetentionPeriod", name + "," + hours},
        {"ListShards", name},
        {"ListStreamConsumers", arn},
        {"ListStreams", ""},
        {"ListTagsForResource", resource},
        {"ListTagsForStream", name},
        {"MergeShards", name + ",\"ShardToMerge\":\"shardId-000000000000\","
                               "\"AdjacentShardToMerge\":\"shardId-000000000001\""},
        {"PutRecord", name + ",\"Data\":\"QQ==\",\"PartitionKey\":\"k\""},
        {"PutRecords", name + ",\"Records\":[{\"Data\":\"QQ==\",\"PartitionKey\":\"k\"}]"},
        {"PutResourcePolicy", resource + ",\"Policy\":\"{}\""},
        {"RegisterStreamConsumer", arn + ",\"ConsumerName\":\"other\""},
        {"RemoveTagsFromStream", name + ",\"TagKeys\":[\"a\"]"},
        {"SplitShard", name + ",\"ShardToSplit\":\"shardId-000000000000\","
                              "\"NewStartingHashKey\":\"1000\""},
        {"StartStreamEncryption", name + ",\"EncryptionType\":\"KMS\",\"KeyId\":\"alias/k\""},
        {"StopStreamEncryption", name + ",\"EncryptionType\":\"KMS\",\"KeyId\":\"alias/k\""},
        {"SubscribeToShard", consumer + ",\"ShardId\":\"shardId-000000000000\","
                                        "\"StartingPosition\":{\"Type\":\"LATEST\"}"},
        {"TagResource", resource + ",\"Tags\":{\"a\":\"b\"}"},
        {"UntagResource", resource + ",\"TagKeys\":[\"a\"]"},
        {"UpdateAccountSettings",
         "\"MinimumThroughputBillingCommitment\":{\"Status\":\"DISABLED\"}"},
        {"UpdateMaxRecordSize", arn + ",\"MaxRecordSizeInKiB\":2048"},
        {"UpdateShardCount", name + ",\"TargetShardCount\":3,\"ScalingType\":\"UNIFORM_SCALING\""},
        {"UpdateStreamMode", arn + ",\"StreamModeDetails\":{\"StreamMode\":\"ON_DEMAND\"}"},
        {"UpdateStreamWarmThroughput", arn + ",\"WarmThroughputMiBps\":4"},
    };
    auto row = rows.find(std::string(wire::to_string(operation)));
    if (row == rows.end()) {
      ADD_FAILURE() << wire::to_string(operation) << " has no row: say what right it asks for";
      return "{}";
    }
    return "{" + row->second + "}";
  }

  Told ask(const std::string& user, wire::Operation operation, std::string body) {
    auto caller = broker_.caller;
    caller.user = user;
    Told told;
    bool answered = false;
    auto call = std::make_shared<wire::Call>(
        caller, wire::Format::kJson, [&](std::string text, const wire::Error* error) {
          answered = true;
          told.body = std::move(text);
          if (!error) return;
          told.error = error->type;
          told.message = error->message;
        });
    auto wrong = wire::decode(operation, wire::Format::kJson, body, call->request());
    EXPECT_FALSE(wrong) << wire::to_string(operation) << ": " << wrong->message;
    broker_.handle(std::move(call));
    EXPECT_TRUE(broker_.world.run_until([&] { return answered; }, 60'000'000));
    return told;
  }

  security::Authorizer authorizer_;
  TestBroker broker_;
  std::string iterator_, page_, consumer_arn_;
};

TEST_F(KinesisParity, EveryOperationIsDeniedToMallory) {
  for (size_t i = 0; i < wire::kOperationCount; ++i) {
    const auto operation = static_cast<wire::Operation>(i);
    const std::string name(wire::to_string(operation));
    Told told = ask("mallory", operation, body_of(operation));
    if (operation == wire::Operation::kListStreams) {
      EXPECT_EQ(told.error, "") << told.message;
      EXPECT_EQ(told.body.find("secret"), std::string::npos) << told.body;
      continue;
    }
    EXPECT_EQ(told.error, "AccessDeniedException") << name << ": " << told.message;
    EXPECT_EQ(told.message.find("User: arn:aws:iam::123456789012:user/mallory is not authorized to "
                                "perform: kinesis:" + name + " on resource: arn:aws:kinesis:"),
              0u)
        << told.message;
  }
  auto stream = broker_.metadata.find("secret");
  ASSERT_TRUE(stream) << "mallory has deleted it";
  EXPECT_EQ(broker_.metadata.find("another"), nullptr);
}

TEST_F(KinesisParity, NoOperationIsDeniedToRoot) {
  for (size_t i = 0; i < wire::kOperationCount; ++i) {
    const auto operation = static_cast<wire::Operation>(i);
    EXPECT_NE(ask("root", operation, body_of(operation)).error, "AccessDeniedException")
        << wire::to_string(operation);
  }
}

TEST_F(KinesisParity, TokensOfOthersGiveNothing) {
  ASSERT_FALSE(page_.empty());
  const std::string page = "{\"NextToken\":\"" + page_ + "\"}";
  EXPECT_EQ(ask("mallory", wire::Operation::kListShards, page).error, "AccessDeniedException");
  EXPECT_EQ(ask("root", wire::Operation::kListShards, page).error, "");
}

}  // namespace
}  // namespace broker::handlers::kinesis
