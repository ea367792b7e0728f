// What it would cost to stop a broker or to take it away: the operator asks before it does either.
#include <algorithm>

#include "broker/coordination/core.h"

namespace broker::coordination {
namespace {

// The part of a disk that must stay free for what comes during a drain.
constexpr double kDiskFullAt = 0.9;
constexpr int64_t kUnsettledMs = 10'000;

std::string name_of(const Stream& stream, const Shard& shard) {
  return "shard " + std::to_string(shard.index()) + " of stream '" + stream.name + "'";
}

bool lists(const google::protobuf::RepeatedField<int32_t>& brokers, int32_t broker) {
  return std::find(brokers.begin(), brokers.end(), broker) != brokers.end();
}

std::string gib(int64_t bytes) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2f GiB", static_cast<double>(bytes) / (1LL << 30));
  return text;
}

}  // namespace

bool Core::may_come_back(const Shard& shard) const {
  return has_majority(shard, [&](const Replica& replica) {
    auto peer = peers_.find(replica.broker());
    return peer == peers_.end() || !peer->second.registered ||
           peer->second.info.directory() == replica.directory();
  });
}

// One ensemble of a shard, its present or its next. With n copies at most n - 1 can be asked to
// stay: a shard of one or two copies, or with min_insync of all, cannot do better than that.
std::string Core::cost_of_stop(const Stream& stream, const Shard& shard,
                               const google::protobuf::RepeatedPtrField<Replica>& ensemble,
                               const std::set<int32_t>& brokers) {
  const int size = ensemble.size();
  const int wanted = std::max(size / 2 + 1, std::min(stream.map.config().min_insync(), size));
  const int needed = std::min(wanted, size - 1);
  auto live = stream.live.find(shard.index());
  const auto* report =
      live != stream.live.end() && live->second.report ? &*live->second.report : nullptr;
  bool concerned = false;
  int staying = 0, connected = 0;
  for (const auto& replica : ensemble) {
    const Session* session = live_session(replica);
    if (!session || session->stopping) continue;
    const int32_t broker = replica.broker();
    if (brokers.count(broker)) {
      concerned = true;
      continue;
    }
    ++connected;
    if (report && (lists(report->in_sync(), broker) || broker == shard.leader())) {
      ++staying;
    }
  }
  if (!concerned || needed == 0) return "";
  if (!shard.has_leader()) return name_of(stream, shard) + " is electing its leader";
  if (!report || report->term() != shard.term() || !report->committed()) {
    // A leader that cannot commit (of a version that the others do not understand, say) is better
    // gone, where the others can elect one.
    const bool stale = live != stream.live.end() &&
                       now() - live->second.leader_since_ms >= kUnsettledMs;
    if (stale && brokers.count(shard.leader()) && connected > size / 2) return "";
    return name_of(stream, shard) + " has not settled after an election";
  }
  if (staying >= needed) return "";
  return name_of(stream, shard) + " would keep " + std::to_string(staying) + " of the " +
         std::to_string(needed) + " in-sync copies that it needs";
}

std::string Core::stop_risk(const std::set<int32_t>& brokers) {
  if (!loaded_) return "the coordinator has not loaded its metadata yet";
  for (const auto& [id, stream] : streams_) {
    if (!stream.stored() || stream.map.deleting()) continue;
    for (const auto& shard : stream.map.shards()) {
      if (!may_come_back(shard)) continue;  // nothing is left to lose
      std::string cost = cost_of_stop(stream, shard, shard.replicas(), brokers);
      if (cost.empty() && is_joint(shard)) {
        cost = cost_of_stop(stream, shard, shard.next_replicas(), brokers);
      }
      if (!cost.empty()) return cost;
    }
  }
  return "";
}

std::string Core::removal_risk(const std::set<int32_t>& brokers) const {
  if (!loaded_) return "the coordinator has not loaded its metadata yet";
  int staying = 0;
  int64_t leaving_bytes = 0, room = 0;
  bool room_known = true;
  for (const auto& [id, peer] : peers_) {
    if (brokers.count(id)) {
      for (const auto& [shard, bytes] : peer.shard_bytes) leaving_bytes += bytes;
      continue;
    }
    if (!peer.expected) continue;
    ++staying;
    const int64_t disk = peer.disk_bytes + peer.disk_free_bytes;
    room_known &= disk > 0;
    room += static_cast<int64_t>(kDiskFullAt * static_cast<double>(disk)) - peer.disk_bytes;
  }
  for (const auto& [id, stream] : streams_) {
    if (!stream.stored() || stream.map.deleting()) continue;
    int copies = 0;
    for (const auto& shard : stream.map.shards()) {
      copies = std::max(copies, copies_of(stream.map, shard));
    }
    if (copies > staying) {
      return "stream '" + stream.name + "' keeps " + std::to_string(copies) +
             " copies of each shard, and " + std::to_string(staying) + " brokers would stay";
    }
  }
  if (room_known && leaving_bytes > room) {
    return gib(leaving_bytes) + " would have to move, and the brokers that stay have room for " +
           gib(std::max<int64_t>(room, 0));
  }
  return "";
}

void Core::set_moves_paused(bool paused) {
  if (moves_paused_ == paused) return;
  moves_paused_ = paused;
  mark_all_dirty();
  something_changed_ = true;
  settle();
}

void Core::take_holdings(Peer& peer, const sluice::v1::Holdings& holdings) {
  peer.shard_bytes.clear();
  for (const auto& shard : holdings.shards()) {
    peer.shard_bytes[{shard.shard().stream_id(), shard.shard().index()}] = shard.bytes();
  }
  peer.disk_bytes = holdings.disk_bytes();
  peer.disk_free_bytes = holdings.disk_free_bytes();
}

int64_t Core::bytes_on(int32_t broker, const std::string& stream_id, int32_t shard) const {
  auto peer = peers_.find(broker);
  if (peer == peers_.end()) return 0;
  auto it = peer->second.shard_bytes.find({stream_id, shard});
  return it == peer->second.shard_bytes.end() ? 0 : it->second;
}

ShardSizes Core::shard_sizes() const {
  ShardSizes sizes;
  for (const auto& [id, peer] : peers_) {
    for (const auto& [shard, bytes] : peer.shard_bytes) {
      auto& size = sizes[shard];
      size = std::max(size, bytes);
    }
  }
  return sizes;
}

// What learners still have to fetch.
int64_t Core::bytes_in_flight() const {
  int64_t left = 0;
  for (const auto& [id, stream] : streams_) {
    for (const auto& shard : stream.map.shards()) {
      if (shard.learners().empty()) continue;
      left += learner_bytes_left(stream, shard);
    }
  }
  return left;
}

int64_t Core::learner_bytes_left(const Stream& stream, const Shard& shard) const {
  int64_t full = 0;
  for (const auto& replica : shard.replicas()) {
    full = std::max(full, bytes_on(replica.broker(), stream.map.stream_id(), shard.index()));
  }
  const int32_t learner = shard.learners(0).broker();
  return std::max<int64_t>(full - bytes_on(learner, stream.map.stream_id(), shard.index()), 0);
}

}  // namespace broker::coordination
