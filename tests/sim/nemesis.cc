#include "tests/sim/nemesis.h"

#include <algorithm>
#include <map>

#include "broker/coordination/hash_range.h"

namespace broker::sim {
namespace {

constexpr int kStreamsMax = 6, kShardsMax = 24;

const char* name_of(Fault fault) {
  static const char* names[] = {"kill", "power", "power-all", "pause", "isolate", "one-way",
                                "break", "disk-error", "disk-full", "wipe", "rot",
                                "coordinator-crash", "coordinator-pause", "store-down",
                                "wall-jump", "stop", "drain", "delete-records", "create",
                                "delete", "grow", "split", "merge", "reassign", "retile"};
  return names[static_cast<int>(fault)];
}

}  // namespace

NemesisSettings NemesisSettings::draw(SimRandom& random, Cluster& cluster) {
  NemesisSettings s;
  for (int f = 0; f < static_cast<int>(Fault::kCount); f++) {
    if (random.below(5) < 2) s.enabled.insert(static_cast<Fault>(f));
  }
  s.pause_max_ms = random.one_in(3) ? 300 : 1'500;
  s.lasts_max_ms = random.one_in(3) ? 800 : 4'000;
  s.unlucky = static_cast<int>(random.below(static_cast<uint64_t>(cluster.size())));
  auto& weather = cluster.network.weather;
  if (random.one_in(3)) weather.latency_max_us = 20'000;
  if (random.one_in(3)) weather.spike_one_in = 20 + random.below(500);
  if (random.one_in(4)) weather.duplicate_one_in = 5 + random.below(200);
  if (random.one_in(4)) weather.reorder_one_in = 5 + random.below(200);
  if (random.one_in(4)) weather.lose_one_in = 200 + random.below(3000);
  auto& faults = cluster.stored.faults;
  if (random.one_in(2)) faults.one_in = 2 + random.below(20);
  if (random.one_in(3)) faults.slow_one_in = 2 + random.below(20);
  if (random.one_in(3)) faults.crash_one_in = 2 + random.below(15);
  return s;
}

Nemesis::Nemesis(Cluster& cluster, Clients& clients, NemesisSettings settings)
    : cluster_(cluster),
      clients_(clients),
      settings_(std::move(settings)),
      damaged_(settings_.unlucky) {}

int64_t Nemesis::pause_ms() {
  return cluster_.world.random().between(settings_.pause_min_ms, settings_.pause_max_ms);
}

int64_t Nemesis::lasts_ms() {
  return cluster_.world.random().between(10, settings_.lasts_max_ms);
}

int Nemesis::victim() {
  return static_cast<int>(cluster_.world.random().below(static_cast<uint64_t>(cluster_.size())));
}

void Nemesis::later(int64_t ms, std::function<void()> undo) {
  cluster_.world.schedule(ms * 1000, std::move(undo));
}

void Nemesis::step() {
  if (settings_.enabled.empty()) return;
  auto it = settings_.enabled.begin();
  std::advance(it, static_cast<long>(cluster_.world.random().below(settings_.enabled.size())));
  cluster_.trace.note(cluster_.world.now_us(), std::string("fault: ") + name_of(*it));
  if (inject(*it)) cluster_.trace.count(name_of(*it));
}

bool Nemesis::inject(Fault fault) {
  SimRandom& random = cluster_.world.random();
  const int id = victim();
  BrokerProcess& broker = cluster_.broker(id);
  switch (fault) {
    case Fault::kKill: return die(id, false);
    case Fault::kPower: return die(id, true);
    case Fault::kPowerAll:
      if (!random.one_in(4)) return false;
      cluster_.kill_all(lasts_ms());
      return true;
    case Fault::kPause:
      if (!broker.running()) return false;
      cluster_.pause(id, lasts_ms());
      return true;
    case Fault::kIsolate:
      cluster_.isolate(id, true, true);
      heal_network_later();
      return true;
    case Fault::kOneWay: {
      const int other = victim();
      if (random.one_in(2)) cluster_.network.block(id, other, true);
      else cluster_.isolate(id, random.one_in(2), random.one_in(2));
      heal_network_later();
      return true;
    }
    case Fault::kBreak: cluster_.network.break_connections(id, victim()); return true;
    case Fault::kDiskError: disk_error(id); return true;
    case Fault::kDiskFull: disk_full(id); return true;
    case Fault::kWipe: return wipe();
    case Fault::kRot: return random.one_in(3) && cluster_.rot(settings_.unlucky);
    case Fault::kCoordinatorCrash:
      if (!cluster_.coordinator.running()) return false;
      cluster_.crash_coordinator(lasts_ms());
      return true;
    case Fault::kCoordinatorPause:
      if (!cluster_.coordinator.running()) return false;
      cluster_.coordinator.pause();
      later(lasts_ms(), [this] {
        if (cluster_.coordinator.running()) cluster_.coordinator.resume();
      });
      return true;
    case Fault::kStoreDown:
      cluster_.stored.faults.down = true;
      later(lasts_ms(), [this] { cluster_.stored.faults.down = false; });
      return true;
    case Fault::kWallJump: {
      const int64_t ms = random.between(-3'600'000, 3'600'000);
      if (random.one_in(4)) cluster_.coordinator.shift_wall(ms);
      else broker.clock().shift_wall(ms);
      return true;
    }
    case Fault::kStop:
      if (!broker.running() || broker.paused()) return false;
      broker.stop_cleanly();
      // Comes back however long the stop takes.
      later(lasts_ms() + 1'000, [this, id] { cluster_.kill(id, false, 500); });
      return true;
    case Fault::kDrain:
      cluster_.coordinator.draining = {id};
      cluster_.coordinator.say_wishes();
      later(5 * lasts_ms(), [this] {
        cluster_.coordinator.draining.clear();
        cluster_.coordinator.say_wishes();
      });
      return true;
    case Fault::kDeleteRecords: return delete_records();
    case Fault::kCreate: return create_stream();
    case Fault::kDelete: return delete_stream();
    case Fault::kGrow: return grow();
    case Fault::kSplit: return split();
    case Fault::kMerge: return merge();
    case Fault::kReassign: return reassign();
    case Fault::kRetile: return retile();
    case Fault::kCount: return false;
  }
  return false;
}

bool Nemesis::die(int id, bool power_loss) {
  const bool ran = cluster_.broker(id).running();
  cluster_.kill(id, power_loss, lasts_ms());
  return ran;
}

void Nemesis::heal_network_later() {
  later(lasts_ms(), [this] {
    cluster_.network.unblock_all();
    cluster_.coordinator.unblock_all();
  });
}

// Reads fail now and then, or a write or fsync does, which ends the process.
void Nemesis::disk_error(int id) {
  SimRandom& random = cluster_.world.random();
  SimDisk& disk = cluster_.broker(id).disk();
  const bool reads = random.one_in(2);
  disk.set_fault([&random, reads](DiskOp op, const std::string& path) -> Status {
    bool hit = reads ? op == DiskOp::kRead && random.one_in(10)
                     : (op == DiskOp::kSync || op == DiskOp::kWrite) && random.one_in(20);
    if (!hit) return {};
    return Status(Code::kIoError, path + ": simulated");
  });
  later(lasts_ms(), [this, id] { cluster_.broker(id).disk().set_fault(nullptr); });
}

void Nemesis::disk_full(int id) {
  SimDisk& disk = cluster_.broker(id).disk();
  disk.set_capacity(disk.used_bytes() + cluster_.world.random().below(200'000));
  later(2 * lasts_ms(), [this, id] {
    cluster_.broker(id).disk().set_capacity(uint64_t{1} << 40);
  });
}

bool Nemesis::wipe() {
  if (cluster_.world.random().below(3) != 0) return false;
  // Somebody else's only when the last one is whole again, and none has rotten records that nobody
  // has looked at.
  if (!settings_.enabled.contains(Fault::kRot) && cluster_.fully_replicated()) damaged_ = victim();
  cluster_.wipe(damaged_, lasts_ms());
  return true;
}

const cluster::v1::ShardMap* Nemesis::any_stream(bool elastic) {
  std::vector<const cluster::v1::ShardMap*> found;
  for (const auto& name : streams) {
    const auto* map = cluster_.map(name);
    bool is_elastic = map && map->config().mode() == cluster::v1::STREAM_MODE_ELASTIC;
    if (map && is_elastic == elastic) found.push_back(map);
  }
  if (found.empty()) return nullptr;
  return found[cluster_.world.random().below(found.size())];
}

bool Nemesis::delete_records() {
  SimRandom& random = cluster_.world.random();
  const auto* map = any_stream(random.one_in(2));
  if (!map || map->shards_size() == 0) return false;
  const auto& entry = map->shards(static_cast<int>(random.below(
      static_cast<uint64_t>(map->shards_size()))));
  const ShardId shard{*Uuid::parse(map->stream_id()), entry.index()};
  auto* leader = cluster_.leader(shard);
  if (!leader) return false;
  int64_t span = leader->high_watermark() - leader->log_start();
  if (span <= 0) return false;
  Offset before = leader->log_start() + static_cast<int64_t>(random.below(
                      static_cast<uint64_t>(span) + 1));
  cluster_.oracle.deletion_asked(shard, before);
  BrokerProcess& broker = cluster_.broker(leader->leader()->value);
  broker.executor().post([this, &broker, shard, before] {
    auto* partition = broker.partitions().find(shard);
    if (!partition) return;
    partition->delete_records(before, [this, shard](Result<Offset> log_start) {
      if (log_start.ok()) cluster_.oracle.deletion_done(shard, *log_start);
    });
  });
  return true;
}

bool Nemesis::create_stream() {
  SimRandom& random = cluster_.world.random();
  if (static_cast<int>(streams.size()) >= kStreamsMax) return false;
  bool elastic = random.one_in(2);
  std::string name = (elastic ? "e" : "p") + std::to_string(++created_) + "x";
  streams.push_back(name);
  int replication = disks_may_go() ? 3 : 1 + static_cast<int>(random.below(3));
  const bool memory = random.one_in(4);
  cluster_.create_stream(name,
                         elastic ? cluster::v1::STREAM_MODE_ELASTIC
                                 : cluster::v1::STREAM_MODE_PARTITIONED,
                         1 + static_cast<int>(random.below(3)), replication, memory);
  clients_.add_publisher(name);
  if (!elastic) clients_.add_producer(name, !memory);
  clients_.add_reader(name);
  return true;
}

bool Nemesis::disks_may_go() const {
  return settings_.enabled.contains(Fault::kWipe) || settings_.enabled.contains(Fault::kRot);
}

bool Nemesis::delete_stream() {
  SimRandom& random = cluster_.world.random();
  if (streams.size() <= 2 || !random.one_in(2)) return false;
  auto name = streams.begin() + static_cast<long>(random.below(streams.size()));
  const auto* map = cluster_.map(*name);
  if (!map) return false;
  cluster_.oracle.stream_deleted(*Uuid::parse(map->stream_id()));
  cluster::v1::AdminRequest request;
  request.mutable_delete_stream()->set_name(*name);
  cluster_.admin(std::move(request), [](Status) {});
  streams.erase(name);
  return true;
}

bool Nemesis::grow() {
  const auto* map = any_stream(false);
  if (!map || map->config().partitions() >= 8) return false;
  cluster::v1::AdminRequest request;
  auto* update = request.mutable_update_stream();
  update->set_name(map->stream());
  update->mutable_config()->set_partitions(map->config().partitions() + 1);
  update->add_fields("partitions");
  cluster_.admin(std::move(request), [](Status) {});
  return true;
}

bool Nemesis::split() {
  const auto* map = any_stream(true);
  if (!map || map->shards_size() >= kShardsMax) return false;
  SimRandom& random = cluster_.world.random();
  const auto& shard = map->shards(static_cast<int>(random.below(
      static_cast<uint64_t>(map->shards_size()))));
  cluster::v1::AdminRequest request;
  request.mutable_split_shard()->set_stream(map->stream());
  request.mutable_split_shard()->set_index(shard.index());
  request.mutable_split_shard()->set_into(2 + static_cast<int>(random.below(2)));
  cluster_.admin(std::move(request), [](Status) {});
  return true;
}

bool Nemesis::merge() {
  const auto* map = any_stream(true);
  if (!map || map->shards_size() < 2 || map->shards_size() >= kShardsMax) return false;
  SimRandom& random = cluster_.world.random();
  auto any = [&] {
    return map->shards(static_cast<int>(random.below(
                           static_cast<uint64_t>(map->shards_size())))).index();
  };
  cluster::v1::AdminRequest request;
  request.mutable_merge_shards()->set_stream(map->stream());
  request.mutable_merge_shards()->set_index(any());
  request.mutable_merge_shards()->set_adjacent(any());
  cluster_.admin(std::move(request), [](Status) {});
  return true;
}

// Neighbours as another number of shards, cut anywhere; some such wishes are refused.
bool Nemesis::retile() {
  const auto* map = any_stream(true);
  if (!map || map->shards_size() >= kShardsMax) return false;
  std::map<coordination::HashKey, int32_t> open;  // by first key
  for (const auto& shard : map->shards()) {
    auto range = coordination::parse_range(shard.hash_range());
    if (range.ok() && shard.state() != cluster::v1::SHARD_STATE_CLOSED) {
      open[range->first] = shard.index();
    }
  }
  SimRandom& random = cluster_.world.random();
  const size_t count = std::min<size_t>(open.size(), 1 + random.below(4));
  auto at = std::next(open.begin(), static_cast<long>(random.below(open.size() - count + 1)));
  const auto first = at->first;
  cluster::v1::AdminRequest request;
  auto* wish = request.mutable_retile_shards();
  wish->set_stream(map->stream());
  for (size_t i = 0; i < count; i++, ++at) wish->add_indexes(at->second);
  const auto last = at == open.end() ? coordination::kHashKeyMax : at->first - 1;
  const auto parts = coordination::split_equally({first, last},
                                                 static_cast<int>(count + random.below(3)));
  if (!parts.ok()) return false;
  const auto slip = (parts->front().last - first) / 3;  // not quite equal
  for (size_t i = 1; i < parts->size(); i++) {
    wish->add_at(coordination::format_hash_key((*parts)[i].first - (random.one_in(2) ? slip : 0)));
  }
  cluster_.admin(std::move(request), [](Status) {});
  return true;
}

// Other brokers, in another order, another number of them; of one shard or of all; or none any more.
bool Nemesis::reassign() {
  SimRandom& random = cluster_.world.random();
  const auto* map = any_stream(random.one_in(3));
  if (!map || map->shards_size() == 0) return false;
  const int least = disks_may_go() ? 3 : 1;
  if (cluster_.size() < least) return false;
  const auto copies = static_cast<size_t>(random.between(least, cluster_.size()));
  const bool whole = random.one_in(2), given_up = random.one_in(4);
  const auto picked = random.below(static_cast<uint64_t>(map->shards_size()));
  for (int i = 0; i < map->shards_size(); i++) {
    if (!whole && static_cast<uint64_t>(i) != picked) continue;
    cluster::v1::AdminRequest request;
    auto* wish = request.mutable_reassign_shard();
    wish->set_stream(map->stream());
    wish->set_index(map->shards(i).index());
    std::vector<int32_t> brokers;
    while (!given_up && brokers.size() < copies) {
      const int32_t id = victim();
      if (std::find(brokers.begin(), brokers.end(), id) == brokers.end()) brokers.push_back(id);
    }
    wish->mutable_brokers()->Assign(brokers.begin(), brokers.end());
    cluster_.admin(std::move(request), [](Status) {});
  }
  return true;
}

}  // namespace broker::sim
