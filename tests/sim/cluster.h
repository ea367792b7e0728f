#pragma once
// A whole cluster in virtual time: brokers, network, coordinator, its store, and the oracle that
// watches them. Faults are its methods; tests and the nemesis call them. One thread; the seed
// decides everything.
#include "tests/sim/broker_process.h"
#include "tests/sim/oracle.h"

namespace broker::sim {

class Cluster {
 public:
  Cluster(uint64_t seed, int brokers, BrokerSettings settings = {}, bool verbose = false);

  // Runs events, and looks at every replica every few milliseconds of virtual time.
  void run_for_ms(int64_t ms);
  // Until `condition` holds; false when `ms` are over first, or a promise is broken.
  bool run_until(const std::function<bool()>& condition, int64_t ms);
  void look();

  BrokerProcess& broker(int id) { return *brokers_.at(static_cast<size_t>(id)); }
  int size() const { return static_cast<int>(brokers_.size()); }
  // A new broker joins.
  int add_broker();
  // Whoever runs and is not paused, at random; null when nobody does.
  BrokerProcess* any_broker();

  // ---- faults ----
  void kill(int id, bool power_loss, int64_t back_after_ms);
  void kill_all(int64_t back_after_ms);  // the power of the whole building
  void pause(int id, int64_t ms);
  void wipe(int id, int64_t back_after_ms);
  void crash_coordinator(int64_t back_after_ms);
  void isolate(int id, bool inbound, bool outbound);  // from brokers and coordinator
  // Flips bits in a log file. False when there is nothing to damage.
  bool rot(int id);
  // Everything is well again; whoever is down starts.
  void heal();
  bool all_running();
  bool coordinator_serves() {
    return coordinator.running() && coordinator.coordinator()->loaded();
  }
  // Whoever asked for a stream and heard nothing asks again: its map may have been written by a
  // coordinator that is gone, after the next one had looked.
  void create_unknown_streams();

  // ---- asking ----
  void admin(cluster::v1::AdminRequest request, std::function<void(Status)> done);
  void create_stream(const std::string& name, cluster::v1::StreamMode mode, int shards,
                     int replication, bool memory = false,
                     std::function<void(Status)> done = [](Status) {});
  Status create_stream_now(const std::string& name, cluster::v1::StreamMode mode, int shards,
                           int replication, bool memory = false);
  // From the store: the truth. Null when there is none.
  const cluster::v1::ShardMap* map(const std::string& name) const;
  // The partition that leads a shard, if it runs here.
  partition::Partition* leader(const ShardId& shard);
  ShardId shard_id(const std::string& name, int32_t index) const;
  // Appends one record through the leader; for tests that need no client.
  Result<partition::Appended> append_now(const ShardId& shard, const std::string& batch,
                                         int64_t ms = 10'000);

  // Whether every shard is led by a broker that knows what is committed, all members follow and
  // hold everything, and no change is under way. Otherwise `why` says what is missing.
  bool at_rest(std::string* why = nullptr);
  // Every directory named by a map is there and holds everything: a disk may be lost now.
  bool fully_replicated();
  // Reads every copy of every record. False when one was damaged: it is being repaired now.
  bool scrub();
  // Maps, brokers and their replicas, for a person.
  std::string describe();
  // Compares all with the oracle; only at rest.
  void check_everything();

  SimWorld world;
  Trace trace;
  Network network;
  StoredMetadata stored;
  CoordinatorHost coordinator;
  Oracle oracle;
  BrokerSettings settings;
  bool lost_disks_keep_identity = false;  // against the rules: for tests of the tests

 private:
  void start_broker(int id);
  void kill_now(int id, bool power_loss);
  bool shard_at_rest(const cluster::v1::ShardMap& map, const cluster::v1::Shard& shard,
                     std::string* why);
  std::vector<std::unique_ptr<BrokerProcess>> brokers_;
  int64_t next_look_us_ = 0;
  uint64_t broken_starts_ = 0;
};

}  // namespace broker::sim
