// Putting and getting records: places, order, iterators, ends of shards, limits, and one log seen
// through topics.
#include <gmock/gmock.h>

#include "broker/handlers/kinesis/put_flow.h"
#include "broker/handlers/kinesis/test_broker.h"
#include "broker/model/records.h"

namespace broker::handlers::kinesis {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;
using Type = wire::ShardIteratorType;

wire::GetRecordsRequest get(const std::string& iterator, std::optional<int32_t> limit = {}) {
  wire::GetRecordsRequest request;
  request.shard_iterator = iterator;
  request.limit = limit;
  return request;
}

wire::PutRecordsRequest put_many(const std::string& stream, int count, size_t bytes = 10) {
  wire::PutRecordsRequest request;
  request.stream_name = stream;
  for (int i = 0; i < count; ++i) {
    request.records.push_back({std::string(bytes, 'd'), std::nullopt, "key" + std::to_string(i)});
  }
  return request;
}

TEST(Records, ArePutAndRead) {
  TestBroker broker;
  broker.create("s", 1);
  const int64_t before_ms = broker.now_ms();
  auto first = broker.put("s", "k", "one");
  auto second = broker.put("s", "k2", std::string("\0\xff", 2));
  EXPECT_EQ(first.shard_id, "shardId-000000000000");
  EXPECT_LT(first.sequence_number, second.sequence_number);
  auto answer = broker.must(get(broker.iterator("s", 0)));
  ASSERT_THAT(answer.records, SizeIs(2));
  EXPECT_EQ(answer.records[0].data, "one");
  EXPECT_EQ(answer.records[0].partition_key, "k");
  EXPECT_EQ(answer.records[0].sequence_number, first.sequence_number);
  EXPECT_GE(*answer.records[0].approximate_arrival_timestamp_ms, before_ms);
  EXPECT_LE(*answer.records[0].approximate_arrival_timestamp_ms, broker.now_ms());
  EXPECT_EQ(answer.records[1].data, std::string("\0\xff", 2));
  EXPECT_EQ(answer.millis_behind_latest, 0);
  ASSERT_TRUE(answer.next_shard_iterator);
  auto empty = broker.must(get(*answer.next_shard_iterator));
  EXPECT_THAT(empty.records, IsEmpty());
  EXPECT_NE(empty.next_shard_iterator, answer.next_shard_iterator);  // in the same millisecond
}

TEST(Records, GoToTheShardOfTheirHashKey) {
  TestBroker broker;
  broker.create("s", 4);
  auto stream = broker.metadata.find("s");
  KeyTable table(*stream);
  for (int i = 0; i < 50; ++i) {
    const std::string key = "key" + std::to_string(i);
    auto shard = table.shard_of(coordination::hash_key_of(key));
    EXPECT_EQ(broker.put("s", key, "d").shard_id, format_shard_id(*shard));
  }
  wire::PutRecordRequest request;
  request.stream_name = "s";
  request.partition_key = "k";
  request.data = "d";
  request.explicit_hash_key = "0";
  EXPECT_EQ(broker.must(request).shard_id, format_shard_id(0));
  request.explicit_hash_key = "340282366920938463463374607431768211455";
  EXPECT_EQ(broker.must(request).shard_id, format_shard_id(3));
  request.explicit_hash_key = "340282366920938463463374607431768211456";
  EXPECT_EQ(broker.error_of(request), "InvalidArgumentException");
  // The explicit key stays with the record; readers see the partition key.
  std::string iterator = broker.iterator("s", 3);
  auto answer = broker.must(get(iterator));
  EXPECT_EQ(answer.records.back().partition_key, "k");
  auto fetched = broker.partition("s", 3).read(broker.partition("s", 3).high_watermark() - 1, 1);
  ASSERT_TRUE(fetched.ok());
  auto it = RecordIterator::open(fetched->batches.back().bytes.view(), 1 << 20);
  broker::Record record;
  while (it->next(record)) {
  }
  ASSERT_THAT(record.headers, SizeIs(1));
  EXPECT_EQ(record.headers[0].key, kExplicitHashKeyHeader);
  EXPECT_EQ(record.headers[0].value, "340282366920938463463374607431768211455");
}

TEST(Records, ManyAreAnsweredInOrder) {
  TestBroker broker;
  broker.create("s", 3);
  auto response = broker.must(put_many("s", 500));
  EXPECT_EQ(response.failed_record_count, 0);
  ASSERT_THAT(response.records, SizeIs(500));
  std::map<std::string, std::string> last;
  for (const auto& entry : response.records) {
    ASSERT_TRUE(entry.sequence_number && entry.shard_id);
    EXPECT_FALSE(entry.error_code);
    EXPECT_LT(last[*entry.shard_id], *entry.sequence_number);
    last[*entry.shard_id] = *entry.sequence_number;
  }
  EXPECT_THAT(last, SizeIs(3));
}

TEST(Records, IteratorsOfFiveTypes) {
  TestBroker broker;
  broker.create("s", 1);
  std::vector<std::string> numbers;
  std::vector<int64_t> times;
  for (int i = 0; i < 4; ++i) {
    times.push_back(broker.now_ms());
    numbers.push_back(broker.put("s", "k", std::to_string(i)).sequence_number);
    broker.advance_ms(1000);
  }
  auto read = [&](std::string iterator) { return broker.read_all(iterator); };
  EXPECT_THAT(read(broker.iterator("s", 0)), ElementsAre("0", "1", "2", "3"));
  std::string latest = broker.iterator("s", 0, Type::kLatest);
  EXPECT_THAT(broker.read_all(latest), IsEmpty());
  broker.put("s", "k", "4");
  EXPECT_THAT(broker.read_all(latest), ElementsAre("4"));
  wire::GetShardIteratorRequest request;
  request.stream_name = "s";
  request.shard_id = format_shard_id(0);
  request.shard_iterator_type = Type::kAtSequenceNumber;
  request.starting_sequence_number = numbers[2];
  EXPECT_THAT(read(*broker.must(request).shard_iterator), ElementsAre("2", "3", "4"));
  request.shard_iterator_type = Type::kAfterSequenceNumber;
  EXPECT_THAT(read(*broker.must(request).shard_iterator), ElementsAre("3", "4"));
  request.starting_sequence_number.reset();
  request.shard_iterator_type = Type::kAtTimestamp;
  request.timestamp_ms = times[1];
  EXPECT_THAT(read(*broker.must(request).shard_iterator), ElementsAre("1", "2", "3", "4"));
  request.timestamp_ms = times[1] + 500;
  EXPECT_THAT(read(*broker.must(request).shard_iterator), ElementsAre("2", "3", "4"));
  request.timestamp_ms = broker.now_ms();
  EXPECT_THAT(read(*broker.must(request).shard_iterator), IsEmpty());
  // The start of the shard's range is before its first record.
  wire::DescribeStreamRequest describe;
  describe.stream_name = "s";
  request.timestamp_ms.reset();
  request.shard_iterator_type = Type::kAfterSequenceNumber;
  request.starting_sequence_number = broker.must(describe)
                                         .stream_description.shards[0]
                                         .sequence_number_range.starting_sequence_number;
  EXPECT_THAT(read(*broker.must(request).shard_iterator), SizeIs(5));
}

// A batch of one PutRecords has one time; a Kafka batch has many: the first that is not before the
// asked time is found within the batch.
TEST(Records, AtTimestampLooksIntoBatches) {
  TestBroker broker;
  broker.create_topic("t", 1);
  RecordBatchBuilder builder;
  const int64_t base_ms = broker.now_ms() - 10'000;
  for (int i = 0; i < 5; ++i) builder.add(base_ms + i * 10, "k", std::to_string(i));
  bool stored = false;
  broker.partition("t", 0).append(Buffer::from_string(*builder.build()), partition::Acks::kAll,
                                  [&](Result<partition::Appended> r) { stored = r.ok(); });
  broker.world.run_until([&] { return stored; });
  wire::GetShardIteratorRequest request;
  request.stream_name = "t";
  request.shard_id = "shardId-000000000000";
  request.shard_iterator_type = Type::kAtTimestamp;
  request.timestamp_ms = base_ms + 25;
  std::string iterator = *broker.must(request).shard_iterator;
  EXPECT_THAT(broker.read_all(iterator), ElementsAre("3", "4"));
}

TEST(Records, IteratorRequestsAreChecked) {
  TestBroker broker;
  broker.create("s", 2);
  broker.create("other", 2);
  const auto number = broker.put("s", "k", "d");
  wire::GetShardIteratorRequest request;
  request.stream_name = "s";
  request.shard_id = number.shard_id;
  auto error = [&](std::string_view type, std::optional<std::string> sequence,
                   std::optional<int64_t> timestamp = {}) {
    request.shard_iterator_type = type;
    request.starting_sequence_number = std::move(sequence);
    request.timestamp_ms = timestamp;
    return broker.error_of(request);
  };
  const std::string bad = "InvalidArgumentException";
  EXPECT_EQ(error(Type::kAtSequenceNumber, {}), bad);
  EXPECT_EQ(error(Type::kLatest, number.sequence_number), bad);
  EXPECT_EQ(error(Type::kTrimHorizon, number.sequence_number), bad);
  EXPECT_EQ(error(Type::kAtTimestamp, {}), bad);
  EXPECT_EQ(error(Type::kAtTimestamp, {}, broker.now_ms() + 5000), bad);
  EXPECT_EQ(error(Type::kAtSequenceNumber, "5"), bad);
  EXPECT_EQ(error(Type::kAtSequenceNumber, number.sequence_number), "");
  request.shard_id =
      number.shard_id == format_shard_id(0) ? format_shard_id(1) : format_shard_id(0);
  EXPECT_EQ(error(Type::kAtSequenceNumber, number.sequence_number), bad);
  request.shard_id = number.shard_id;
  request.stream_name = "other";
  EXPECT_EQ(error(Type::kAtSequenceNumber, number.sequence_number), bad);
  request.shard_id = "shardId-000000000009";
  EXPECT_EQ(error(Type::kLatest, {}), "ResourceNotFoundException");
  request.shard_id = "nonsense";
  EXPECT_EQ(error(Type::kLatest, {}), "ResourceNotFoundException");
  request.stream_name = "none";
  EXPECT_EQ(error(Type::kLatest, {}), "ResourceNotFoundException");
}

TEST(Records, IteratorsExpireAndCannotBeForged) {
  TestBroker broker;
  broker.create("s", 1);
  const std::string iterator = broker.iterator("s", 0);
  std::string forged = iterator;
  forged[5] = forged[5] == 'x' ? 'y' : 'x';
  EXPECT_EQ(broker.error_of(get(forged)), "InvalidArgumentException");
  EXPECT_EQ(broker.error_of(get("AAAA")), "InvalidArgumentException");
  broker.advance_ms(299'000);
  EXPECT_EQ(broker.error_of(get(iterator)), "");
  broker.advance_ms(2'000);
  auto answer = broker.call(get(iterator));
  EXPECT_EQ(answer.error, "ExpiredIteratorException");
  EXPECT_THAT(answer.message, HasSubstr("tolerated delay of 300000 milliseconds"));
  wire::DeleteStreamRequest remove;
  remove.stream_name = "s";
  const std::string fresh = broker.iterator("s", 0);
  broker.must(remove);
  auto gone = broker.call(get(fresh));
  EXPECT_EQ(gone.error, "ResourceNotFoundException");
  EXPECT_EQ(gone.message, "Shard shardId-000000000000 in stream s under account 123456789012 does not exist");
}

// As AWS does: some clients carry it as JSON text.
TEST(Records, AnIteratorInQuotesIsTaken) {
  TestBroker broker;
  broker.create("s", 1);
  broker.put("s", "k", "data");
  const std::string iterator = broker.iterator("s", 0);
  EXPECT_THAT(broker.must(get("\"" + iterator + "\"")).records, SizeIs(1));
  for (const std::string& bad : {"\"" + iterator, iterator + "\"", "\"\"" + iterator + "\"\"",
                                 std::string("\""), std::string("\"\"")}) {
    EXPECT_EQ(broker.error_of(get(bad)), "InvalidArgumentException") << bad;
  }
}

TEST(Records, LimitAndMillisBehindLatest) {
  TestBroker broker;
  broker.create("s", 1);
  for (int i = 0; i < 3; ++i) {
    broker.put("s", "k", std::to_string(i));
    broker.advance_ms(1000);
  }
  auto answer = broker.must(get(broker.iterator("s", 0), 1));
  ASSERT_THAT(answer.records, SizeIs(1));
  // The next record came two seconds ago.
  EXPECT_GE(*answer.millis_behind_latest, 2000);
  EXPECT_LT(*answer.millis_behind_latest, 2100);
  answer = broker.must(get(*answer.next_shard_iterator, 1));
  EXPECT_EQ(answer.records[0].data, "1");
  EXPECT_GE(*answer.millis_behind_latest, 1000);
  answer = broker.must(get(*answer.next_shard_iterator, 1));
  EXPECT_EQ(answer.millis_behind_latest, 0);
}

wire::SplitShardRequest split(const std::string& stream, int32_t shard, const std::string& at) {
  wire::SplitShardRequest request;
  request.stream_name = stream;
  request.shard_to_split = format_shard_id(shard);
  request.new_starting_hash_key = at;
  return request;
}

constexpr const char* kMiddle = "170141183460469231731687303715884105728";

TEST(Records, AClosedShardIsReadToItsEndThenItsChildren) {
  TestBroker broker;
  broker.create("s", 1);
  auto parent = broker.put("s", "a", "1");
  const std::string early = broker.iterator("s", 0);
  broker.must(split("s", 0, kMiddle));
  auto child = broker.put("s", "a", "2");
  EXPECT_NE(child.shard_id, parent.shard_id);
  EXPECT_LT(parent.sequence_number, child.sequence_number);
  auto answer = broker.must(get(early));
  ASSERT_THAT(answer.records, SizeIs(1));
  EXPECT_FALSE(answer.next_shard_iterator);
  EXPECT_EQ(answer.millis_behind_latest, 0);
  ASSERT_TRUE(answer.child_shards);
  ASSERT_THAT(*answer.child_shards, SizeIs(2));
  EXPECT_EQ((*answer.child_shards)[0].shard_id, format_shard_id(1));
  EXPECT_THAT((*answer.child_shards)[0].parent_shards, ElementsAre(format_shard_id(0)));
  EXPECT_EQ((*answer.child_shards)[1].hash_key_range.starting_hash_key, kMiddle);
  // An iterator at the very end says the same.
  std::string at_end = broker.iterator("s", 0, Type::kLatest);
  EXPECT_THAT(broker.read_all(at_end), IsEmpty());
  EXPECT_EQ(at_end, "");
}

// Puts while shards split and merge: none is lost, and each key's records keep their order from
// parent to child.
TEST(Records, KeepTheirOrderThroughSplitsAndMerges) {
  TestBroker broker;
  broker.create("s", 1);
  broker.set_attribute("s", "limits", "none");
  std::vector<std::shared_ptr<Answer<wire::PutRecordsResponse>>> answers;
  int sent = 0;
  auto put_some = [&] {
    wire::PutRecordsRequest request;
    request.stream_name = "s";
    for (int key = 0; key < 20; ++key) {
      request.records.push_back({std::to_string(sent), std::nullopt, "key" + std::to_string(key)});
    }
    ++sent;
    answers.push_back(broker.send(request));
  };
  auto settle = [&] {
    ASSERT_TRUE(broker.world.run_until([&] { return answers.back()->answered; }, 30'000'000));
    ASSERT_EQ(answers.back()->response.failed_record_count, 0);
  };
  for (int32_t shard : {0, 1}) {
    put_some();
    auto range = range_of(*broker.metadata.find("s"), *broker.metadata.find("s")->shard(shard));
    auto at = coordination::format_hash_key(range.first + (range.last - range.first) / 2);
    auto resharding = broker.send(split("s", shard, at));
    for (int i = 0; i < 5; ++i) {
      put_some();
      settle();
    }
    broker.world.run_until([&] { return resharding->answered; });
    EXPECT_TRUE(resharding->ok()) << resharding->message;
  }
  wire::MergeShardsRequest merge;
  merge.stream_name = "s";
  merge.shard_to_merge = format_shard_id(3);
  merge.adjacent_shard_to_merge = format_shard_id(4);
  auto merging = broker.send(merge);
  for (int i = 0; i < 5; ++i) {
    put_some();
    settle();
  }
  broker.world.run_until([&] { return merging->answered; });
  EXPECT_TRUE(merging->ok()) << merging->message;
  // Shards in order of their index: parents before children.
  std::map<std::string, std::vector<int>> by_key;
  std::map<std::string, std::string> last_number;
  for (int32_t shard = 0; shard < broker.metadata.find("s")->map.shards_size(); ++shard) {
    std::string iterator = broker.iterator("s", shard);
    for (bool more = true; more;) {
      auto answer = broker.must(get(iterator));
      for (const auto& record : answer.records) {
        by_key[record.partition_key].push_back(std::stoi(record.data));
        EXPECT_LT(last_number[record.partition_key], record.sequence_number);
        last_number[record.partition_key] = record.sequence_number;
      }
      more = answer.next_shard_iterator && !answer.records.empty();
      iterator = answer.next_shard_iterator.value_or("");
    }
  }
  ASSERT_THAT(by_key, SizeIs(20));
  for (const auto& [key, values] : by_key) {
    ASSERT_THAT(values, SizeIs(static_cast<size_t>(sent))) << key;
    for (int i = 0; i < sent; ++i) EXPECT_EQ(values[static_cast<size_t>(i)], i) << key;
  }
}

TEST(Limits, PutRecordsFailsOneByOne) {
  TestBroker broker;
  broker.create("s", 1);
  EXPECT_EQ(broker.must(put_many("s", 500)).failed_record_count, 0);
  EXPECT_EQ(broker.must(put_many("s", 400)).failed_record_count, 0);
  auto response = broker.must(put_many("s", 250));
  EXPECT_EQ(response.failed_record_count, 150);
  for (int i = 0; i < 250; ++i) {
    const auto& entry = response.records[static_cast<size_t>(i)];
    EXPECT_EQ(entry.error_code.has_value(), i >= 100) << i;
    EXPECT_EQ(entry.sequence_number.has_value(), i < 100) << i;
  }
  EXPECT_EQ(response.records[200].error_code, "ProvisionedThroughputExceededException");
  EXPECT_EQ(response.records[200].error_message,
            "Rate exceeded for shard shardId-000000000000 in stream s under account 123456789012.");
  wire::PutRecordRequest one;
  one.stream_name = "s";
  one.partition_key = "k";
  EXPECT_EQ(broker.error_of(one), "ProvisionedThroughputExceededException");
  EXPECT_THAT(broker.metrics.expose(),
              HasSubstr("sluice_shard_throttled_records_total{shard=\"0\",stream=\"s\"} 151"));
  broker.advance_ms(1000);
  EXPECT_EQ(broker.must(put_many("s", 500)).failed_record_count, 0);
}

TEST(Limits, OneMebibyteASecond) {
  TestBroker broker;
  broker.create("s", 2);
  // About half to each shard: 4 x 300 KiB to one of them is too much.
  wire::PutRecordsRequest request;
  request.stream_name = "s";
  for (int i = 0; i < 4; ++i) request.records.push_back({std::string(300 << 10, 'd'), "0", "k"});
  request.records.push_back({std::string(300 << 10, 'd'), kMiddle, "k"});
  auto response = broker.must(request);
  EXPECT_EQ(response.failed_record_count, 1);
  EXPECT_TRUE(response.records[3].error_code);
  EXPECT_FALSE(response.records[4].error_code);
}

TEST(Limits, FiveReadsASecondAndTenMebibytesThenWait) {
  TestBroker broker;
  broker.create("s", 1);
  const std::string iterator = broker.iterator("s", 0);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(broker.error_of(get(iterator)), "");
  EXPECT_EQ(broker.error_of(get(iterator)), "ProvisionedThroughputExceededException");
  broker.set_attribute("s", "limits", "none");
  for (int i = 0; i < 12; ++i) broker.put("s", "k", std::string(1 << 20, 'd'));
  for (int i = 0; i < 20; ++i) EXPECT_EQ(broker.error_of(get(iterator, 1)), "");
  broker.set_attribute("s", "limits", "aws");
  auto answer = broker.must(get(iterator));
  EXPECT_EQ(answer.records.size(), 9u);  // with its key each is a little more than 1 MiB
  EXPECT_EQ(broker.error_of(get(*answer.next_shard_iterator)),
            "ProvisionedThroughputExceededException");
  broker.advance_ms(5'000);
  EXPECT_EQ(broker.must(get(*answer.next_shard_iterator)).records.size(), 3u);
}

TEST(Limits, AreScaled) {
  TestBroker broker;
  broker.create("s", 1);
  broker.set_attribute("s", "limits", "0.1");
  EXPECT_EQ(broker.must(put_many("s", 150)).failed_record_count, 50);
}

// Says whether a call would succeed, and does nothing.
TEST(Records, ADryRunChangesNothing) {
  TestBroker broker;
  broker.create("s", 1);
  constexpr const char* kDryRun = "DryRunOperationException";
  wire::PutRecordRequest put;
  put.stream_name = "s";
  put.partition_key = "k";
  put.dry_run = true;
  EXPECT_EQ(broker.error_of(put), kDryRun);
  auto many = put_many("s", 3);
  many.dry_run = true;
  EXPECT_EQ(broker.error_of(many), kDryRun);
  put.data = std::string((1 << 20) + 1, 'd');  // what would be refused is
  EXPECT_EQ(broker.error_of(put), "InvalidArgumentException");
  wire::GetShardIteratorRequest iterate;
  iterate.stream_name = "s";
  iterate.shard_id = "shardId-000000000000";
  iterate.shard_iterator_type = "TRIM_HORIZON";
  iterate.dry_run = true;
  EXPECT_EQ(broker.error_of(iterate), kDryRun);
  wire::GetRecordsRequest get;
  get.shard_iterator = broker.iterator("s", 0);
  get.dry_run = true;
  EXPECT_EQ(broker.error_of(get), kDryRun);
  get.dry_run = false;
  EXPECT_TRUE(broker.must(get).records.empty());
  get.shard_iterator = "x";
  get.dry_run = true;
  EXPECT_EQ(broker.error_of(get), "InvalidArgumentException");
}

TEST(Limits, OfRecordsAndRequests) {
  TestBroker broker;
  broker.create("s", 1);
  broker.set_attribute("s", "limits", "none");
  wire::PutRecordRequest request;
  request.stream_name = "s";
  request.partition_key = std::string(256, 'k');
  request.data = std::string(1 << 20, 'd');
  EXPECT_EQ(broker.error_of(request), "");
  request.data += "d";
  EXPECT_EQ(broker.error_of(request), "InvalidArgumentException");
  wire::UpdateMaxRecordSizeRequest larger;
  larger.stream_arn = stream_arn(broker.caller, "s");
  larger.max_record_size_in_kib = 10240;
  broker.must(larger);
  EXPECT_EQ(broker.error_of(request), "");
  request.data = std::string(10 << 20, 'd');
  EXPECT_EQ(broker.error_of(request), "");
  EXPECT_EQ(broker.error_of(put_many("s", 11, 1 << 20)), "InvalidArgumentException");
  EXPECT_EQ(broker.must(put_many("s", 9, 1 << 20)).failed_record_count, 0);
}

TEST(Records, BadOrderingHintsAreRefused) {
  TestBroker broker;
  broker.create("s", 1);
  auto first = broker.put("s", "k", "1");
  wire::PutRecordRequest request;
  request.stream_name = "s";
  request.partition_key = "k";
  request.sequence_number_for_ordering = first.sequence_number;
  EXPECT_EQ(broker.error_of(request), "");
  request.sequence_number_for_ordering = std::string(56, '9');
  EXPECT_EQ(broker.error_of(request), "InvalidArgumentException");
}

// AWS's own example of PutRecord begins with "0".
TEST(Records, AnOrderingHintMayBeOfNoStream) {
  TestBroker broker;
  broker.create("s", 1);
  broker.create("other", 1);
  wire::PutRecordRequest request;
  request.stream_name = "s";
  request.partition_key = "k";
  for (const std::string& hint :
       {std::string("0"), std::string("7"), broker.put("other", "k", "1").sequence_number}) {
    request.sequence_number_for_ordering = hint;
    EXPECT_EQ(broker.error_of(request), "") << hint;
  }
}

// A topic is a stream: its partitions are shards, and its records have keys, whatever they are.
TEST(Topics, AreStreamsWithEqualRanges) {
  TestBroker broker;
  broker.create_topic("t", 3);
  RecordBatchBuilder builder;
  builder.add(1234, std::nullopt, "a");
  builder.add(1235, "", "b");
  builder.add(1236, "\xff", "c");
  builder.add(1237, "k", std::nullopt);
  bool stored = false;
  broker.partition("t", 1).append(Buffer::from_string(*builder.build()), partition::Acks::kAll,
                                  [&](Result<partition::Appended> r) { stored = r.ok(); });
  broker.world.run_until([&] { return stored; });
  auto answer = broker.must(get(broker.iterator("t", 1)));
  ASSERT_THAT(answer.records, SizeIs(4));
  EXPECT_EQ(answer.records[0].partition_key, "$sluice.null");
  EXPECT_EQ(answer.records[0].approximate_arrival_timestamp_ms, 1234);
  EXPECT_EQ(answer.records[1].partition_key, "$sluice.empty");
  EXPECT_EQ(answer.records[2].partition_key, "$sluice.base64._w");
  EXPECT_EQ(answer.records[3].data, "");
  // Put back, the keys are what they were.
  for (const auto& record : answer.records) {
    wire::PutRecordRequest put;
    put.stream_name = "t";
    put.partition_key = record.partition_key;
    put.explicit_hash_key = "0";
    broker.must(put);
  }
  auto fetched = broker.partition("t", 0).read(Offset{0}, 1 << 20);
  ASSERT_TRUE(fetched.ok());
  std::vector<std::optional<std::string>> keys;
  for (const auto& batch : fetched->batches) {
    auto it = RecordIterator::open(batch.bytes.view(), 1 << 20);
    broker::Record record;
    while (it->next(record)) {
      keys.push_back(record.key ? std::optional(std::string(*record.key)) : std::nullopt);
    }
  }
  EXPECT_THAT(keys, ElementsAre(std::nullopt, "", "\xff", "k"));
  EXPECT_EQ(broker.error_of(split("t", 0, "5")), "InvalidArgumentException");
}

}  // namespace
}  // namespace broker::handlers::kinesis
