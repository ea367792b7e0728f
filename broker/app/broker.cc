#include "broker/app/broker.h"

#include <malloc.h>

#include <csignal>
#include <cstdio>

#include <boost/asio/signal_set.hpp>

#include "broker/app/certificates.h"
#include "broker/app/dev_coordinator.h"
#include "broker/app/process_metrics.h"
#include "broker/base/log.h"
#include "broker/cluster/grpc/grpc_link.h"
#include "broker/cluster/zone_traffic.h"
#include "broker/env/posix/posix.h"
#include "broker/handlers/kinesis/handlers.h"
#include "broker/link/links.h"
#include "broker/quotas/client_quotas.h"
#include "broker/routing/hand_over.h"
#include "broker/routing/router.h"
#include "broker/security/users_file.h"
#include "broker/server/grpc/server.h"
#include "broker/server/http/pages.h"
#include "broker/server/kafka/listener.h"
#include "broker/server/kinesis/listener.h"

namespace broker::app {
namespace {

constexpr int64_t kHandOverMs = 20'000;    // to move leadership away before a stop
constexpr int64_t kDrainMs = 5'000;        // to answer what is in flight
constexpr int64_t kCertificatesLookMs = 10'000;
constexpr int64_t kMetadataSaveMs = 200;   // changes of metadata are saved together
constexpr int64_t kTrafficMs = 2000;       // bytes between zones are told so often
constexpr int64_t kCacheIdleMs = 60'000;   // a record that nobody followed for so long leaves memory
constexpr int64_t kForgetIdleMs = 10'000;
constexpr uint64_t kIdleBytesMax = 1 << 20;  // a cache below is that of an idle broker

cluster::v1::Endpoint endpoint(const std::string& host, uint16_t port) {
  cluster::v1::Endpoint e;
  e.set_host(host);
  e.set_port(port);
  return e;
}

// The same for Kafka's, which go by hand-overs only.
class LateHandOver : public handlers::kafka::HandOver {
 public:
  explicit LateHandOver(std::unique_ptr<routing::HandOver>& hand_over) : hand_over_(hand_over) {}
  bool takes(const ShardId& shard) const override { return hand_over_->takes(shard); }
  void append(const ShardId& shard, Buffer batch, partition::Acks acks, int64_t timeout_ms,
              partition::AppendDone done) override {
    hand_over_->append(shard, std::move(batch), acks, timeout_ms, std::move(done));
  }

 private:
  std::unique_ptr<routing::HandOver>& hand_over_;
};

// The gRPC handlers are built before the router, for the ports that registration needs; no call
// reaches them earlier.
class LateShards : public handlers::grpc::Shards {
 public:
  explicit LateShards(std::unique_ptr<routing::Router>& router) : router_(router) {}
  void append(const ShardId& shard, Buffer batch, partition::Acks acks, int64_t timeout_ms,
              partition::AppendDone done) override {
    router_->append(shard, std::move(batch), acks, timeout_ms, std::move(done));
  }
  void read(const ShardId& shard, Offset from, size_t bytes_max, int64_t wait_ms,
            std::function<void(Result<partition::Fetched>)> done) override {
    router_->read(shard, from, bytes_max, wait_ms, std::move(done));
  }
  void offsets(const ShardId& shard,
               std::function<void(Result<routing::ShardOffsets>)> done) override {
    router_->offsets(shard, std::move(done));
  }
  void offset_at(const ShardId& shard, int64_t timestamp_ms,
                 std::function<void(Result<Offset>)> done) override {
    router_->offset_at(shard, timestamp_ms, std::move(done));
  }

 private:
  std::unique_ptr<routing::Router>& router_;
};

}  // namespace

struct Broker::Parts {
  explicit Parts(Config c) : config(std::move(c)) {}

  Status open_storage();
  Status open_users();
  Status open_doors();
  Status open_kafka(const ClientListener& listener);
  Status open_kinesis();
  static server::kinesis::Credentials access_keys_of(const cluster::v1::Security& security);
  cluster::v1::Endpoint advertised(const ClientListener& listener, uint16_t port) const;
  void watch_certificates();
  void wire();
  cluster::v1::Register registration();
  void connect_coordinator();
  void save_metadata_soon();
  void tell_traffic();
  void forget_idle();
  void begin_stop(const char* why);
  void stop_doors();
  void close_log();
  void close_store();
  server::http::Health ready() const;

  Config config;
  Metrics metrics;
  std::unique_ptr<ProcessMetrics> process_metrics;
  std::unique_ptr<Certificates> certificates;
  env::PosixClock clock;
  env::PosixFileSystem fs;
  env::SystemRandom random;
  env::AsioExecutor executor;
  // Ended first: their last completions are posted to a reactor that does not run any more.
  std::unique_ptr<env::ThreadIoQueue> wal_io, wal_io_2, background_io, read_io;
  std::unique_ptr<storage::Store> store;
  cluster::Metadata metadata;
  std::unique_ptr<cluster::ZoneTraffic> traffic;
  security::Authorizer authorizer;
  quotas::ClientQuotas client_quotas{clock, metrics};
  std::unique_ptr<cluster::Session> session;
  std::unique_ptr<link::Links> links;
  std::unique_ptr<partition::Partitions> partitions;
  std::unique_ptr<routing::Router> router;
  std::unique_ptr<routing::HandOver> hand_over;
  LateHandOver kafka_hand_over{hand_over};
  std::unique_ptr<handlers::kafka::Dispatcher> kafka_dispatcher;
  std::vector<std::unique_ptr<server::kafka::Listener>> kafka;  // the first, then the named ones
  std::unique_ptr<handlers::grpc::Shards> shards;
  std::unique_ptr<handlers::grpc::Handlers> grpc_handlers;
  std::unique_ptr<server::grpc::Server> grpc;
  std::unique_ptr<handlers::kinesis::Handlers> kinesis_handlers;
  std::unique_ptr<server::kinesis::SignatureCheck> signatures;
  std::unique_ptr<server::kinesis::CredentialsFile> access_keys;
  std::unique_ptr<server::kinesis::Listener> kinesis;
  std::unique_ptr<server::http::Pages> pages;
  std::unique_ptr<DevCoordinator> dev_coordinator;
  std::unique_ptr<cluster::GrpcLink> coordinator_link;
  std::unique_ptr<boost::asio::signal_set> signals;
  bool metadata_save_scheduled = false;
  uint64_t cached_bytes = 0;  // by the tail cache, when it was last looked at
  bool registered_once = false, stopping = false, doors_closed = false;
  int exit_status = 0;
};

Status Broker::Parts::open_storage() {
  RETURN_IF_ERROR(fs.make_dirs(config.data));
  RETURN_IF_ERROR(env::lock_file(config.data + "/lock"));
  wal_io = std::make_unique<env::ThreadIoQueue>(executor, "wal");
  wal_io_2 = std::make_unique<env::ThreadIoQueue>(executor, "wal-2");
  background_io = std::make_unique<env::ThreadIoQueue>(executor, "background-io");
  read_io = std::make_unique<env::ThreadIoQueue>(executor, "read");
  storage::StoreOptions options;
  options.dir = config.data;
  options.broker = config.broker;
  int64_t began = clock.mono_ms();
  ASSIGN_OR_RETURN(store, storage::Store::open(
                              {clock, fs, *wal_io, *background_io, random, metrics, {}, &executor,
                               wal_io_2.get(), read_io.get()}, options));
  log_info("broker", "log recovered",
           {{"shards", store->shard_count()},
            {"ms", clock.mono_ms() - began},
            {"clean", store->clean_shutdown()},
            {"directory", store->directory_id().to_string()}});
  auto known = cluster::load_metadata(fs, config.data + "/metadata.pb");
  if (!known.ok()) return known.status();
  metadata.apply(*known);
  traffic = std::make_unique<cluster::ZoneTraffic>(executor, fs, *background_io, metadata,
                                                   config.broker, store->directory_id());
  return traffic->open(config.data);
}

cluster::v1::Register Broker::Parts::registration() {
  cluster::v1::Register self;
  self.set_cluster(config.cluster);
  self.set_process(Uuid::from_random(random.next(), random.next()).to_string());
  auto* broker = self.mutable_broker();
  broker->set_id(config.broker.value);
  broker->set_directory(store->directory_id().to_string());
  broker->set_zone(config.zone);
  broker->set_alive(true);
  broker->set_version(SLUICE_VERSION);
  *broker->mutable_kafka() = advertised(config.kafka, kafka.front()->port());
  for (size_t i = 0; i < config.kafka_listeners.size(); ++i) {
    auto* listener = broker->add_listeners();
    listener->set_name(config.kafka_listeners[i].name);
    *listener->mutable_endpoint() = advertised(config.kafka_listeners[i], kafka[i + 1]->port());
  }
  *broker->mutable_grpc() = endpoint(config.advertise, grpc->port());
  *broker->mutable_replication() = endpoint(config.advertise, links->port());
  return self;
}

cluster::v1::Endpoint Broker::Parts::advertised(const ClientListener& listener,
                                                uint16_t port) const {
  if (listener.advertise) return endpoint(listener.advertise->host, listener.advertise->port);
  return endpoint(config.advertise, port);
}

Status Broker::Parts::open_kafka(const ClientListener& listener) {
  server::kafka::ListenerOptions options;
  options.name = listener.name;
  options.host = listener.address.host;
  options.port = listener.address.port;
  switch (listener.authentication) {
    case ClientAuthentication::kNone:
      break;
    case ClientAuthentication::kSasl:
      options.authentication = server::kafka::Authentication::kSasl;
      break;
    case ClientAuthentication::kClientCertificate:
      options.authentication = server::kafka::Authentication::kClientCertificate;
      break;
  }
  if (listener.tls) {
    security::TlsFiles files{config.client_tls_cert, config.client_tls_key, "", {}};
    if (listener.authentication == ClientAuthentication::kClientCertificate) {
      files.client_ca = config.client_tls_ca;
    }
    ASSIGN_OR_RETURN(options.tls, security::TlsContext::load(files));
  }
  kafka.push_back(std::make_unique<server::kafka::Listener>(executor, clock, metrics,
                                                            *kafka_dispatcher, options));
  return kafka.back()->start();
}

Status Broker::Parts::open_kinesis() {
  handlers::kinesis::Options options;
  options.operation_rates = config.kinesis_operation_rates;
  kinesis_handlers = std::make_unique<handlers::kinesis::Handlers>(handlers::kinesis::Services{
      clock, executor, metadata, metrics, config.broker,
      [this]() -> routing::Router& { return *router; },
      [this](cluster::v1::AdminRequest request, int64_t timeout_ms,
             cluster::Session::AdminDone done) {
        session->admin(std::move(request), timeout_ms, std::move(done));
      },
      options, &authorizer, &client_quotas});
  server::kinesis::SignatureRules rules;
  rules.anyone = config.kinesis_any_key;
  signatures = std::make_unique<server::kinesis::SignatureCheck>(clock, rules);
  signatures->set_user_credentials(access_keys_of(metadata.security()));
  if (!config.kinesis_credentials.empty()) {
    access_keys = std::make_unique<server::kinesis::CredentialsFile>(
        fs, *background_io, executor, config.kinesis_credentials,
        [this](server::kinesis::Credentials keys) { signatures->set_credentials(std::move(keys)); });
    access_keys->start();
  }
  server::kinesis::ListenerOptions listener;
  listener.limits.hash_bodies = !rules.anyone;
  listener.host = config.kinesis.address.host;
  listener.port = config.kinesis.address.port;
  if (config.kinesis.tls) {
    security::TlsFiles files{config.client_tls_cert, config.client_tls_key, "", {"h2", "http/1.1"}};
    ASSIGN_OR_RETURN(listener.tls, security::TlsContext::load(files));
  }
  kinesis = std::make_unique<server::kinesis::Listener>(executor, clock, random, metrics,
                                                        *signatures, *kinesis_handlers, listener);
  return kinesis->start();
}

// Users' access keys: what signs is the user.
server::kinesis::Credentials Broker::Parts::access_keys_of(const cluster::v1::Security& security) {
  server::kinesis::Credentials keys;
  for (const auto& user : security.users()) {
    for (const auto& key : user.access_keys()) {
      server::kinesis::Credential& credential = keys[key.id()];
      credential.secret = key.secret();
      credential.user = user.name();
    }
  }
  return keys;
}

// A renewed certificate is taken without a restart.
void Broker::Parts::watch_certificates() {
  executor.schedule_after(kCertificatesLookMs, [this] {
    for (const auto& listener : kafka) listener->reload_certificate();
    kinesis->reload_certificate();
    certificates->look();
    watch_certificates();
  });
}

Status Broker::Parts::open_users() {
  metadata.add_listener([this](const cluster::Metadata::Change& change) {
    if (change.security) {
      authorizer.update(metadata.security());
      if (signatures) signatures->set_user_credentials(access_keys_of(metadata.security()));
    }
    if (change.client_quotas) client_quotas.update(metadata.client_quotas());
  });
  authorizer.update(metadata.security());
  client_quotas.update(metadata.client_quotas());
  if (config.users.empty()) return {};
  ASSIGN_OR_RETURN(std::string yaml, env::read_file(fs, config.users, 16 << 20));
  auto users = security::parse_users(yaml);
  if (!users.ok()) return users.status().with_context("--users " + config.users);
  cluster::v1::MetadataUpdate update;
  *update.mutable_security() = *users;
  metadata.apply(update);
  return {};
}

// Opens every listener, so that registration() knows the ports. Nothing is let in before all is
// wired: handlers run on this thread, once run() turns it into the reactor.
Status Broker::Parts::open_doors() {
  link::LinkOptions link_options;
  link_options.listen_host = config.replication.host;
  link_options.listen_port = config.replication.port;
  link_options.tls = {config.tls_ca, config.tls_cert, config.tls_key};
  links = std::make_unique<link::Links>(
      executor, clock, metadata,
      link::Hello{config.cluster, config.broker, store->directory_id()}, link_options);
  RETURN_IF_ERROR(links->listen());

  auto admin = [this](cluster::v1::AdminRequest request, int64_t timeout_ms,
                      cluster::Session::AdminDone done) {
    session->admin(std::move(request), timeout_ms, std::move(done));
  };
  handlers::kafka::Options kafka_options;
  kafka_options.auto_create_topics = config.auto_create_topics;
  kafka_options.num_partitions = config.num_partitions;
  kafka_options.data_dir = config.data;
  kafka_options.group_initial_rebalance_delay_ms = config.group_initial_rebalance_delay_ms;
  kafka_options.group_size_max = config.group_max_size;
  kafka_dispatcher = std::make_unique<handlers::kafka::Dispatcher>(handlers::kafka::Services{
      executor, clock, random, metrics, metadata, config.broker,
      [this](const ShardId& id) { return partitions->find(id); }, admin, kafka_options,
      &authorizer, [this] { return fs.free_bytes(config.data); }, &client_quotas,
      [this](const std::string& zone, const Uuid& stream, size_t bytes) {
        traffic->to_zone(zone, stream, cluster::TrafficKind::kFetched, bytes);
      },
      &kafka_hand_over,
      [this](std::optional<int64_t> bytes_per_s) { partitions->limit_catch_up(bytes_per_s); }});
  RETURN_IF_ERROR(open_kafka(config.kafka));
  for (const auto& listener : config.kafka_listeners) RETURN_IF_ERROR(open_kafka(listener));

  shards = std::make_unique<LateShards>(router);
  grpc_handlers = std::make_unique<handlers::grpc::Handlers>(
      config.broker,
      handlers::grpc::Handlers::Parts{clock, executor, metadata, *shards, metrics, admin,
                                      random});
  server::grpc::ServerOptions grpc_options;
  grpc_options.host = config.grpc.address.host;
  grpc_options.port = config.grpc.address.port;
  grpc_options.authorizer = &authorizer;
  grpc_options.quotas = &client_quotas;
  if (config.grpc.tls) {
    grpc_options.tls_cert = config.client_tls_cert;
    grpc_options.tls_key = config.client_tls_key;
    grpc_options.client_ca = config.client_tls_ca;
    grpc_options.client_certificate_required =
        config.grpc.authentication == ClientAuthentication::kClientCertificate;
  }
  grpc = std::make_unique<server::grpc::Server>(*grpc_handlers, executor, clock, metrics,
                                                grpc_options);
  RETURN_IF_ERROR(grpc->start());
  RETURN_IF_ERROR(open_kinesis());

  process_metrics = std::make_unique<ProcessMetrics>(metrics, config.data);
  certificates = std::make_unique<Certificates>(fs, clock, metrics, config);
  server::http::PagesOptions page_options;
  page_options.host = config.metrics.host;
  page_options.port = config.metrics.port;
  pages = std::make_unique<server::http::Pages>(
      executor, page_options,
      [this] {
        process_metrics->refresh();
        certificates->refresh();
        return metrics.expose();
      },
      [this] { return ready(); });
  return pages->start();
}

void Broker::Parts::wire() {
  session = std::make_unique<cluster::Session>(clock, executor, metadata, registration());
  replication::FlowOptions flow;
  flow.catch_up_bytes_per_s = config.catch_up_bytes_per_s;
  replication::ReplicaOptions replica_options;
  replica_options.process = static_cast<uint32_t>(random.next());
  partitions = std::make_unique<partition::Partitions>(
      partition::Partitions::Parts{clock, executor, *store, metadata, *session, *links, metrics},
      config.broker, replica_options, flow);
  router = std::make_unique<routing::Router>(config.broker, clock, executor, metadata, *partitions,
                                             *links, traffic.get());
  partitions->start();
  hand_over = std::make_unique<routing::HandOver>(config.broker, clock, executor, metadata,
                                                  *partitions, *router);
  metadata.add_listener([this](const cluster::Metadata::Change&) { save_metadata_soon(); });
  links->start({[this](BrokerId from, const ShardId& shard, replication::Message message) {
                  partitions->on_message(from, shard, std::move(message));
                },
                [this](const replication::Member& peer, bool up) { partitions->on_peer(peer, up); },
                [this](const Buffer& request, auto reply) { router->on_request(request, reply); },
                [this](BrokerId to, const ShardId& shard, size_t bytes) {
                  traffic->to_broker(to, shard.stream, cluster::TrafficKind::kReplicated, bytes);
                }});
  tell_traffic();
  forget_idle();
}

// Memory that a load needed goes back to the system when it has ended.
void Broker::Parts::forget_idle() {
  const uint64_t held = store->trim_cache(kCacheIdleMs);
  if (held < cached_bytes && held < kIdleBytesMax) malloc_trim(0);
  cached_bytes = held;
  executor.schedule_after(kForgetIdleMs, [this] { forget_idle(); });
}

// Again and again until the streams' maps have it.
void Broker::Parts::tell_traffic() {
  if (session->welcomed()) {
    traffic->report([this](const cluster::v1::UsageReports& news) { session->usage(news); });
  }
  executor.schedule_after(kTrafficMs, [this] { tell_traffic(); });
}

void Broker::Parts::connect_coordinator() {
  cluster::SessionHandlers handlers;
  handlers.new_terms = [this](const auto& terms) { partitions->on_new_terms(terms); };
  handlers.prepare_transfer = [this](const auto& r) { partitions->on_prepare_transfer(r); };
  handlers.welcomed = [this] {
    registered_once = true;
    partitions->on_welcomed();
  };
  handlers.peers_heard = [this] { return links->heard(); };
  handlers.holdings = [this] {
    cluster::v1::Holdings holdings;
    partitions->add_holdings(holdings);
    holdings.set_disk_bytes(static_cast<int64_t>(store->disk_bytes()));
    auto free = fs.free_bytes(config.data);
    if (free.ok()) holdings.set_disk_free_bytes(static_cast<int64_t>(*free));
    return holdings;
  };
  handlers.certificates = [this] { return certificates->loaded(); };
  handlers.stop_allowed = [this] { stop_doors(); };
  if (config.dev) {
    dev_coordinator = std::make_unique<DevCoordinator>(clock, executor, fs, *background_io, random,
                                                       config.data + "/coordinator",
                                                       config.cluster);
    session->start(*dev_coordinator, std::move(handlers));
    dev_coordinator->start(*session);
    return;
  }
  cluster::GrpcLinkOptions options;
  options.target = config.coordinator;
  options.tls_ca = config.tls_ca;
  options.tls_cert = config.tls_cert;
  options.tls_key = config.tls_key;
  coordinator_link = std::make_unique<cluster::GrpcLink>(executor, random, fs, options);
  session->start(*coordinator_link, std::move(handlers));
  coordinator_link->start(*session);
}

void Broker::Parts::save_metadata_soon() {
  if (metadata_save_scheduled) return;
  metadata_save_scheduled = true;
  executor.schedule_after(kMetadataSaveMs, [this] {
    metadata_save_scheduled = false;
    auto bytes = std::make_shared<std::string>(metadata.snapshot().SerializeAsString());
    background_io->submit(
        [this, bytes] {
          return env::write_file_atomically(fs, config.data + "/metadata.pb", *bytes);
        },
        [](Status status) {
          if (status.ok()) return;
          log_warn("broker", "metadata not saved", {{"error", status.to_string()}});
        });
  });
}

// Ready: registered once (a coordinator that goes away later stops nothing), and not stopping.
server::http::Health Broker::Parts::ready() const {
  if (stopping) return {false, "stopping"};
  if (!registered_once) return {false, "not registered with the coordinator yet"};
  return {true, "ok"};
}

void Broker::Parts::begin_stop(const char* why) {
  if (stopping) return;
  stopping = true;
  log_info("broker", "stopping", {{"signal", why}});
  bool others = false;
  for (const auto& [id, broker] : metadata.brokers()) others |= id != config.broker && broker.alive();
  if (!session->welcomed() || !others || partitions->leader_count() == 0) {
    stop_doors();
    return;
  }
  hand_over->stopping();
  session->ask_to_stop();
  executor.schedule_after(kHandOverMs, [this] { stop_doors(); });
}

void Broker::Parts::stop_doors() {
  if (!stopping || doors_closed) return;
  doors_closed = true;
  log_info("broker", "closing the front doors", {{"leaders", partitions->leader_count()}});
  auto left = std::make_shared<size_t>(kafka.size() + 2);
  auto one_less = [this, left] {
    if (--*left == 0) close_log();
  };
  for (const auto& listener : kafka) listener->drain(kDrainMs, one_less);
  kinesis->drain(kDrainMs, one_less);
  grpc->stop(*background_io, kDrainMs, one_less);
}

void Broker::Parts::close_log() {
  if (coordinator_link) coordinator_link->stop();
  partitions->save_all();
  links->stop();
  traffic->flush([this] { close_store(); });
}

void Broker::Parts::close_store() {
  store->close([this](Status status) {
    log_info("broker", "log closed", {{"clean", status.ok()}});
    exit_status = status.ok() ? 0 : 1;
    executor.stop();
  });
}

Broker::Broker(Config config) : parts_(std::make_unique<Parts>(std::move(config))) {}

Broker::~Broker() {
  // Ends the I/O threads before what their jobs use.
  parts_->wal_io.reset();
  parts_->wal_io_2.reset();
  parts_->background_io.reset();
  parts_->read_io.reset();
  // A client's request may wait for a shard longer than the doors did: its handler is told, and goes
  // after that.
  if (parts_->partitions) parts_->partitions->end();
}

Status Broker::start() {
  RETURN_IF_ERROR(parts_->open_storage());
  RETURN_IF_ERROR(parts_->open_users());
  RETURN_IF_ERROR(parts_->open_doors());
  parts_->wire();
  return {};
}

int Broker::run() {
  Parts& p = *parts_;
  p.signals = std::make_unique<boost::asio::signal_set>(p.executor.context(), SIGTERM, SIGINT);
  std::function<void(boost::system::error_code, int)> on_signal;
  on_signal = [&](boost::system::error_code error, int signal) {
    if (error) return;
    p.begin_stop(signal == SIGTERM ? "SIGTERM" : "SIGINT");
    p.signals->async_wait(on_signal);
  };
  p.signals->async_wait(on_signal);
  p.watch_certificates();
  p.connect_coordinator();
  p.executor.post([&] {
    std::printf("sluice-broker ready kafka=%s:%u grpc=%s:%u kinesis=%s:%u metrics=%s:%u "
                "data=%s\n",
                p.config.kafka.address.host.c_str(), p.kafka.front()->port(), p.config.grpc.address.host.c_str(),
                p.grpc->port(), p.config.kinesis.address.host.c_str(), p.kinesis->port(),
                p.config.metrics.host.c_str(), p.pages->port(),
                p.config.data.c_str());
    std::fflush(stdout);
  });
  p.executor.run();
  return p.exit_status;
}

}  // namespace broker::app
