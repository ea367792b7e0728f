#pragma once
// One whole broker below its doors, without sockets and in virtual time: simulated disk, real store,
// partitions, session and coordinator. The tests of a door's handlers derive from it, put their
// handlers on top and call come_up().
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "broker/app/dev_coordinator.h"
#include "broker/partition/partitions.h"
#include "broker/quotas/client_quotas.h"
#include "tests/support/sim_disk.h"

namespace broker::sim {

namespace v1 = cluster::v1;

class NoPeers : public partition::PeerTransport {
 public:
  void send(BrokerId, const ShardId&, const replication::Message&) override {}
  std::vector<BrokerId> heard() const override { return {}; }
};

class OneBroker {
 public:
  static constexpr BrokerId kSelf{0};

  // As other doors and people do it; waits for the answer.
  Result<v1::AdminResponse> admin(v1::AdminRequest request);
  partition::Partition& partition(const std::string& name, int32_t index);

  SimWorld world{1};
  cluster::Metadata metadata;
  Metrics metrics;

 protected:
  explicit OneBroker(size_t log_file_bytes);
  // Until the broker knows itself.
  void come_up();
  SimClock clock_{world};
  SimExecutor executor_{world};
  SimDisk disk_{world.random()};
  SimIoQueue wal_io_{executor_, 100, 200}, background_io_{executor_, 100, 200},
      read_io_{executor_, 100, 200};
  quotas::ClientQuotas quotas_{clock_, metrics};
  NoPeers peers_;
  std::unique_ptr<storage::Store> store_;
  std::unique_ptr<cluster::Session> session_;
  std::unique_ptr<partition::Partitions> partitions_;
  std::unique_ptr<app::DevCoordinator> coordinator_;
};

}  // namespace broker::sim
