#include "broker/handlers/kinesis/test_broker.h"

namespace broker::handlers::kinesis {

TestBroker::TestBroker(Options options, const security::Authorizer* authorizer)
    : OneBroker(32 << 20) {
  router_ = std::make_unique<routing::Router>(kSelf, clock_, executor_, metadata, *partitions_,
                                              nobody_else_);
  handlers_ = std::make_unique<Handlers>(Services{
      clock_, executor_, metadata, metrics, kSelf,
      [this]() -> routing::Router& { return *router_; },
      [this](v1::AdminRequest request, int64_t timeout_ms, cluster::Session::AdminDone done) {
        session_->admin(std::move(request), timeout_ms, std::move(done));
      },
      options, authorizer, &quotas_});
  come_up();
}

void TestBroker::create(const std::string& name, int32_t shards) {
  wire::CreateStreamRequest request;
  request.stream_name = name;
  request.shard_count = shards;
  must(request);
}

void TestBroker::create_topic(const std::string& name, int32_t partitions) {
  v1::AdminRequest request;
  request.mutable_create_stream()->set_name(name);
  v1::StreamConfig& config = *request.mutable_create_stream()->mutable_config();
  config.set_mode(v1::STREAM_MODE_PARTITIONED);
  config.set_partitions(partitions);
  ASSERT_TRUE(admin(request).ok());
}

void TestBroker::set_attribute(const std::string& stream, const std::string& name,
                               const std::string& value) {
  v1::AdminRequest request;
  request.mutable_set_attributes()->set_stream(stream);
  (*request.mutable_set_attributes()->mutable_set())[name] = value;
  ASSERT_TRUE(admin(request).ok());
}

wire::PutRecordResponse TestBroker::put(const std::string& stream, const std::string& key,
                                        const std::string& data) {
  wire::PutRecordRequest request;
  request.stream_name = stream;
  request.partition_key = key;
  request.data = data;
  return must(request);
}

std::string TestBroker::iterator(const std::string& stream, int32_t shard, std::string_view type) {
  wire::GetShardIteratorRequest request;
  request.stream_name = stream;
  request.shard_id = format_shard_id(shard);
  request.shard_iterator_type = type;
  return must(request).shard_iterator.value_or("");
}

std::vector<std::string> TestBroker::read_all(std::string& iterator) {
  std::vector<std::string> out;
  for (;;) {
    wire::GetRecordsRequest request;
    request.shard_iterator = iterator;
    auto answer = call(request);
    if (answer.error == "ProvisionedThroughputExceededException") {
      advance_ms(200);
      continue;
    }
    EXPECT_TRUE(answer.ok()) << answer.error << ": " << answer.message;
    if (!answer.ok()) return out;
    for (const auto& record : answer.response.records) out.push_back(record.data);
    iterator = answer.response.next_shard_iterator.value_or("");
    if (iterator.empty() || answer.response.records.empty()) return out;
  }
}

}  // namespace broker::handlers::kinesis
