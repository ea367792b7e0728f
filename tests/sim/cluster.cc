#include "tests/sim/cluster.h"

#include "broker/coordination/shard_map.h"

namespace broker::sim {
namespace {
constexpr int64_t kLookUs = 5'000;
constexpr int64_t kAdminMs = 15'000;
}  // namespace

Cluster::Cluster(uint64_t seed, int brokers, BrokerSettings broker_settings, bool verbose)
    : world(seed),
      trace(verbose),
      network(world, trace),
      coordinator(world, trace, stored),
      oracle(trace),
      settings(broker_settings) {
  stored.crash_coordinator = [this] { crash_coordinator(world.random().between(50, 3'000)); };
  for (int i = 0; i < brokers; i++) add_broker();
  coordinator.start();
}

int Cluster::add_broker() {
  int id = size();
  brokers_.push_back(
      std::make_unique<BrokerProcess>(world, trace, network, coordinator, id, settings));
  brokers_.back()->on_fatal = [this, id](const Status& why) {
    trace.note(world.now_us(), "broker " + std::to_string(id) + " ends: " + why.to_string());
    kill(id, false, world.random().between(100, 3'000));
  };
  coordinator.expected.push_back({id, ""});
  coordinator.say_wishes();
  start_broker(id);
  return id;
}

void Cluster::start_broker(int id) {
  BrokerProcess& b = broker(id);
  if (b.running()) return;
  Status status = b.start();
  trace.note(world.now_us(), "broker " + std::to_string(id) + " starts: " + status.to_string());
  if (status.ok()) return;
  if (status.code() == Code::kCorruption && b.disk().rotten()) {
    // It says so and stays down; its operator gives it an empty disk.
    b.replace_disk();
  }
  world.schedule(500'000, [this, id] { start_broker(id); });
}

void Cluster::run_for_ms(int64_t ms) {
  run_until([] { return false; }, ms);
}

bool Cluster::run_until(const std::function<bool()>& condition, int64_t ms) {
  int64_t until = world.now_us() + ms * 1000;
  while (!oracle.broken()) {
    if (condition()) return true;
    if (world.now_us() >= until) return false;
    world.run_for_us(std::min(kLookUs, until - world.now_us()));
    look();
  }
  return false;
}

void Cluster::look() {
  oracle.set_now_us(world.now_us());
  auto each = [&](auto&& see) {
    for (auto& b : brokers_) {
      if (!b->running()) continue;
      b->partitions().for_each([&](partition::Partition& partition) { see(*b, partition); });
    }
  };
  // Leaders before followers: a leader without a tail says where the log goes on.
  each([&](BrokerProcess& b, partition::Partition& partition) {
    oracle.observe_leader(b.id(), b.incarnation(), partition);
  });
  each([&](BrokerProcess& b, partition::Partition& partition) {
    oracle.observe(b.id(), b.incarnation(), b.store().directory_id(), partition);
  });
  for (const auto& [id, map] : stored.maps) {
    if (map.map.config().durability() != cluster::v1::DURABILITY_MEMORY) continue;
    for (const auto& shard : map.map.shards()) {
      const ShardId name{*Uuid::parse(map.map.stream_id()), shard.index()};
      const bool all_is_kept = coordination::has_majority(shard, [&](const auto& member) {
        return !oracle.without_tail(*Uuid::parse(member.directory()), name);
      });
      oracle.may_lose_tail(name, !all_is_kept, Term{shard.term()});
    }
  }
}

// What it had in memory only is gone.
void Cluster::kill_now(int id, bool power_loss) {
  BrokerProcess& b = broker(id);
  if (!b.running()) return;
  const Uuid directory = b.store().directory_id();
  b.store().for_each([&](storage::ShardLog& log) {
    oracle.stopped_uncleanly(directory, log.id());
  });
  b.kill(power_loss);
}

BrokerProcess* Cluster::any_broker() {
  std::vector<BrokerProcess*> up;
  for (auto& b : brokers_) {
    if (b->running() && !b->paused()) up.push_back(b.get());
  }
  return up.empty() ? nullptr : up[world.random().below(up.size())];
}

// ---- faults ----

void Cluster::kill(int id, bool power_loss, int64_t back_after_ms) {
  trace.note(world.now_us(), "broker " + std::to_string(id) +
                                 (power_loss ? " loses power" : " is killed"));
  kill_now(id, power_loss);
  world.schedule(back_after_ms * 1000, [this, id] { start_broker(id); });
}

void Cluster::kill_all(int64_t back_after_ms) {
  for (auto& b : brokers_) {
    kill(b->id(), true, back_after_ms + static_cast<int64_t>(world.random().below(500)));
  }
}

void Cluster::pause(int id, int64_t ms) {
  trace.note(world.now_us(), "broker " + std::to_string(id) + " stands still");
  BrokerProcess& b = broker(id);
  b.pause();
  world.schedule(ms * 1000, [&b, incarnation = b.incarnation()] {
    if (b.incarnation() == incarnation) b.resume();
  });
}

void Cluster::wipe(int id, int64_t back_after_ms) {
  trace.note(world.now_us(), "broker " + std::to_string(id) + " loses its disk");
  kill_now(id, true);
  broker(id).replace_disk(lost_disks_keep_identity);
  world.schedule(back_after_ms * 1000, [this, id] { start_broker(id); });
}

void Cluster::crash_coordinator(int64_t back_after_ms) {
  coordinator.crash();
  world.schedule(back_after_ms * 1000, [this] { coordinator.start(); });
}

void Cluster::isolate(int id, bool inbound, bool outbound) {
  trace.note(world.now_us(), "broker " + std::to_string(id) + " is cut off" +
                                 (inbound ? " in" : "") + (outbound ? " out" : ""));
  for (auto& other : brokers_) {
    if (other->id() == id) continue;
    if (inbound) network.block(other->id(), id, true);
    if (outbound) network.block(id, other->id(), true);
  }
  coordinator.block(id, inbound, outbound);
}

bool Cluster::rot(int id) {
  SimDisk& disk = broker(id).disk();
  std::vector<std::string> files;
  for (const auto& path : disk.files("/data/log/")) {
    if (path.ends_with(".log") && !disk.content(path).empty()) files.push_back(path);
  }
  if (files.empty()) return false;
  const std::string& path = files[world.random().below(files.size())];
  const std::string content = disk.content(path);
  // Where something was written: the rest of a preallocated file is zeros.
  size_t used = content.find_last_not_of('\0');
  if (used == std::string::npos) return false;
  uint64_t position = world.random().below(used + 1);
  trace.note(world.now_us(), "broker " + std::to_string(id) + " rots at " + path + " byte " +
                                 std::to_string(position));
  disk.flip_bit(path, position, static_cast<int>(world.random().below(8)));
  return true;
}

void Cluster::heal() {
  trace.note(world.now_us(), "heal");
  network.unblock_all();
  network.weather = {};
  coordinator.unblock_all();
  coordinator.draining.clear();
  stored.faults = {};
  coordinator.start();
  coordinator.resume();
  coordinator.say_wishes();
  for (auto& b : brokers_) {
    b->disk().set_fault(nullptr);
    b->disk().set_capacity(uint64_t{1} << 40);
    b->resume();
    start_broker(b->id());
  }
}

void Cluster::create_unknown_streams() {
  if (!coordinator_serves()) return;
  std::set<std::string> known;
  for (const auto* map : coordinator.coordinator()->maps()) known.insert(map->stream_id());
  for (const auto& [id, map] : stored.maps) {
    if (known.contains(id)) continue;
    const auto& config = map.map.config();
    create_stream(map.map.stream(), config.mode(), config.partitions(), config.replication(),
                  config.durability() == cluster::v1::DURABILITY_MEMORY, [](Status) {});
  }
}

bool Cluster::all_running() {
  for (auto& b : brokers_) {
    if (!b->running() || b->paused()) return false;
  }
  return true;
}

// ---- asking ----

void Cluster::admin(cluster::v1::AdminRequest request, std::function<void(Status)> done) {
  BrokerProcess* b = any_broker();
  if (!b) return done(Status(Code::kUnavailable, "no broker"));
  b->executor().post([b, request = std::move(request), done = std::move(done)] {
    b->session().admin(request, kAdminMs, [done](Result<cluster::v1::AdminResponse> answer) {
      done(answer.status());
    });
  });
}

void Cluster::create_stream(const std::string& name, cluster::v1::StreamMode mode, int shards,
                            int replication, bool memory, std::function<void(Status)> done) {
  cluster::v1::AdminRequest request;
  auto* create = request.mutable_create_stream();
  create->set_name(name);
  create->mutable_config()->set_mode(mode);
  create->mutable_config()->set_partitions(shards);
  create->mutable_config()->set_replication(replication);
  create->mutable_config()->set_retention_ms(-1);
  if (memory) create->mutable_config()->set_durability(cluster::v1::DURABILITY_MEMORY);
  if (mode == cluster::v1::STREAM_MODE_ELASTIC) create->mutable_config()->set_shards_max(16);
  admin(std::move(request), std::move(done));
}

Status Cluster::create_stream_now(const std::string& name, cluster::v1::StreamMode mode,
                                  int shards, int replication, bool memory) {
  std::string last;
  for (int attempt = 0; attempt < 10; attempt++) {
    std::optional<Status> outcome;
    create_stream(name, mode, shards, replication, memory, [&](Status s) { outcome = s; });
    run_until([&] { return outcome.has_value(); }, 20'000);
    bool there = run_until([&] { return map(name) && at_rest(&last); }, 10'000);
    if (there) return {};
    if (outcome) last += ", " + outcome->to_string();
  }
  return Status(Code::kTimeout, "stream " + name + " was not created: " + last);
}

const cluster::v1::ShardMap* Cluster::map(const std::string& name) const {
  for (const auto& [id, map] : stored.maps) {
    if (map.map.stream() == name && !map.map.deleting()) return &map.map;
  }
  return nullptr;
}

ShardId Cluster::shard_id(const std::string& name, int32_t index) const {
  const auto* found = map(name);
  CHECK(found != nullptr);
  return {*Uuid::parse(found->stream_id()), index};
}

partition::Partition* Cluster::leader(const ShardId& shard) {
  partition::Partition* best = nullptr;
  for (auto& b : brokers_) {
    if (!b->running()) continue;
    auto* partition = b->partitions().find(shard);
    if (partition && partition->is_leader() && (!best || partition->term() > best->term())) {
      best = partition;
    }
  }
  return best;
}

Result<partition::Appended> Cluster::append_now(const ShardId& shard, const std::string& batch,
                                                int64_t ms) {
  const int64_t until_us = world.now_us() + ms * 1000;
  Status last(Code::kUnavailable, "no leader");
  while (world.now_us() < until_us && !oracle.broken()) {
    if (auto* partition = leader(shard)) {
      auto outcome = std::make_shared<std::optional<Result<partition::Appended>>>();
      partition->append(Buffer::copy_of(batch), partition::Acks::kAll,
                        [outcome](Result<partition::Appended> result) { *outcome = result; });
      if (!run_until([&] { return outcome->has_value(); }, ms)) {
        return Status(Code::kTimeout, "no answer");
      }
      last = (*outcome)->status();
      // Leadership may be on its way to somebody else.
      if (last.code() != Code::kNotLeader && last.code() != Code::kUnavailable) return **outcome;
    }
    run_for_ms(50);
  }
  return last;
}

// ---- rest ----

bool Cluster::at_rest(std::string* why) {
  auto say = [&](const std::string& what) {
    if (why) *why = what;
    return false;
  };
  if (!all_running()) return say("a broker is down");
  if (!coordinator_serves()) return say("there is no coordinator");
  for (const auto& [id, map] : stored.maps) {
    if (map.map.deleting()) return say("stream " + map.map.stream() + " is being deleted");
    for (const auto& shard : map.map.shards()) {
      if (!shard_at_rest(map.map, shard, why)) return false;
    }
  }
  return true;
}

bool Cluster::shard_at_rest(const cluster::v1::ShardMap& map, const cluster::v1::Shard& shard,
                            std::string* why) {
  const ShardId id{*Uuid::parse(map.stream_id()), shard.index()};
  auto say = [&](const std::string& what) {
    if (why) *why = map.stream() + "/" + std::to_string(shard.index()) + " " + what;
    return false;
  };
  if (!shard.has_leader()) return say("has no leader in term " + std::to_string(shard.term()));
  if (coordination::is_joint(shard) || shard.learners_size() > 0) return say("changes its members");
  if (shard.state() == cluster::v1::SHARD_STATE_SEALING) return say("is being split or merged");
  auto* leading = broker(shard.leader()).partitions().find(id);
  if (!leading || !leading->is_leader() || leading->term().value != shard.term()) {
    return say("is not led by broker " + std::to_string(shard.leader()) + " in term " +
               std::to_string(shard.term()));
  }
  if (!leading->may_read_latest().ok()) return say(leading->may_read_latest().to_string());
  if (leading->high_watermark() != leading->log_end()) return say("has an uncommitted tail");
  for (const auto& member : shard.replicas()) {
    BrokerProcess& b = broker(member.broker());
    if (b.store().directory_id().to_string() != member.directory()) {
      return say("has a lost member on broker " + std::to_string(member.broker()));
    }
    auto* copy = b.partitions().find(id);
    bool whole = copy && copy->quarantined().ok() && copy->term() == leading->term() &&
                 copy->log_end() == leading->log_end() &&
                 copy->high_watermark() == leading->high_watermark() &&
                 copy->log_start() == leading->log_start();
    if (!whole) return say("is behind on broker " + std::to_string(member.broker()));
  }
  return true;
}

bool Cluster::fully_replicated() {
  for (const auto& [id, map] : stored.maps) {
    for (const auto& shard : map.map.shards()) {
      const ShardId shard_id{*Uuid::parse(map.map.stream_id()), shard.index()};
      auto* leading = leader(shard_id);
      if (!leading || coordination::is_joint(shard) || shard.learners_size() > 0) return false;
      auto report = leading->leader_report();
      if (!report || !report->committed() || report->in_sync_size() < shard.replicas_size() ||
          report->term() != shard.term()) {
        return false;
      }
      for (const auto& member : shard.replicas()) {
        BrokerProcess& b = broker(member.broker());
        if (!b.running() || b.store().directory_id().to_string() != member.directory()) return false;
        auto* copy = b.partitions().find(shard_id);
        if (!copy || !copy->quarantined().ok()) return false;
      }
    }
  }
  return true;
}

bool Cluster::scrub() {
  bool whole = true;
  for (auto& b : brokers_) {
    if (!b->running()) continue;
    b->partitions().for_each([&](partition::Partition& partition) {
      for (Offset at = partition.log_start(); at < partition.high_watermark();) {
        auto fetched = partition.read(at, 1 << 20, true);
        if (!fetched.ok()) whole = false;
        if (!fetched.ok() || fetched->batches.empty()) return;
        at = fetched->batches.back().header.end_offset();
      }
    });
  }
  return whole;
}

std::string Cluster::describe() {
  std::string out;
  for (const auto& [id, map] : stored.maps) {
    out += map.map.ShortDebugString() + "\n";
  }
  for (auto& b : brokers_) {
    if (!b->running()) {
      out += "broker " + std::to_string(b->id()) + " is down\n";
      continue;
    }
    std::string hears;
    for (BrokerId peer : network.heard(b->id())) hears += " " + std::to_string(peer.value);
    out += "broker " + std::to_string(b->id()) + (b->session().welcomed() ? "" : ", no session") +
           ", hears" + hears + (b->store().disk_full() ? ", disk full" : "") + "\n";
    b->partitions().for_each([&](partition::Partition& p) {
      out += "  " + p.stream().name() + "/" + std::to_string(p.id().index) + " " +
             std::string(replication::to_string(p.replica().role())) + " term " +
             std::to_string(p.term().value) + " adopted " +
             std::to_string(p.replica().adopted_term().value) + " log [" +
             std::to_string(p.log_start().value) + ", " + std::to_string(p.log_end().value) +
             ") high watermark " + std::to_string(p.high_watermark().value) +
             (p.replica().tail_lost() ? ", its tail lost" : "") +
             (p.quarantined().ok() ? "" : " " + p.quarantined().to_string());
      if (auto report = p.leader_report()) out += " report {" + report->ShortDebugString() + "}";
      out += "\n";
    });
  }
  return out;
}

void Cluster::check_everything() {
  look();
  for (const auto& [id, map] : stored.maps) {
    const Uuid stream = *Uuid::parse(map.map.stream_id());
    // Its deletion was asked for and never made, and nobody has looked since at what it lost.
    if (map.map.config().durability() == cluster::v1::DURABILITY_MEMORY && oracle.deleted(stream)) {
      continue;
    }
    std::vector<int32_t> shards;
    for (const auto& shard : map.map.shards()) {
      const ShardId shard_id{stream, shard.index()};
      shards.push_back(shard.index());
      // A partitioned stream that grows moves keys: their order holds within a shard.
      if (map.map.config().mode() != cluster::v1::STREAM_MODE_ELASTIC) {
        oracle.check_order(stream, {shard.index()});
      }
      if (auto* leading = leader(shard_id)) {
        oracle.check_complete(*leading);
      } else {
        oracle.fail("shard " + shard_id.to_string() + " has no leader");
      }
    }
    if (map.map.config().mode() == cluster::v1::STREAM_MODE_ELASTIC) {
      oracle.check_order(stream, shards);
    }
  }
}

}  // namespace broker::sim
