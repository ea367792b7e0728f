#pragma once
// Chooses faults and administration at random, within what the guarantees allow: any broker may
// crash, stand still or be cut off at any time, all of them at once; disks are lost or rot on one
// broker only (a minority), or one at a time once everything is replicated again. Each seed enables
// its own subset of faults, so that rare combinations get time to themselves.
#include "tests/sim/clients.h"

namespace broker::sim {

enum class Fault {
  kKill, kPower, kPowerAll, kPause, kIsolate, kOneWay, kBreak, kDiskError, kDiskFull, kWipe, kRot,
  kCoordinatorCrash, kCoordinatorPause, kStoreDown, kWallJump, kStop, kDrain, kDeleteRecords,
  kCreate, kDelete, kGrow, kSplit, kMerge, kReassign, kRetile, kCount
};

struct NemesisSettings {
  std::set<Fault> enabled;
  int64_t pause_min_ms = 50, pause_max_ms = 1'500;  // between two faults
  int64_t lasts_max_ms = 4'000;
  int unlucky = -1;  // the one whose disk rots; or is lost at any time
  // A seed's own choice of everything above, and of the network's and the store's weather.
  static NemesisSettings draw(SimRandom& random, Cluster& cluster);
};

class Nemesis {
 public:
  Nemesis(Cluster& cluster, Clients& clients, NemesisSettings settings);
  // One fault, or none.
  void step();
  int64_t pause_ms();
  // Streams that exist or are being made.
  std::vector<std::string> streams;

 private:
  // False when there was nothing to do it to.
  bool inject(Fault fault);
  bool die(int id, bool power_loss);
  void heal_network_later();
  int victim();
  int64_t lasts_ms();
  const cluster::v1::ShardMap* any_stream(bool elastic);
  void later(int64_t ms, std::function<void()> undo);
  void disk_error(int id);
  void disk_full(int id);
  bool wipe();
  bool delete_records();
  bool create_stream();
  bool delete_stream();
  bool grow();
  bool split();
  bool merge();
  bool retile();
  bool reassign();
  bool disks_may_go() const;

  Cluster& cluster_;
  Clients& clients_;
  const NemesisSettings settings_;
  int created_ = 0;
  int damaged_;  // whose disk was lost last
};

}  // namespace broker::sim
