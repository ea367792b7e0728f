#include "broker/handlers/kafka/test_broker.h"

namespace broker::handlers::kafka {

TestBroker::TestBroker(Options options, const security::Authorizer* authorizer)
    : OneBroker(4 << 20) {
  dispatcher_ = std::make_unique<Dispatcher>(
      Services{executor_, clock_, world.random(), metrics, metadata, kSelf,
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
  come_up();
}

TestBroker::~TestBroker() { end_shards(); }

void TestBroker::create_stream(const std::string& name, v1::StreamMode mode, int32_t partitions) {
  v1::AdminRequest request;
  request.mutable_create_stream()->set_name(name);
  v1::StreamConfig& config = *request.mutable_create_stream()->mutable_config();
  config.set_mode(mode);
  config.set_partitions(partitions);
  config.set_replication(1);
  auto outcome = admin(request);
  ASSERT_TRUE(outcome.ok()) << outcome.status().to_string();
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

}  // namespace broker::handlers::kafka
