// Operations on streams, shards, tags, consumers and policies.
#include <gmock/gmock.h>

#include "broker/handlers/kinesis/attributes.h"
#include "broker/handlers/kinesis/test_requests.h"

namespace broker::handlers::kinesis {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr const char* kMiddle = "170141183460469231731687303715884105728";
using Tags = std::map<std::string, std::string>;

wire::CreateStreamRequest on_demand(const std::string& name) {
  wire::CreateStreamRequest request;
  request.stream_name = name;
  request.stream_mode_details = {std::string(wire::StreamMode::kOnDemand)};
  return request;
}

std::vector<std::string> list(TestBroker& broker, wire::ListShardsRequest request) {
  std::vector<std::string> ids;
  const auto response = broker.must(std::move(request));
  for (const auto& shard : *response.shards) ids.push_back(shard.shard_id.substr(18));
  return ids;
}

TEST(Streams, AreMadeDescribedAndDeleted) {
  TestBroker broker;
  const int64_t before_ms = broker.now_ms();
  broker.create("s", 2);
  auto stream = describe(broker, "s");
  EXPECT_EQ(stream.stream_arn, "arn:aws:kinesis:eu-central-1:123456789012:stream/s");
  EXPECT_EQ(stream.stream_status, "ACTIVE");
  EXPECT_EQ(stream.stream_mode_details->stream_mode, "PROVISIONED");
  EXPECT_EQ(stream.retention_period_hours, 24);
  EXPECT_EQ(stream.encryption_type, "NONE");
  EXPECT_GE(stream.stream_creation_timestamp_ms, before_ms);
  ASSERT_THAT(stream.shards, SizeIs(2));
  EXPECT_EQ(stream.shards[0].hash_key_range.starting_hash_key, "0");
  EXPECT_EQ(stream.shards[1].hash_key_range.starting_hash_key, kMiddle);
  EXPECT_FALSE(stream.shards[0].sequence_number_range.ending_sequence_number);
  auto more = summary(broker, "s");
  EXPECT_EQ(more.open_shard_count, 2);
  EXPECT_EQ(more.consumer_count, 0);
  EXPECT_EQ(more.max_record_size_in_kib, 1024);
  EXPECT_EQ(more.stream_id->size(), 24u);

  auto again = broker.call([] {
    auto request = named<wire::CreateStreamRequest>("s");
    request.shard_count = 1;
    return request;
  }());
  EXPECT_EQ(again.error, kInUse);
  EXPECT_EQ(again.message, "Stream s under account 123456789012 already exists.");
  broker.must(named<wire::DeleteStreamRequest>("s"));
  auto gone = broker.call(named<wire::DescribeStreamRequest>("s"));
  EXPECT_EQ(gone.error, kNotFound);
  EXPECT_EQ(gone.message, "Stream s under account 123456789012 not found.");
  EXPECT_EQ(broker.error_of(named<wire::DeleteStreamRequest>("s")), kNotFound);
  broker.create("s", 1);  // the name is free
  EXPECT_THAT(describe(broker, "s").shards, SizeIs(1));
}

TEST(Streams, CreationIsChecked) {
  Options options = TestBroker::without_rates();
  options.shard_limit = 5;
  options.on_demand_streams_max = 1;
  TestBroker broker(options);
  auto request = named<wire::CreateStreamRequest>("s");
  request.stream_mode_details = {std::string(wire::StreamMode::kProvisioned)};
  EXPECT_EQ(broker.error_of(request), kInvalid);  // without a count
  request.stream_name = "__sluice_s";
  request.shard_count = 1;
  EXPECT_EQ(broker.error_of(request), kInvalid);
  request.stream_name = "s";
  request.warm_throughput_mibps = 5;
  EXPECT_EQ(broker.error_of(request), kInvalid);
  request.warm_throughput_mibps.reset();
  request.shard_count = 6;
  EXPECT_EQ(broker.error_of(request), kLimit);
  request.shard_count = 5;
  request.tags = Tags{{"aws:x", "y"}};
  EXPECT_EQ(broker.error_of(request), kInvalid);
  request.tags = Tags{{"team", "a"}, {"empty", ""}};
  request.max_record_size_in_kib = 2048;
  EXPECT_EQ(broker.error_of(request), "");
  EXPECT_EQ(summary(broker, "s").max_record_size_in_kib, 2048);
  EXPECT_THAT(broker.must(named<wire::ListTagsForStreamRequest>("s")).tags, SizeIs(2));
  EXPECT_EQ(broker.error_of(on_demand("d")), "");
  EXPECT_EQ(broker.error_of(on_demand("e")), kLimit);
  auto limits = broker.must(wire::DescribeLimitsRequest());
  EXPECT_EQ(limits.shard_limit, 5);
  EXPECT_EQ(limits.open_shard_count, 9);
  EXPECT_EQ(limits.on_demand_stream_count, 1);
}

TEST(Streams, OnDemandStartsWithFourShardsForTheAutoscaler) {
  TestBroker broker;
  broker.must(on_demand("d"));
  EXPECT_EQ(summary(broker, "d").open_shard_count, 4);
  EXPECT_EQ(summary(broker, "d").stream_mode_details->stream_mode, "ON_DEMAND");
  const auto& config = broker.metadata.find("d")->map.config();
  EXPECT_EQ(config.shards_min(), 4);
  EXPECT_EQ(config.shards_max(), 200);
  broker.must(named<wire::CreateStreamRequest>("e"));  // neither a mode nor a count
  EXPECT_EQ(summary(broker, "e").open_shard_count, 4);
  EXPECT_EQ(summary(broker, "e").stream_mode_details->stream_mode, "ON_DEMAND");
  auto split = named<wire::SplitShardRequest>("d");
  split.shard_to_split = "shardId-000000000000";
  split.new_starting_hash_key = "5";
  auto refused = broker.call(split);
  EXPECT_EQ(refused.error, kValidation);
  EXPECT_EQ(refused.message,
            "Request is invalid. Stream d under account 123456789012 is in On-Demand mode.");
  // A provisioned one's bounds leave nothing to it.
  broker.create("p", 3);
  EXPECT_EQ(broker.metadata.find("p")->map.config().shards_min(), 3);
  EXPECT_EQ(broker.metadata.find("p")->map.config().shards_max(), 3);
  auto warm = on_demand("w");
  warm.warm_throughput_mibps = 8;
  broker.must(warm);
  EXPECT_EQ(summary(broker, "w").open_shard_count, 8);
  EXPECT_EQ(summary(broker, "w").warm_throughput->current_mibps, 8);
}

TEST(Streams, AreFoundByNameArnAndId) {
  TestBroker broker;
  broker.create("s", 1);
  wire::DescribeStreamRequest request;
  request.stream_arn = stream_arn(broker.caller, "s");
  EXPECT_EQ(broker.error_of(request), "");
  request.stream_id = *summary(broker, "s").stream_id;
  EXPECT_EQ(broker.error_of(request), "");
  request.stream_id = "aaaaaaaaaaaaaaaaaaaa-aaa";
  EXPECT_EQ(broker.error_of(request), kNotFound);
  request.stream_id.reset();
  request.stream_name = "other";
  EXPECT_EQ(broker.error_of(request), kInvalid);
  request.stream_name.reset();
  request.stream_arn = "arn:aws:kinesis:eu-central-1:999999999999:stream/s";
  EXPECT_EQ(broker.error_of(request), kNotFound);
  request.stream_arn = "arn:aws:kinesis:eu-central-1:123456789012:stream/none";
  EXPECT_EQ(broker.error_of(request), kNotFound);
  // The brokers' own stream is nobody else's.
  broker.iterator("s", 0);
  ASSERT_TRUE(broker.metadata.find(kInternalStream));
  EXPECT_EQ(broker.error_of(named<wire::DescribeStreamRequest>(kInternalStream)), kNotFound);
  EXPECT_THAT(broker.must(wire::ListStreamsRequest()).stream_names, ElementsAre("s"));
}

TEST(Streams, AreListedInPages) {
  TestBroker broker;
  for (const char* name : {"c", "a", "b", "e", "d"}) broker.create(name, 1);
  broker.create_topic("topic", 2);
  wire::ListStreamsRequest request;
  request.limit = 2;
  auto page = broker.must(request);
  EXPECT_THAT(page.stream_names, ElementsAre("a", "b"));
  EXPECT_TRUE(page.has_more_streams);
  EXPECT_EQ((*page.stream_summaries)[1].stream_name, "b");
  request.next_token = page.next_token;
  page = broker.must(request);
  EXPECT_THAT(page.stream_names, ElementsAre("c", "d"));
  wire::ListStreamsRequest from;
  from.exclusive_start_stream_name = "d";
  page = broker.must(from);
  EXPECT_THAT(page.stream_names, ElementsAre("e", "topic"));
  EXPECT_FALSE(page.has_more_streams);
  request.next_token = "forged";
  EXPECT_EQ(broker.error_of(request), kInvalid);
}

// More can be asked for than AWS gives at a time.
TEST(Streams, AreListedInPagesOfAHundredAtMost) {
  TestBroker broker;
  broker.create("wide", 101);
  for (int i = 0; i < 100; ++i) broker.create("s" + std::to_string(i), 1);
  wire::ListStreamsRequest list;
  list.limit = 10'000;
  auto page = broker.must(list);
  EXPECT_THAT(page.stream_names, SizeIs(100));
  EXPECT_TRUE(page.has_more_streams);
  auto request = named<wire::DescribeStreamRequest>("wide");
  request.limit = 10'000;
  auto described = broker.must(request).stream_description;
  EXPECT_THAT(described.shards, SizeIs(100));
  EXPECT_TRUE(described.has_more_shards);
  wire::ListShardsRequest shards;
  shards.stream_name = "wide";
  shards.max_results = 10'000;
  EXPECT_THAT(*broker.must(shards).shards, SizeIs(101));
}

TEST(Shards, SplitAndMerge) {
  TestBroker broker;
  broker.create("s", 1);
  auto split = named<wire::SplitShardRequest>("s");
  split.shard_to_split = "shardId-000000000000";
  for (const char* key : {"0", "1", "340282366920938463463374607431768211455"}) {
    split.new_starting_hash_key = key;
    auto answer = broker.call(split);
    EXPECT_EQ(answer.error, kInvalid);
    EXPECT_THAT(answer.message, HasSubstr("is not both greater than one plus"));
  }
  split.new_starting_hash_key = kMiddle;
  split.shard_to_split = "shardId-000000000001";
  EXPECT_EQ(broker.error_of(split), kNotFound);
  split.shard_to_split = "shardId-000000000000";
  broker.must(split);
  auto again = broker.call(split);
  EXPECT_EQ(again.error, kInvalid);
  EXPECT_THAT(again.message, HasSubstr("has already been merged or split"));
  auto shards = describe(broker, "s").shards;
  ASSERT_THAT(shards, SizeIs(3));
  EXPECT_TRUE(shards[0].sequence_number_range.ending_sequence_number);
  EXPECT_EQ(shards[1].parent_shard_id, shards[0].shard_id);
  EXPECT_LT(*shards[0].sequence_number_range.ending_sequence_number,
            shards[1].sequence_number_range.starting_sequence_number);

  auto merge = named<wire::MergeShardsRequest>("s");
  merge.shard_to_merge = "shardId-000000000001";
  merge.adjacent_shard_to_merge = "shardId-000000000000";
  EXPECT_EQ(broker.error_of(merge), kInvalid);
  merge.shard_to_merge = "shardId-000000000002";
  merge.adjacent_shard_to_merge = "shardId-000000000001";
  EXPECT_EQ(broker.error_of(merge), kInvalid);  // the lower one comes first
  std::swap(merge.shard_to_merge, merge.adjacent_shard_to_merge);
  broker.must(merge);
  shards = describe(broker, "s").shards;
  ASSERT_THAT(shards, SizeIs(4));
  EXPECT_EQ(shards[3].parent_shard_id, shards[1].shard_id);
  EXPECT_EQ(shards[3].adjacent_parent_shard_id, shards[2].shard_id);
  EXPECT_EQ(broker.metadata.find("s")->map.config().shards_max(), 1);
  EXPECT_EQ(describe(broker, "s").stream_status, "ACTIVE");
}

TEST(Shards, AMergesLowerParentIsNamedFirst) {
  TestBroker broker;
  broker.create("s", 2);
  auto split = named<wire::SplitShardRequest>("s");
  split.shard_to_split = "shardId-000000000000";
  split.new_starting_hash_key = "9";
  broker.must(split);
  auto merge = named<wire::MergeShardsRequest>("s");
  merge.shard_to_merge = "shardId-000000000003";
  merge.adjacent_shard_to_merge = "shardId-000000000001";
  broker.must(merge);
  const auto child = describe(broker, "s").shards.at(4);
  EXPECT_EQ(child.parent_shard_id, "shardId-000000000003");
  EXPECT_EQ(child.adjacent_parent_shard_id, "shardId-000000000001");
}

TEST(Shards, ThatAreNoNeighboursDoNotMerge) {
  TestBroker broker;
  broker.create("s", 3);
  auto merge = named<wire::MergeShardsRequest>("s");
  merge.shard_to_merge = "shardId-000000000000";
  merge.adjacent_shard_to_merge = "shardId-000000000002";
  auto answer = broker.call(merge);
  EXPECT_EQ(answer.error, kInvalid);
  EXPECT_THAT(answer.message, HasSubstr("are not an adjacent pair of shards"));
  merge.adjacent_shard_to_merge = "shardId-000000000000";
  EXPECT_EQ(broker.error_of(merge), kInvalid);
}

wire::UpdateShardCountRequest count(const std::string& stream, int32_t target) {
  auto request = named<wire::UpdateShardCountRequest>(stream);
  request.target_shard_count = target;
  request.scaling_type = wire::ScalingType::kUniformScaling;
  return request;
}

TEST(Shards, UpdateShardCountIsUniform) {
  TestBroker broker;
  broker.create("s", 2);
  auto response = broker.must(count("s", 3));
  EXPECT_EQ(response.current_shard_count, 2);
  EXPECT_EQ(response.target_shard_count, 3);
  EXPECT_EQ(describe(broker, "s").stream_status, "UPDATING");
  EXPECT_EQ(broker.error_of(count("s", 4)), kInUse);
  ASSERT_TRUE(becomes_active(broker, "s"));
  EXPECT_EQ(summary(broker, "s").open_shard_count, 3);
  auto request = named<wire::ListShardsRequest>("s");
  request.shard_filter = wire::ShardFilter{"AT_LATEST"};
  auto shards = *broker.must(request).shards;
  auto ranges = *coordination::split_equally({}, 3);
  std::set<std::string> starts, wanted;
  for (const auto& shard : shards) starts.insert(shard.hash_key_range.starting_hash_key);
  for (const auto& range : ranges) wanted.insert(coordination::format_hash_key(range.first));
  EXPECT_EQ(starts, wanted);
  EXPECT_EQ(broker.metadata.find("s")->map.config().shards_max(), 3);
  auto answer = broker.call(count("s", 7));
  EXPECT_EQ(answer.error, kInvalid);
  EXPECT_EQ(answer.message,
            "UpdateShardCount cannot scale up over double your current open shard count. Current "
            "open shard count: 3 Target shard count: 7");
  EXPECT_EQ(broker.error_of(count("s", 1)), kInvalid);
  for (int i = 0; i < 9; ++i) {
    broker.must(count("s", 3));
    ASSERT_TRUE(becomes_active(broker, "s"));
  }
  EXPECT_EQ(broker.error_of(count("s", 3)), kLimit);
  broker.set_attribute("s", "limits", "none");
  broker.must(count("s", 10));
  ASSERT_TRUE(becomes_active(broker, "s"));
  EXPECT_EQ(summary(broker, "s").open_shard_count, 10);
}

TEST(Shards, AreFiltered) {
  TestBroker broker;
  broker.create("s", 2);
  broker.advance_ms(10'000);
  const int64_t before_split_ms = broker.now_ms();
  broker.advance_ms(10'000);
  auto split = named<wire::SplitShardRequest>("s");
  split.shard_to_split = "shardId-000000000000";
  split.new_starting_hash_key = "1000000";
  broker.must(split);
  broker.advance_ms(10'000);
  auto request = named<wire::ListShardsRequest>("s");
  EXPECT_THAT(list(broker, request), ElementsAre("00", "01", "02", "03"));
  auto filtered = [&](std::string_view type, std::optional<int64_t> timestamp = {}) {
    request.shard_filter = wire::ShardFilter{std::string(type), std::nullopt, timestamp};
    return list(broker, request);
  };
  EXPECT_THAT(filtered("AT_LATEST"), ElementsAre("01", "02", "03"));
  EXPECT_THAT(filtered("AT_TRIM_HORIZON"), ElementsAre("00", "01"));
  EXPECT_THAT(filtered("FROM_TRIM_HORIZON"), ElementsAre("00", "01", "02", "03"));
  EXPECT_THAT(filtered("AT_TIMESTAMP", before_split_ms), ElementsAre("00", "01"));
  EXPECT_THAT(filtered("AT_TIMESTAMP", broker.now_ms()), ElementsAre("01", "02", "03"));
  EXPECT_THAT(filtered("FROM_TIMESTAMP", before_split_ms), SizeIs(4));
  EXPECT_THAT(filtered("FROM_TIMESTAMP", broker.now_ms()), ElementsAre("01", "02", "03"));
  request.shard_filter = wire::ShardFilter{"AFTER_SHARD_ID", "shardId-000000000001"};
  EXPECT_THAT(list(broker, request), ElementsAre("02", "03"));
  request.shard_filter->shard_id.reset();
  EXPECT_EQ(broker.error_of(request), kInvalid);
  request.shard_filter = wire::ShardFilter{"AT_TIMESTAMP"};
  EXPECT_EQ(broker.error_of(request), kInvalid);
  request.shard_filter->timestamp_ms = broker.now_ms() + 60'000;
  EXPECT_EQ(broker.error_of(request), kInvalid);
  // When its records are gone the closed shard is, too.
  broker.pass_hours(24);
  request.shard_filter.reset();
  EXPECT_THAT(list(broker, request), ElementsAre("01", "02", "03"));
  EXPECT_THAT(filtered("AT_TRIM_HORIZON"), ElementsAre("01", "02", "03"));
}

TEST(Shards, AreListedInPagesWhoseTokensExpire) {
  TestBroker broker;
  broker.create("s", 5);
  auto request = named<wire::ListShardsRequest>("s");
  request.max_results = 2;
  request.shard_filter = wire::ShardFilter{"AT_LATEST"};
  auto page = broker.must(request);
  ASSERT_THAT(*page.shards, SizeIs(2));
  wire::ListShardsRequest next;
  next.max_results = 2;
  next.next_token = page.next_token;
  page = broker.must(next);
  EXPECT_EQ((*page.shards)[0].shard_id, "shardId-000000000002");
  next.next_token = page.next_token;
  EXPECT_THAT(list(broker, next), ElementsAre("04"));
  EXPECT_FALSE(broker.must(next).next_token);
  next.exclusive_start_shard_id = "shardId-000000000000";
  EXPECT_EQ(broker.error_of(next), kInvalid);
  next.exclusive_start_shard_id.reset();
  next.stream_name = "s";
  EXPECT_EQ(broker.error_of(next), kInvalid);
  next.stream_name.reset();
  broker.advance_ms(301'000);
  EXPECT_EQ(broker.error_of(next), "ExpiredNextTokenException");
  EXPECT_EQ(broker.error_of(wire::ListShardsRequest()), kInvalid);
  auto describe_some = named<wire::DescribeStreamRequest>("s");
  describe_some.limit = 3;
  describe_some.exclusive_start_shard_id = "shardId-000000000000";
  auto stream = broker.must(describe_some).stream_description;
  EXPECT_TRUE(stream.has_more_shards);
  EXPECT_EQ(stream.shards[0].shard_id, "shardId-000000000001");
}

TEST(Tags, OfStreamsAndResources) {
  TestBroker broker;
  broker.create("s", 1);
  auto add = named<wire::AddTagsToStreamRequest>("s");
  add.tags = {{"a", "1"}, {"b c", ""}, {"d", "x/y:z=+-@_."}};
  broker.must(add);
  auto tags = broker.must(named<wire::ListTagsForStreamRequest>("s"));
  ASSERT_THAT(tags.tags, SizeIs(3));
  EXPECT_EQ(tags.tags[1].key, "b c");
  EXPECT_EQ(tags.tags[1].value, "");
  EXPECT_FALSE(tags.has_more_tags);
  auto some = named<wire::ListTagsForStreamRequest>("s");
  some.limit = 1;
  some.exclusive_start_tag_key = "a";
  tags = broker.must(some);
  EXPECT_EQ(tags.tags[0].key, "b c");
  EXPECT_TRUE(tags.has_more_tags);
  for (const char* key : {"a%", "a;", "a,", "a\t", "a\n", "aws:a"}) {
    add.tags = {{key, "1"}};
    EXPECT_EQ(broker.error_of(add), kInvalid) << key;
  }
  add.tags.clear();
  for (int i = 0; i < 47; ++i) add.tags["t" + std::to_string(i)] = "v";
  broker.must(add);
  add.tags = {{"one more", "v"}};
  EXPECT_EQ(broker.error_of(add), kInvalid);
  add.tags = {{"a", "2"}};  // not one more
  broker.must(add);

  wire::ListTagsForResourceRequest list;
  list.resource_arn = stream_arn(broker.caller, "s");
  EXPECT_THAT(*broker.must(list).tags, SizeIs(50));
  wire::UntagResourceRequest untag;
  untag.resource_arn = list.resource_arn;
  untag.tag_keys = {"a", "not there"};
  broker.must(untag);
  EXPECT_THAT(*broker.must(list).tags, SizeIs(49));
  auto remove = named<wire::RemoveTagsFromStreamRequest>("s");
  remove.tag_keys = {"d"};
  broker.must(remove);
  EXPECT_THAT(*broker.must(list).tags, SizeIs(48));
  wire::TagResourceRequest tag;
  tag.resource_arn = list.resource_arn;
  tag.tags = {{"e", "f"}};
  broker.must(tag);
  tag.resource_arn = stream_arn(broker.caller, "none");
  EXPECT_EQ(broker.error_of(tag), kNotFound);
  list.resource_arn = "arn:aws:kinesis:eu-central-1:123456789012:channel/x";
  EXPECT_EQ(broker.error_of(list), kInvalid);
}

// Two that are under way at the same time both count.
TEST(Tags, ConcurrentChangesAreBothKept) {
  TestBroker broker;
  broker.create("s", 1);
  auto add = named<wire::AddTagsToStreamRequest>("s");
  add.tags = {{"a", "1"}};
  auto first = broker.send(add);
  add.tags = {{"b", "2"}};
  auto second = broker.send(add);
  broker.world.run_until([&] { return first->answered && second->answered; });
  EXPECT_TRUE(first->ok() && second->ok());
  EXPECT_THAT(broker.must(named<wire::ListTagsForStreamRequest>("s")).tags, SizeIs(2));
}

wire::RegisterStreamConsumerRequest consumer(TestBroker& broker, const std::string& name) {
  wire::RegisterStreamConsumerRequest request;
  request.stream_arn = stream_arn(broker.caller, "s");
  request.consumer_name = name;
  return request;
}

TEST(Consumers, AreRegisteredAndForgotten) {
  TestBroker broker;
  broker.create("s", 1);
  auto request = consumer(broker, "c");
  request.tags = Tags{{"k", "v"}};
  auto registered = broker.must(request).consumer;
  EXPECT_EQ(registered.consumer_status, "ACTIVE");
  EXPECT_THAT(registered.consumer_arn, HasSubstr(":stream/s/consumer/c:"));
  EXPECT_EQ(broker.error_of(request), kInUse);
  wire::DescribeStreamConsumerRequest describe_it;
  EXPECT_EQ(broker.error_of(describe_it), kInvalid);
  describe_it.consumer_arn = registered.consumer_arn;
  auto described = broker.must(describe_it).consumer_description;
  EXPECT_EQ(described.consumer_name, "c");
  EXPECT_EQ(described.stream_arn, stream_arn(broker.caller, "s"));
  describe_it.consumer_arn.reset();
  describe_it.stream_arn = stream_arn(broker.caller, "s");
  describe_it.consumer_name = "c";
  EXPECT_EQ(broker.must(describe_it).consumer_description, described);
  describe_it.consumer_arn = registered.consumer_arn;  // all three, which agree
  EXPECT_EQ(broker.must(describe_it).consumer_description, described);
  describe_it.consumer_name = "d";
  EXPECT_EQ(broker.error_of(describe_it), kInvalid);
  describe_it.consumer_name = "c";
  describe_it.stream_arn = stream_arn(broker.caller, "t");
  EXPECT_EQ(broker.error_of(describe_it), kInvalid);
  describe_it.consumer_arn.reset();
  describe_it.stream_arn = stream_arn(broker.caller, "s");
  describe_it.consumer_name = "d";
  EXPECT_EQ(broker.error_of(describe_it), kNotFound);
  wire::ListTagsForResourceRequest tags;
  tags.resource_arn = registered.consumer_arn;
  EXPECT_THAT(*broker.must(tags).tags, ElementsAre(wire::Tag{"k", "v"}));
  // A stream with consumers is deleted only when that is said.
  auto remove = named<wire::DeleteStreamRequest>("s");
  EXPECT_EQ(broker.error_of(remove), kInUse);

  wire::DeregisterStreamConsumerRequest forget;
  forget.consumer_arn = registered.consumer_arn;
  broker.must(forget);
  EXPECT_EQ(broker.error_of(forget), kNotFound);
  EXPECT_EQ(summary(broker, "s").consumer_count, 0);
  broker.advance_ms(2000);
  auto renewed = broker.must(consumer(broker, "c")).consumer;
  EXPECT_NE(renewed.consumer_arn, registered.consumer_arn);
  EXPECT_EQ(broker.error_of(forget), kNotFound);  // the old ARN is another consumer
  tags.resource_arn = renewed.consumer_arn;
  EXPECT_THAT(*broker.must(tags).tags, IsEmpty());
  remove.enforce_consumer_deletion = true;
  broker.must(remove);
}

TEST(Consumers, AreTwentyAtMostAndListedInPages) {
  TestBroker broker;
  broker.create("s", 1);
  for (int i = 0; i < 20; ++i) broker.must(consumer(broker, "c" + std::to_string(10 + i)));
  EXPECT_EQ(broker.error_of(consumer(broker, "more")), kLimit);
  wire::ListStreamConsumersRequest list;
  list.stream_arn = stream_arn(broker.caller, "s");
  list.max_results = 15;
  auto page = broker.must(list);
  ASSERT_THAT(*page.consumers, SizeIs(15));
  list.next_token = page.next_token;
  page = broker.must(list);
  ASSERT_THAT(*page.consumers, SizeIs(5));
  EXPECT_EQ((*page.consumers)[0].consumer_name, "c25");
  EXPECT_FALSE(page.next_token);
  list.stream_creation_timestamp_ms = 0;
  EXPECT_EQ(broker.error_of(list), kInvalid);
  wire::SubscribeToShardRequest subscribe;
  auto answer = broker.call(subscribe);
  EXPECT_EQ(answer.error, kInvalid);
  EXPECT_THAT(answer.message, HasSubstr("GetRecords"));
}

TEST(Policies, AreKept) {
  TestBroker broker;
  broker.create("s", 1);
  wire::GetResourcePolicyRequest get;
  get.resource_arn = stream_arn(broker.caller, "s");
  EXPECT_EQ(broker.must(get).policy, "{}") << "as AWS says of a resource without one";
  wire::PutResourcePolicyRequest put;
  put.resource_arn = get.resource_arn;
  put.policy = "not json";
  EXPECT_EQ(broker.error_of(put), kInvalid);
  put.policy = R"({"Version":"2012-10-17","Statement":[]})";
  broker.must(put);
  EXPECT_EQ(broker.must(get).policy, put.policy);
  wire::DeleteResourcePolicyRequest remove;
  remove.resource_arn = get.resource_arn;
  broker.must(remove);
  EXPECT_EQ(broker.must(get).policy, "{}");
  EXPECT_EQ(broker.error_of(remove), kNotFound);
  put.policy = "{\"a\":\"" + std::string(21'000, 'x') + "\"}";
  EXPECT_EQ(broker.error_of(put), kLimit);
}

TEST(Rates, OfOperations) {
  TestBroker broker{Options()};
  broker.create("s", 1);
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(broker.error_of(named<wire::DescribeStreamRequest>("s")), "");
  }
  EXPECT_EQ(broker.error_of(named<wire::DescribeStreamRequest>("s")), kLimit);
  EXPECT_EQ(broker.error_of(wire::DescribeLimitsRequest()), "");
  EXPECT_EQ(broker.error_of(wire::DescribeLimitsRequest()), kLimit);
  for (int i = 0; i < 5; ++i) broker.iterator("s", 0);
  wire::GetShardIteratorRequest request;
  request.stream_name = "s";
  request.shard_id = "shardId-000000000000";
  request.shard_iterator_type = "LATEST";
  EXPECT_EQ(broker.error_of(request), "ProvisionedThroughputExceededException");
  broker.advance_ms(1000);
  EXPECT_EQ(broker.error_of(request), "");
  EXPECT_EQ(broker.error_of(named<wire::DescribeStreamRequest>("s")), "");
}

// Each operation that names a stream says in AWS's words that there is none.
TEST(Operations, NameTheStreamThatIsMissing) {
  TestBroker broker;
  int named_by_stream = 0;
  auto check = [&]<class Request>(Request request) {
    if constexpr (requires { request.stream_name.has_value(); }) {
      request.stream_name = "none";
      if constexpr (requires { request.retention_period_hours; }) {
        request.retention_period_hours = 24;
      }
      if constexpr (requires { request.encryption_type; }) request.encryption_type = "KMS";
      if constexpr (requires { request.shard_iterator_type; }) {
        request.shard_iterator_type = "LATEST";
        request.shard_id = "0";
      }
      if constexpr (requires { request.shard_to_split; }) request.shard_to_split = "0";
      if constexpr (requires { request.shard_to_merge; }) {
        request.shard_to_merge = "0";
        request.adjacent_shard_to_merge = "1";
      }
      auto answer = broker.call(request);
      EXPECT_EQ(answer.error, kNotFound) << wire::to_string(Request::kOperation);
      EXPECT_EQ(answer.message, Request::kOperation == wire::Operation::kGetShardIterator
                                    ? "Shard shardId-000000000000 in stream none under account "
                                      "123456789012 does not exist"
                                    : "Stream none under account 123456789012 not found.")
          << wire::to_string(Request::kOperation);
      ++named_by_stream;
    }
  };
  [&]<size_t... I>(std::index_sequence<I...>) {
    (check(std::variant_alternative_t<I, wire::Request>()), ...);
  }
  (std::make_index_sequence<wire::kOperationCount>());
  EXPECT_GE(named_by_stream, 20);
}

}  // namespace
}  // namespace broker::handlers::kinesis
