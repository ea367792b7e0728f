#include "tests/sim/stream_reader.h"

#include "broker/coordination/shard_map.h"

namespace broker::sim {
namespace {
constexpr int64_t kPatienceUs = 3'000'000;
constexpr size_t kBytes = 32 << 10;
}  // namespace

bool StreamReader::parents_read(const cluster::v1::ShardMap& map, const cluster::v1::Shard& shard) {
  for (int32_t index : shard.parents()) {
    const auto* parent = coordination::find_shard_by_index(map, index);
    if (!parent) continue;
    const ShardId id{*Uuid::parse(map.stream_id()), index};
    if (parent->state() != cluster::v1::SHARD_STATE_CLOSED ||
        positions_[id].next.value < parent->end_offset()) {
      return false;
    }
  }
  return true;
}

void StreamReader::step() {
  const auto* map = clients_.cluster().map(stream_);
  if (!map) return;
  for (const auto& shard : map->shards()) {
    if (!parents_read(*map, shard)) continue;
    const ShardId id{*Uuid::parse(map->stream_id()), shard.index()};
    Position& position = positions_[id];
    bool waits = position.asking &&
                 clients_.cluster().world.now_us() - position.asked_us < kPatienceUs;
    if (!waits) ask(id, position);
  }
}

void StreamReader::ask(const ShardId& shard, Position& position) {
  BrokerProcess* broker = clients_.cluster().any_broker();
  if (!broker) return;
  SimWorld& world = clients_.cluster().world;
  position.asking = true;
  position.asked_us = world.now_us();
  const Offset from = position.next;
  const bool any_replica = world.random().one_in(3);
  const int64_t wait_ms = world.random().one_in(2) ? 0 : 300;
  auto done = [this, &world, shard, from,
               who = "a reader at broker " + std::to_string(broker->id())](
                  Result<partition::Fetched> result) {
    world.schedule(world.random().between(50, 2'000), [this, shard, from, who, result] {
      on_fetched(shard, from, who, result);
    });
  };
  broker->executor().schedule_us(
      world.random().between(50, 2'000), [broker, shard, from, any_replica, wait_ms, done] {
        if (!any_replica) return broker->router().read(shard, from, kBytes, wait_ms, done);
        auto* partition = broker->partitions().find(shard);
        if (!partition) return done(Status(Code::kNotLeader, "no replica here"));
        done(partition->read(from, kBytes, true));
      });
}

void StreamReader::on_fetched(const ShardId& shard, Offset from, const std::string& who,
                              const Result<partition::Fetched>& result) {
  Position& position = positions_[shard];
  position.asking = false;
  if (position.next != from) return;  // an answer that came late
  Cluster& cluster = clients_.cluster();
  if (!result.ok()) {
    // Deleted below the position: go on where the log starts.
    auto* leader = result.code() == Code::kOutOfRange ? cluster.leader(shard) : nullptr;
    if (leader && leader->log_start() > from) position.next = leader->log_start();
    // Of a memory stream whose majority has crashed: gone, with what was read.
    if (leader && leader->in_memory() && leader->replica().committed() &&
        leader->log_end() < from) {
      position.next = leader->high_watermark();
    }
    return;
  }
  for (const Batch& batch : result->batches) {
    if (batch.header.end_offset() > result->high_watermark) {
      cluster.oracle.fail(who + " was shown more than is committed");
    }
    if (batch.header.end_offset() <= position.next) continue;
    bool begins = position.next == from && batch.header.base_offset < from;
    if (!begins && batch.header.base_offset != position.next) {
      cluster.oracle.fail(who + " was shown offset " +
                          std::to_string(batch.header.base_offset.value) + " of shard " +
                          shard.to_string() + " where " + std::to_string(position.next.value) +
                          " was to come");
    }
    cluster.oracle.read(shard, batch, who);
    position.next = batch.header.end_offset();
    clients_.batches_read++;
  }
}

std::string StreamReader::busy() {
  const auto* map = clients_.cluster().map(stream_);
  if (!map) return {};
  for (const auto& shard : map->shards()) {
    const ShardId id{*Uuid::parse(map->stream_id()), shard.index()};
    auto* leader = clients_.cluster().leader(id);
    if (leader && positions_[id].next >= leader->high_watermark()) continue;
    return "a reader of " + stream_ + "/" + std::to_string(shard.index()) + " is at " +
           std::to_string(positions_[id].next.value) + " of " +
           std::to_string(leader ? leader->high_watermark().value : -1);
  }
  return {};
}

}  // namespace broker::sim
