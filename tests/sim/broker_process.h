#pragma once
// One broker: its machine (disk, wall clock) and, while it runs, its process: the real store,
// partitions, router, session and native API, wired as broker/app does, without sockets.
#include <memory>
#include <optional>

#include "broker/handlers/grpc/handlers.h"
#include "broker/routing/hand_over.h"
#include "tests/sim/coordinator_host.h"
#include "tests/sim/network.h"
#include "tests/support/sim_disk.h"

namespace broker::sim {

struct BrokerSettings {
  uint64_t log_file_bytes = 128 << 10;
  uint64_t tail_cache_bytes = 64 << 10;
  uint64_t cold_percent = 30;  // of what is read from files
  int64_t disk_min_us = 30, disk_max_us = 900;
  replication::ReplicaOptions replication;
  replication::FlowOptions flow;
  uint64_t unsynced_bytes_max = 32 << 20;
  bool disks_lie = false;  // about syncs
  bool stops_look_clean = false;  // whatever ended the process: for tests of the tests
};

class BrokerProcess {
 public:
  BrokerProcess(SimWorld& world, Trace& trace, Network& network, CoordinatorHost& host, int id,
                BrokerSettings settings);
  ~BrokerProcess();

  // Opens the directory and joins. An error leaves the process down.
  Status start();
  // kill -9 (the page cache survives) or the machine's power (what was not synced is lost or torn).
  void kill(bool power_loss);
  // SIGTERM: leadership moves away, tables are saved, the log is closed.
  void stop_cleanly();
  void pause();
  void resume();
  // A new, empty disk. Only while it is down. `keep_identity` breaks the rules: the new directory
  // says that it is the old one.
  void replace_disk(bool keep_identity = false);

  int id() const { return id_; }
  bool running() const { return partitions_ != nullptr; }
  bool paused() const { return paused_; }
  bool stopping() const { return stopping_; }
  uint64_t incarnation() const { return incarnation_; }  // grows with every start
  SimDisk& disk() { return *disk_; }
  SimClock& clock() { return clock_; }
  SimExecutor& executor() { return *executor_; }
  storage::Store& store() { return *store_; }
  partition::Partitions& partitions() { return *partitions_; }
  cluster::Metadata& metadata() { return *metadata_; }
  cluster::Session& session() { return *session_; }
  routing::Router& router() { return *router_; }
  routing::HandOver& hand_over() { return *hand_over_; }
  handlers::grpc::Handlers& handlers() { return *handlers_; }
  // The process ends itself (a failed write or fsync of the log): called once, as its own event.
  std::function<void(const Status&)> on_fatal;

 private:
  struct Shards;
  void wire(const Uuid& process);
  void make_stop_look_clean();
  void fail(const Status& why);
  void save_metadata_soon();
  void tear_down();
  void closed_cleanly();

  SimWorld& world_;
  Trace& trace_;
  Network& network_;
  CoordinatorHost& host_;
  const int id_;
  const BrokerSettings settings_;
  std::unique_ptr<SimDisk> disk_;
  SimClock clock_;
  uint64_t incarnation_ = 0;
  bool paused_ = false, stopping_ = false, closing_ = false;
  bool failed_ = false;
  bool metadata_save_scheduled_ = false;

  std::unique_ptr<Metrics> metrics_;
  std::unique_ptr<SimExecutor> executor_;
  std::unique_ptr<SimIoQueue> wal_io_, background_io_, read_io_;
  std::unique_ptr<storage::Store> store_;
  std::unique_ptr<cluster::Metadata> metadata_;
  std::unique_ptr<cluster::Session> session_;
  std::unique_ptr<NodeTransport> transport_;
  std::unique_ptr<partition::Partitions> partitions_;
  std::unique_ptr<routing::Router> router_;
  std::unique_ptr<routing::HandOver> hand_over_;
  std::unique_ptr<handlers::grpc::Shards> shards_;
  std::unique_ptr<handlers::grpc::Handlers> handlers_;
  std::unique_ptr<SimCoordinatorLink> link_;
};

}  // namespace broker::sim
