#include "tests/sim/broker_process.h"

#include "broker/storage/format/checkpoint.h"

namespace broker::sim {
namespace {
constexpr int64_t kMetadataSaveMs = 200;
constexpr int64_t kHandOverMs = 20'000;
const char kDir[] = "/data", kMetadataFile[] = "/data/metadata.pb";
}  // namespace

struct BrokerProcess::Shards : handlers::grpc::Shards {
  explicit Shards(routing::Router& r) : router(r) {}
  void append(const ShardId& shard, Buffer batch, partition::Acks acks, int64_t timeout_ms,
              partition::AppendDone done) override {
    router.append(shard, std::move(batch), acks, timeout_ms, std::move(done));
  }
  void read(const ShardId& shard, Offset from, size_t bytes_max, int64_t wait_ms,
            std::function<void(Result<partition::Fetched>)> done) override {
    router.read(shard, from, bytes_max, wait_ms, std::move(done));
  }
  void offsets(const ShardId& shard,
               std::function<void(Result<routing::ShardOffsets>)> done) override {
    router.offsets(shard, std::move(done));
  }
  void offset_at(const ShardId& shard, int64_t timestamp_ms,
                 std::function<void(Result<Offset>)> done) override {
    router.offset_at(shard, timestamp_ms, std::move(done));
  }
  routing::Router& router;
};

BrokerProcess::BrokerProcess(SimWorld& world, Trace& trace, Network& network,
                             CoordinatorHost& host, int id, BrokerSettings settings)
    : world_(world),
      trace_(trace),
      network_(network),
      host_(host),
      id_(id),
      settings_(settings),
      clock_(world) {
  replace_disk();
}

BrokerProcess::~BrokerProcess() { tear_down(); }

void BrokerProcess::replace_disk(bool keep_identity) {
  CHECK(!running());
  const std::string meta = std::string(kDir) + "/meta";
  std::string identity = keep_identity ? disk_->content(meta) : "";
  disk_ = std::make_unique<SimDisk>(world_.random());
  disk_->lie_about_sync(settings_.disks_lie);
  if (!keep_identity) return;
  CHECK(start().ok());
  kill(false);
  for (const auto& path : disk_->files(std::string(kDir) + "/log/")) CHECK(disk_->remove(path).ok());
  disk_->set_content(meta, identity);
}

void BrokerProcess::make_stop_look_clean() {
  const std::string path = std::string(kDir) + "/checkpoint";
  if (!disk_->exists(path)) return;
  auto checkpoint = storage::decode_checkpoint(disk_->content(path));
  if (!checkpoint.ok()) return;
  checkpoint->clean = true;
  disk_->set_content(path, storage::encode_checkpoint(*checkpoint));
}

Status BrokerProcess::start() {
  CHECK(!running());
  incarnation_++;
  paused_ = stopping_ = closing_ = metadata_save_scheduled_ = false;
  failed_ = false;
  metrics_ = std::make_unique<Metrics>();
  executor_ = std::make_unique<SimExecutor>(world_);
  wal_io_ = std::make_unique<SimIoQueue>(*executor_, settings_.disk_min_us, settings_.disk_max_us);
  background_io_ =
      std::make_unique<SimIoQueue>(*executor_, settings_.disk_min_us, 4 * settings_.disk_max_us);
  read_io_ =
      std::make_unique<SimIoQueue>(*executor_, settings_.disk_min_us, settings_.disk_max_us);
  disk_->set_cold(settings_.cold_percent);
  RETURN_IF_ERROR(disk_->make_dirs(kDir));
  if (settings_.stops_look_clean) make_stop_look_clean();
  storage::StoreOptions options;
  options.unsynced_bytes_max = settings_.unsynced_bytes_max;
  options.dir = kDir;
  options.broker = BrokerId{id_};
  options.log_file_bytes = settings_.log_file_bytes;
  options.tail_cache_bytes = settings_.tail_cache_bytes;
  options.index_cache_bytes = 64 << 10;
  options.frame_bytes_max = 8 << 10;
  options.free_bytes_min = 0;
  storage::Env env{clock_, *disk_, *wal_io_, *background_io_, world_.random(), *metrics_,
                   [this](const Status& why) { fail(why); },
                   executor_.get(), nullptr, read_io_.get()};
  auto store = storage::Store::open(env, options);
  if (!store.ok()) {
    tear_down();
    return store.status();
  }
  store_ = std::move(*store);
  metadata_ = std::make_unique<cluster::Metadata>();
  auto known = cluster::load_metadata(*disk_, kMetadataFile);
  if (known.ok()) metadata_->apply(*known);
  const uint64_t high = world_.random().next();
  wire(Uuid::from_random(high, world_.random().next()));
  return {};
}

void BrokerProcess::wire(const Uuid& process) {
  const BrokerId self{id_};
  cluster::v1::Register hello;
  hello.set_cluster("sim");
  hello.set_process(process.to_string());
  auto* broker = hello.mutable_broker();
  broker->set_id(id_);
  broker->set_directory(store_->directory_id().to_string());
  broker->set_zone("z" + std::to_string(id_ % 3));
  broker->set_alive(true);
  session_ = std::make_unique<cluster::Session>(clock_, *executor_, *metadata_, hello);
  transport_ = std::make_unique<NodeTransport>(network_, id_);
  replication::ReplicaOptions replica_options = settings_.replication;
  replica_options.process = static_cast<uint32_t>(incarnation_);
  partitions_ = std::make_unique<partition::Partitions>(
      partition::Partitions::Parts{clock_, *executor_, *store_, *metadata_, *session_, *transport_,
                                   *metrics_},
      self, replica_options, settings_.flow);
  router_ = std::make_unique<routing::Router>(self, clock_, *executor_, *metadata_, *partitions_,
                                              *transport_);
  hand_over_ = std::make_unique<routing::HandOver>(self, clock_, *executor_, *metadata_,
                                                   *partitions_, *router_);
  shards_ = std::make_unique<Shards>(*router_);
  handlers_ = std::make_unique<handlers::grpc::Handlers>(
      self, handlers::grpc::Handlers::Parts{
                clock_, *executor_, *metadata_, *shards_, *metrics_,
                [this](cluster::v1::AdminRequest request, int64_t timeout_ms,
                       cluster::Session::AdminDone done) {
                  session_->admin(std::move(request), timeout_ms, std::move(done));
                },
                world_.random()});
  partitions_->start();
  metadata_->add_listener([this](const cluster::Metadata::Change&) { save_metadata_soon(); });
  network_.attach(
      id_, {executor_.get(),
            {self, store_->directory_id()},
            [this](BrokerId from, const ShardId& shard, replication::Message message) {
              partitions_->on_message(from, shard, std::move(message));
            },
            [this](const replication::Member& peer, bool up) { partitions_->on_peer(peer, up); },
            [this](const Buffer& request, auto reply) { router_->on_request(request, reply); }});
  link_ = std::make_unique<SimCoordinatorLink>(host_, id_);
  cluster::SessionHandlers handlers;
  handlers.new_terms = [this](const auto& terms) { partitions_->on_new_terms(terms); };
  handlers.prepare_transfer = [this](const auto& r) { partitions_->on_prepare_transfer(r); };
  handlers.welcomed = [this] { partitions_->on_welcomed(); };
  handlers.peers_heard = [this] { return transport_->heard(); };
  handlers.stop_allowed = [this] { closed_cleanly(); };
  session_->start(*link_, std::move(handlers));
  host_.attach(id_, *executor_, *session_);
}

void BrokerProcess::save_metadata_soon() {
  if (metadata_save_scheduled_) return;
  metadata_save_scheduled_ = true;
  executor_->schedule_after(kMetadataSaveMs, [this] {
    metadata_save_scheduled_ = false;
    auto bytes = std::make_shared<std::string>(metadata_->snapshot().SerializeAsString());
    background_io_->submit(
        [this, bytes] { return env::write_file_atomically(*disk_, kMetadataFile, *bytes); },
        [](Status status) { status.ignore_error("saved again with the next change"); });
  });
}

// Not from inside the process: its executor is about to go. Nothing of it runs until then.
void BrokerProcess::fail(const Status& why) {
  if (std::exchange(failed_, true)) return;
  executor_->pause();
  world_.schedule(0, [this, why, incarnation = incarnation_] {
    if (running() && incarnation_ == incarnation && on_fatal) on_fatal(why);
  });
}

void BrokerProcess::kill(bool power_loss) {
  if (!running()) return;
  network_.detach(id_, power_loss);
  host_.detach(id_, power_loss);
  tear_down();
  if (power_loss) {
    disk_->crash();
  } else {
    disk_->kill_process();
  }
}

void BrokerProcess::tear_down() {
  if (executor_) executor_->kill();
  handlers_.reset();
  shards_.reset();
  hand_over_.reset();
  router_.reset();
  partitions_.reset();
  transport_.reset();
  session_.reset();
  link_.reset();
  metadata_.reset();
  store_.reset();
  wal_io_.reset();
  background_io_.reset();
  read_io_.reset();
  // Whoever holds a completion of this process may still drop it: the executor goes last.
  executor_.reset();
  metrics_.reset();
  paused_ = stopping_ = false;
}

void BrokerProcess::stop_cleanly() {
  if (!running() || stopping_ || closing_) return;
  stopping_ = true;
  if (!session_->welcomed() || partitions_->leader_count() == 0) return closed_cleanly();
  hand_over_->stopping();
  session_->ask_to_stop();
  executor_->schedule_after(kHandOverMs, [this] { closed_cleanly(); });
}

void BrokerProcess::closed_cleanly() {
  if (!stopping_) return;
  stopping_ = false;
  closing_ = true;
  partitions_->save_all();
  network_.detach(id_, false);
  host_.detach(id_, false);
  auto finish = [this] {
    trace_.note(world_.now_us(), "broker " + std::to_string(id_) + " has stopped");
    tear_down();
    disk_->kill_process();
  };
  // Not from inside the process: its executor is about to go.
  store_->close([this, finish, incarnation = incarnation_](Status) {
    world_.schedule(0, [this, finish, incarnation] {
      if (running() && incarnation_ == incarnation) finish();
    });
  });
}

void BrokerProcess::pause() {
  if (!running() || paused_) return;
  paused_ = true;
  executor_->pause();
}

void BrokerProcess::resume() {
  if (!paused_) return;
  paused_ = false;
  if (!failed_) executor_->resume();
}

}  // namespace broker::sim
