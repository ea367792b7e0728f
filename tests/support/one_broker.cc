#include "tests/support/one_broker.h"

#include <optional>

#include "broker/base/check.h"

namespace broker::sim {

OneBroker::OneBroker(size_t log_file_bytes) {
  storage::StoreOptions store_options;
  store_options.dir = "/data";
  store_options.broker = kSelf;
  store_options.log_file_bytes = log_file_bytes;
  CHECK(disk_.make_dirs("/data").ok());
  auto store = storage::Store::open(
      {clock_, disk_, wal_io_, background_io_, world.random(), metrics, {}, nullptr, nullptr,
       &read_io_},
      store_options);
  CHECK(store.ok());
  store_ = std::move(*store);
  v1::Register self;
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
                                   metrics},
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
}

void OneBroker::come_up() {
  CHECK(world.run_until([this] { return metadata.find_broker(kSelf) != nullptr; }, 10'000'000));
}

Result<v1::AdminResponse> OneBroker::admin(v1::AdminRequest request) {
  std::optional<Result<v1::AdminResponse>> outcome;
  session_->admin(std::move(request), 10'000,
                  [&](Result<v1::AdminResponse> answer) { outcome = std::move(answer); });
  CHECK(world.run_until([&] { return outcome.has_value(); }));
  return *outcome;
}

partition::Partition& OneBroker::partition(const std::string& name, int32_t index) {
  auto* partition = partitions_->find({metadata.find(name)->id, index});
  CHECK(partition != nullptr);
  return *partition;
}

}  // namespace broker::sim
