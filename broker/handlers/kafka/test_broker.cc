#include "broker/handlers/kafka/test_broker.h"

namespace broker::handlers::kafka {

TestBroker::TestBroker(Options options, const security::Authorizer* authorizer) {
  constexpr BrokerId kSelf{0};
  storage::StoreOptions store_options;
  store_options.dir = "/data";
  store_options.broker = kSelf;
  store_options.log_file_bytes = 4 << 20;
  CHECK(disk_.make_dirs("/data").ok());
  auto store = storage::Store::open(
      {clock_, disk_, wal_io_, background_io_, world.random(), metrics_, {}, nullptr, nullptr, &read_io_},
      store_options);
  CHECK(store.ok());
  store_ = std::move(*store);
  cluster::v1::Register self;
  self.set_cluster("test");
  self.set_process(Uuid::from_random(1, 2).to_string());
  self.mutable_broker()->set_id(kSelf.value);
  self.mutable_broker()->set_directory(store_->directory_id().to_string());
  self.mutable_broker()->set_alive(true);
  self.mutable_broker()->mutable_kafka()->set_host("broker.test");
  self.mutable_broker()->mutable_kafka()->set_port(9092);
  session_ = std::make_unique<cluster::Session>(clock_, executor_, metadata, self);
  partitions_ = std::make_unique<partition::Partitions>(
      partition::Partitions::Parts{clock_, executor_, *store_, metadata, *session_, peers_,
                                   metrics_},
      kSelf, replication::ReplicaOptions{});
  partitions_->start();
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
  dispatcher_ = std::make_unique<Dispatcher>(
      Services{executor_, clock_, world.random(), metrics_, metadata, kSelf,
               [this](const ShardId& id) { return partitions_->find(id); },
               [this](v1::AdminRequest request, int64_t timeout_ms, AdminDone done) {
                 if (take_admin && take_admin(request, done)) return;
                 session_->admin(std::move(request), timeout_ms, std::move(done));
               },
               options, authorizer, {}, &quotas_, {}, nullptr,
               [this](std::optional<int64_t> bytes_per_s) { catch_up_limit = bytes_per_s; }});
  metadata.add_listener([this](const cluster::Metadata::Change& change) {
    if (change.client_quotas) quotas_.update(metadata.client_quotas());
  });
  CHECK(
      world.run_until([this] { return metadata.find_broker(BrokerId{0}) != nullptr; }, 10'000'000));
}

TestBroker::~TestBroker() { end_shards(); }

void TestBroker::create_stream(const std::string& name, v1::StreamMode mode, int32_t partitions) {
  v1::AdminRequest request;
  request.mutable_create_stream()->set_name(name);
  v1::StreamConfig& config = *request.mutable_create_stream()->mutable_config();
  config.set_mode(mode);
  config.set_partitions(partitions);
  config.set_replication(1);
  std::optional<Status> outcome;
  session_->admin(request, 10'000,
                  [&](Result<v1::AdminResponse> answer) { outcome = answer.status(); });
  world.run_until([&] { return outcome.has_value(); });
  ASSERT_TRUE(outcome && outcome->ok()) << outcome->to_string();
  world.run_until([&] {
    auto stream = metadata.find(name);
    if (!stream) return false;
    for (const auto& shard : stream->map.shards()) {
      auto* partition = partitions_->find({stream->id, shard.index()});
      if (!partition || !partition->is_leader() || !partition->may_read_latest().ok()) return false;
    }
    return true;
  });
}

partition::Partition& TestBroker::partition(const std::string& name, int32_t index) {
  auto* partition = partitions_->find({metadata.find(name)->id, index});
  CHECK(partition != nullptr);
  return *partition;
}

}  // namespace broker::handlers::kafka
