#include "tests/sim/simulation.h"

#include "broker/model/records.h"

namespace broker::sim {
namespace {

constexpr int64_t kRestMs = 60'000;      // to be well again after the last fault
constexpr int kAppendsMax = 5;
constexpr int64_t kProduceMs = 3'000;    // of load after that
constexpr int64_t kAppendMs = 10'000;
constexpr int kScrubsMax = 20;

class Run {
 public:
  explicit Run(const RunOptions& options)
      : options_(options),
        draw_(options.seed ^ 0x9e3779b97f4a7c15ULL),
        cluster_(options.seed, 3 + static_cast<int>(draw_.below(3)), draw_settings(),
                 options.verbose),
        clients_(cluster_, draw_clients()) {
    cluster_.lost_disks_keep_identity = options.mutation == Mutation::kLostDiskVotes;
  }

  RunResult run() {
    set_up();
    auto faults = NemesisSettings::draw(draw_, cluster_);
    if (!memory_streams_.empty()) faults.enabled.insert(Fault::kPowerAll);
    if (options_.mutation == Mutation::kLostDiskVotes) {
      faults.enabled = {Fault::kWipe, Fault::kKill, Fault::kIsolate};
    }
    if (options_.mutation == Mutation::kLostTailVotes) {
      faults.enabled = {Fault::kKill, Fault::kPower, Fault::kIsolate};
    }
    Nemesis nemesis(cluster_, clients_, faults);
    nemesis.streams = {"part", "elastic"};
    nemesis.streams.insert(nemesis.streams.end(), memory_streams_.begin(), memory_streams_.end());
    for (int step = 0; step < options_.steps && !cluster_.oracle.broken(); step++) {
      nemesis.step();
      cluster_.run_for_ms(nemesis.pause_ms());
    }
    heal();
    prove_progress();
    compare();
    if (!cluster_.oracle.broken()) {
      cluster_.kill_all(200);
      come_to_rest("after the power of all brokers failed");
      compare();
    }
    return result();
  }

 private:
  BrokerSettings draw_settings() {
    BrokerSettings settings;
    settings.disks_lie = options_.mutation == Mutation::kDisksLie;
    settings.stops_look_clean = options_.mutation == Mutation::kLostTailVotes;
    if (draw_.one_in(3)) settings.log_file_bytes = 48 << 10;
    // One message must fit into one append of the store.
    settings.replication.append_bytes_max = settings.log_file_bytes / 4;
    if (draw_.one_in(3)) settings.tail_cache_bytes = 4 << 10;
    if (draw_.one_in(3)) settings.disk_max_us = 8'000;
    if (draw_.one_in(3)) settings.replication.append_bytes_max = 2 << 10;
    if (draw_.one_in(4)) settings.replication.inflight_bytes_max = 8 << 10;
    // Replicas that wait for each other's bytes to be acknowledged, and for the rate.
    if (draw_.one_in(3)) settings.flow = {16 << 10, 4 << 10, 0};
    if (draw_.one_in(4)) settings.flow.catch_up_bytes_per_s = 1 << 20;
    if (draw_.one_in(3)) settings.unsynced_bytes_max = 2 << 10;
    return settings;
  }

  ClientSettings draw_clients() {
    ClientSettings settings;
    if (options_.mutation == Mutation::kEarlyAck) settings.acks = partition::Acks::kLeader;
    return settings;
  }

  void set_up() {
    using namespace cluster::v1;
    Status made = cluster_.create_stream_now("part", STREAM_MODE_PARTITIONED, 3, 3);
    if (made.ok()) made = cluster_.create_stream_now("elastic", STREAM_MODE_ELASTIC, 2, 3);
    if (!made.ok()) cluster_.oracle.fail("at the beginning: " + made.to_string());
    if (draw_.one_in(2) && options_.memory) add_memory_streams();
    clients_.add_producer("part", true);
    clients_.add_producer("part", true);
    clients_.add_producer("part", false);
    for (const char* stream : {"part", "elastic"}) {
      clients_.add_publisher(stream);
      clients_.add_publisher(stream);
      clients_.add_reader(stream);
      clients_.add_reader(stream);
    }
    cluster_.run_for_ms(500);
  }

  // Their idempotent producers are the publishers, which begin anew where the shard has forgotten
  // them; the others would be refused for ever.
  void add_memory_streams() {
    using namespace cluster::v1;
    Status made = cluster_.create_stream_now("mem", STREAM_MODE_PARTITIONED, 2, 3, true);
    if (made.ok()) {
      made = cluster_.create_stream_now("mem-elastic", STREAM_MODE_ELASTIC, 2, 3, true);
    }
    if (!made.ok()) cluster_.oracle.fail("at the beginning: " + made.to_string());
    for (const char* stream : {"mem", "mem-elastic"}) {
      clients_.add_publisher(stream);
      clients_.add_publisher(stream);
      clients_.add_reader(stream);
      memory_streams_.push_back(stream);
    }
    clients_.add_producer("mem", false);
  }

  void come_to_rest(const std::string& when) {
    cluster_.run_until([&] { return cluster_.coordinator_serves(); }, kRestMs);
    cluster_.create_unknown_streams();
    // Clients make progress stand still at times: rest is when nobody produces.
    std::string why = "nothing was looked at";
    bool rested = cluster_.run_until(
        [&] { return cluster_.at_rest(&why) && clients_.idle(&why); }, kRestMs);
    if (!rested) cluster_.oracle.fail(when + ", no progress in " + std::to_string(kRestMs / 1000) +
                                      " s: " + why);
  }

  void heal() {
    cluster_.heal();
    const uint64_t before = clients_.acknowledged;
    bool served = cluster_.run_until([&] { return clients_.acknowledged > before; }, kRestMs);
    if (!served) cluster_.oracle.fail("after healing, nothing is acknowledged");
    cluster_.run_for_ms(kProduceMs);
    clients_.stop_producing();
    come_to_rest("after healing");
  }

  // Every open shard takes a record.
  void prove_progress() {
    std::vector<ShardId> open;
    for (const auto& [id, map] : cluster_.stored.maps) {
      for (const auto& shard : map.map.shards()) {
        if (shard.state() != cluster::v1::SHARD_STATE_OPEN) continue;
        open.push_back({*Uuid::parse(map.map.stream_id()), shard.index()});
      }
    }
    for (const ShardId& shard : open) {
      if (cluster_.oracle.broken()) return;
      RecordName name;
      Result<partition::Appended> appended = Status(Code::kTimeout, "not tried");
      // One that meets a replica which is moved has an outcome that nobody knows: another is written.
      for (int i = 0; i < kAppendsMax && appended.code() == Code::kTimeout; i++) {
        name = {clients_.next_id(), "last", 0};
        name.key += std::to_string(name.id);
        RecordBatchBuilder builder;
        builder.add(0, name.key, encode_record_value(name, 10));
        appended = cluster_.append_now(shard, *builder.build(), kAppendMs);
      }
      if (!appended.ok()) {
        cluster_.oracle.fail("after healing, shard " + shard.to_string() +
                             " takes no record: " + appended.status().to_string());
        return;
      }
      cluster_.oracle.acknowledged(shard, appended->base_offset, {name.id});
    }
    come_to_rest("after the last records");
  }

  // Damage that nobody has read yet is found here, and repaired.
  void compare() {
    for (int i = 0; i < kScrubsMax && !cluster_.oracle.broken() && !cluster_.scrub(); i++) {
      come_to_rest("after damage was found");
    }
    if (!cluster_.oracle.broken()) cluster_.check_everything();
  }

  RunResult result() {
    RunResult r;
    r.violation = cluster_.oracle.violation();
    if (!r.violation.empty() && options_.verbose) std::printf("%s", cluster_.describe().c_str());
    cluster_.trace.mix(cluster_.world.events_run());
    r.hash = cluster_.trace.hash();
    r.virtual_us = cluster_.world.now_us();
    r.events = cluster_.world.events_run();
    r.records = cluster_.oracle.records();
    r.lost = cluster_.oracle.lost_records();
    r.acknowledged = clients_.acknowledged;
    r.unknown = clients_.unknown;
    r.read = clients_.batches_read;
    r.metadata_writes = cluster_.stored.writes;
    r.faults = cluster_.trace.faults();
    return r;
  }

  const RunOptions options_;
  SimRandom draw_;  // the seed's choices, apart from the run's own chance
  Cluster cluster_;
  Clients clients_;
  std::vector<std::string> memory_streams_;
};

}  // namespace

RunResult run_simulation(const RunOptions& options) { return Run(options).run(); }

}  // namespace broker::sim
