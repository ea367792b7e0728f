// What the operator asks of brokers, and what it sees.
#include "broker/base/log.h"
#include "broker/coordination/core.h"

namespace broker::coordination {

void Core::set_defaults(const StreamDefaults& defaults) {
  if (defaults == defaults_) return;
  defaults_ = defaults;
  streams_dirty_ = true;
  settle();
}

namespace {

using Endpoints = std::map<std::string, sluice::v1::Endpoint>;
bool same_endpoints(const Endpoints& a, const Endpoints& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const auto& x, const auto& y) {
    return x.first == y.first && x.second.host() == y.second.host() &&
           x.second.port() == y.second.port();
  });
}

}  // namespace

void Core::set_expected_brokers(const std::vector<ExpectedBroker>& brokers) {
  std::set<int32_t> before, after;
  for (auto& [id, peer] : peers_) {
    if (peer.expected) before.insert(id);
    peer.expected = false;
  }
  bool news = false;
  for (const auto& expected : brokers) {
    Peer& peer = peers_[expected.id];
    peer.info.set_id(expected.id);
    peer.expected = true;
    after.insert(expected.id);
    const bool moved = !same_endpoints(peer.listeners, expected.listeners);
    if (peer.zone == expected.zone && !moved) continue;
    peer.zone = expected.zone;
    peer.listeners = expected.listeners;
    if (loaded_) push_broker(peer);
    news = true;
  }
  if (news || before != after) settle();
}

void Core::set_draining(int32_t broker, bool draining) {
  Peer* peer = find_peer(broker);
  if (!peer || peer->draining == draining) return;
  peer->draining = draining;
  log_info("coordinator", draining ? "broker drains" : "broker drains no longer",
           {{"cluster", options_.cluster}, {"broker", broker}});
  mark_all_dirty();
  something_changed_ = true;
  if (!loaded_) return;
  push_broker(*peer);
  settle();
}

DrainProgress Core::drain_progress(int32_t broker) const {
  DrainProgress progress;
  for (const auto& [id, stream] : streams_) {
    for (const auto& shard : stream.map.shards()) {
      bool holds = find_replica(shard.learners(), broker) != nullptr;
      for (const auto& replica : voters_of(shard)) holds |= replica.broker() == broker;
      progress.replicas_left += holds ? 1 : 0;
      if (holds) {
        progress.bytes_left += shard.learners().empty()
                                   ? bytes_on(broker, stream.map.stream_id(), shard.index())
                                   : learner_bytes_left(stream, shard);
      }
      progress.leaders_left += shard.has_leader() && shard.leader() == broker ? 1 : 0;
    }
  }
  auto blocked = drain_blocked_.find(broker);
  if (blocked != drain_blocked_.end() && progress.replicas_left > 0) {
    progress.blocked = blocked->second;
  }
  if (moves_paused_ && progress.replicas_left > 0) progress.blocked = "moves are paused";
  return progress;
}

Status Core::forget_broker(int32_t broker) {
  auto it = peers_.find(broker);
  if (it == peers_.end()) return {};
  const int left = drain_progress(broker).replicas_left;
  if (left > 0) {
    return Status(Code::kConflict, "broker " + std::to_string(broker) + " holds " +
                                       std::to_string(left) + " replicas");
  }
  if (it->second.session != 0) {
    return Status(Code::kConflict, "broker " + std::to_string(broker) + " is connected");
  }
  peers_.erase(it);
  metered_brokers_.erase(broker);
  something_changed_ = true;
  // A delta cannot take a broker away: everybody gets the whole.
  for (auto& [id, session] : sessions_) {
    if (session.broker >= 0) push_full(session);
  }
  settle();
  return {};
}

bool Core::stream_waits(const std::string& stream) const {
  auto it = problems_.find(stream);
  return it != problems_.end() && it->second.waits;
}

std::string Core::stream_problem(const std::string& stream) const {
  auto it = problems_.find(stream);
  if (it != problems_.end()) return it->second.text;
  const Stream* found = find_stream(stream);
  if (!found) return "";
  for (const auto& shard : found->map.shards()) {
    if (!may_come_back(shard)) {
      return "shard " + std::to_string(shard.index()) +
             " has lost a majority of its copies: their brokers came back with other directories";
    }
  }
  return "";
}

std::vector<BrokerView> Core::broker_views() const {
  auto replicas = count_replicas(maps());
  std::map<int32_t, int> leaders;
  for (const auto* map : maps()) {
    for (const auto& shard : map->shards()) {
      if (shard.has_leader()) ++leaders[shard.leader()];
    }
  }
  std::vector<BrokerView> out;
  for (const auto& [id, peer] : peers_) {
    int64_t bytes = 0;
    for (const auto& [shard, size] : peer.shard_bytes) bytes += size;
    out.push_back({broker_message(peer), peer.registered, replicas[id], leaders[id], bytes,
                   peer.disk_bytes, peer.disk_free_bytes, peer.certificates});
  }
  return out;
}

std::vector<MoveView> Core::move_views() const {
  std::vector<MoveView> out;
  for (const auto& [id, stream] : streams_) {
    for (const auto& shard : stream.map.shards()) {
      if (shard.learners().empty() && !is_joint(shard)) continue;
      MoveView view{stream.name, shard.index(), std::nullopt, is_joint(shard)};
      if (!shard.learners().empty()) view.learner = shard.learners(0);
      out.push_back(std::move(view));
    }
  }
  return out;
}

int Core::planned_moves() const {
  return planned_moves_;
}

int Core::session_count() const {
  int count = 0;
  for (const auto& [id, session] : sessions_) count += session.broker >= 0 ? 1 : 0;
  return count;
}

}  // namespace broker::coordination
