#include "broker/handlers/kinesis/test_broker.h"

namespace broker::handlers::kinesis {

TestBroker::TestBroker(Options options, const security::Authorizer* authorizer) {
  constexpr BrokerId kSelf{0};
  storage::StoreOptions store_options;
  store_options.dir = "/data";
  store_options.broker = kSelf;
  store_options.log_file_bytes = 32 << 20;
  CHECK(disk_.make_dirs("/data").ok());
  auto store = storage::Store::open(
      {clock_, disk_, wal_io_, background_io_, world.random(), metrics, {}, nullptr, nullptr, &read_io_},
      store_options);
  CHECK(store.ok());
  store_ = std::move(*store);
  cluster::v1::Register self;
  self.set_cluster("test");
  self.set_process(Uuid::from_random(1, 2).to_string());
  self.mutable_broker()->set_id(kSelf.value);
  self.mutable_broker()->set_directory(store_->directory_id().to_string());
  self.mutable_broker()->set_alive(true);
  session_ = std::make_unique<cluster::Session>(clock_, executor_, metadata, self);
  partitions_ = std::make_unique<partition::Partitions>(
      partition::Partitions::Parts{clock_, executor_, *store_, metadata, *session_, peers_,
                                   metrics},
      kSelf, replication::ReplicaOptions{});
  partitions_->start();
  router_ =
      std::make_unique<routing::Router>(kSelf, clock_, executor_, metadata, *partitions_, peers_);
  coordinator_ = std::make_unique<app::DevCoordinator>(clock_, executor_, disk_, background_io_,
                                                       world.random(), "/data/coordinator", "test");
  cluster::SessionHandlers handlers;
  handlers.new_terms = [this](const auto& terms) { partitions_->on_new_terms(terms); };
  handlers.prepare_transfer = [this](const auto& r) { partitions_->on_prepare_transfer(r); };
  handlers.welcomed = [this] { partitions_->on_welcomed(); };
  handlers.peers_heard = [] { return std::vector<BrokerId>(); };
  handlers.stop_allowed = [] {};
  session_->start(*coordinator_, std::move(handlers));
  coordinator_->start(*session_);
  handlers_ = std::make_unique<Handlers>(Services{
      clock_, executor_, metadata, metrics, kSelf,
      [this]() -> routing::Router& { return *router_; },
      [this](v1::AdminRequest request, int64_t timeout_ms, cluster::Session::AdminDone done) {
        session_->admin(std::move(request), timeout_ms, std::move(done));
      },
      options, authorizer, &client_quotas_});
  CHECK(
      world.run_until([this] { return metadata.find_broker(BrokerId{0}) != nullptr; }, 10'000'000));
}

Result<v1::AdminResponse> TestBroker::admin(v1::AdminRequest request) {
  std::optional<Result<v1::AdminResponse>> outcome;
  session_->admin(std::move(request), 10'000,
                  [&](Result<v1::AdminResponse> answer) { outcome = std::move(answer); });
  CHECK(world.run_until([&] { return outcome.has_value(); }));
  return *outcome;
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

partition::Partition& TestBroker::partition(const std::string& name, int32_t index) {
  auto* partition = partitions_->find({metadata.find(name)->id, index});
  CHECK(partition != nullptr);
  return *partition;
}

}  // namespace broker::handlers::kinesis
