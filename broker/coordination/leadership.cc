// Planned changes of leadership: the leader holds appends until the target has everything, then a
// new term is decided in the target's favour. For stopping and draining brokers, for members that
// leave, and to spread leaders evenly.
#include <algorithm>

#include "broker/base/log.h"
#include "broker/coordination/core.h"

namespace broker::coordination {
namespace {
constexpr int64_t kTryAgainMs = 1000;
constexpr int kFailuresMax = 3;

bool lists(const google::protobuf::RepeatedField<int32_t>& brokers, int32_t broker) {
  return std::find(brokers.begin(), brokers.end(), broker) != brokers.end();
}
}  // namespace

bool Core::leaves_leadership(int32_t broker) {
  const Peer* peer = find_peer(broker);
  const Session* session = session_of(broker);
  return (peer && peer->draining && !moves_paused_) || (session && session->stopping);
}

bool Core::can_be_transferred(const Shard& shard, const Live& live) {
  if (live.transfer_failures >= kFailuresMax || !voters_reachable(shard)) return false;
  auto voters = voters_of(shard);
  return std::any_of(voters.begin(), voters.end(), [&](const Replica& r) {
    return r.broker() != shard.leader() && live_session(r) && !leaves_leadership(r.broker());
  });
}

// True while a transfer is under way or has just become an election.
bool Core::step_transfer(Stream& stream, const Shard& shard, Live& live, Wanted& wanted) {
  if (live.transfer && live.transfer->ready) {
    TermChange change{shard.index(), shard.term(), shard.term() + 1, live.transfer->reason,
                      live.transfer->target};
    live.transfer.reset();
    if (change.reason == "membership" && !is_joint(shard) && live.move && live.move->add &&
        contains_replica(shard.learners(), *live.move->add)) {
      change.joint = true;
      change.add = live.move->add;
      change.remove = live.move->remove;
    }
    wanted.terms.push_back(std::move(change));
    return true;
  }
  if (live.transfer && now() - live.transfer->started_ms > options_.transfer_ms) {
    transfer_failed(live);
  }
  if (live.transfer) return true;
  if (!leaves_leadership(shard.leader()) || !can_be_transferred(shard, live)) return false;
  if (!may_leave()) return false;
  const auto& staying = is_joint(shard) ? shard.next_replicas() : shard.replicas();
  const Session* session = session_of(shard.leader());
  return start_transfer(stream, shard, live, {staying.begin(), staying.end()},
                        session && session->stopping ? "stop" : "drain");
}

bool Core::start_transfer(Stream& stream, const Shard& shard, Live& live,
                          const std::vector<Replica>& candidates, const std::string& reason) {
  Session* leader = session_of(shard.leader());
  if (!leader || leader->silent || !live.report || now() < live.transfer_after_ms) return false;
  auto counts = leader_counts_to_come();
  const Replica* target = nullptr;
  std::pair<bool, int> target_rank;
  for (const auto& replica : candidates) {
    const int32_t broker = replica.broker();
    if (broker == shard.leader() || !live_session(replica) || leaves_leadership(broker)) continue;
    bool near = lists(live.report->in_sync(), broker) || lists(live.report->caught_up(), broker);
    std::pair rank{near, -counts[broker]};
    if (!target || rank > target_rank) target = &replica, target_rank = rank;
  }
  if (!target) return false;
  live.transfer = Transfer{shard.term(), target->broker(), reason, now()};
  ++leaving_;
  sluice::v1::CoordinatorMessage message;
  auto* prepare = message.mutable_prepare_transfer();
  prepare->mutable_shard()->set_stream_id(stream.map.stream_id());
  prepare->mutable_shard()->set_index(shard.index());
  prepare->set_term(shard.term());
  prepare->set_target(target->broker());
  outbox_.send(leader->id, message);
  return true;
}

void Core::transfer_failed(Live& live) {
  ++live.transfer_failures;
  live.transfer.reset();
  live.transfer_after_ms = now() + kTryAgainMs;
}

void Core::on_transfer_ready(Session& session, const sluice::v1::TransferReady& message) {
  Stream* stream = find_stream_by_id(message.shard().stream_id());
  const Shard* shard = stream ? find_shard_by_index(stream->map, message.shard().index()) : nullptr;
  if (!shard || !shard->has_leader() || shard->leader() != session.broker) return;
  Live& live = stream->live[shard->index()];
  if (!live.transfer || live.transfer->term != message.term() || shard->term() != message.term() ||
      live.transfer->target != message.target()) {
    return;
  }
  stream->dirty = true;
  if (message.ready()) {
    live.transfer->ready = true;
  } else {
    transfer_failed(live);
  }
}

// Rule: a stopping broker may go once nothing is led there that another could lead, and no
// election that needs its vote is open.
void Core::answer_stopping(Session& session) {
  for (auto& [id, stream] : streams_) {
    if (!stream.stored() || stream.map.deleting()) continue;
    for (const auto& shard : stream.map.shards()) {
      Live& live = stream.live[shard.index()];
      if (shard.has_leader() && shard.leader() == session.broker) {
        if (live.busy || live.transfer || can_be_transferred(shard, live)) return;
      } else if (!shard.has_leader() && find_replica(shard.replicas(), session.broker) &&
                 voters_reachable(shard)) {
        return;
      }
    }
  }
  sluice::v1::CoordinatorMessage message;
  message.mutable_stop_allowed();
  outbox_.send(session.id, message);
}

std::map<int32_t, int> Core::leader_counts_to_come() const {
  auto counts = leader_counts();
  for (const auto& [id, stream] : streams_) {
    for (const auto& [index, live] : stream.live) {
      if (!live.transfer) continue;
      const Shard* shard = find_shard_by_index(stream.map, index);
      if (shard && shard->has_leader()) --counts[shard->leader()];
      ++counts[live.transfer->target];
    }
  }
  return counts;
}

std::map<int32_t, int> Core::stream_leaders_to_come(const Stream& stream) {
  std::map<int32_t, int> counts;
  for (const auto& shard : stream.map.shards()) {
    if (shard.state() != sluice::v1::SHARD_STATE_OPEN || !shard.has_leader()) continue;
    const auto live = stream.live.find(shard.index());
    const bool moves = live != stream.live.end() && live->second.transfer;
    ++counts[moves ? live->second.transfer->target : shard.leader()];
  }
  return counts;
}

// Whether one more shard may be transferred away from a broker that leaves. Counted at most once per
// settle(); who has to wait is looked at again when half of those under way have arrived.
bool Core::may_leave() {
  if (leaving_ >= options_.leave_moves_max && !leaving_counted_) {
    leaving_ = transfers_in_flight();
    leaving_counted_ = true;
  }
  if (leaving_ < options_.leave_moves_max) return true;
  leaving_waits_ = true;
  return false;
}

void Core::resume_leaving() {
  leaving_counted_ = false;
  if (!leaving_waits_) return;
  leaving_ = transfers_in_flight();
  leaving_counted_ = true;
  if (leaving_ > options_.leave_moves_max / 2) return;
  leaving_waits_ = false;
  mark_all_dirty();
}

int Core::transfers_in_flight() const {
  int count = 0;
  for (const auto& [id, stream] : streams_) {
    for (const auto& [index, live] : stream.live) {
      // Elected as planned, soon.
      const bool arriving =
          live.preferred >= 0 &&
          !(live.election && now() - live.election->started_ms > options_.transfer_ms);
      count += live.transfer || live.busy || arriving ? 1 : 0;
    }
  }
  return count;
}

// Leaders drift together when brokers stop and come back. A few at a time move to a replica in sync
// where that lowers the sum over brokers of (leaders)^2 + kStreamWeight * (leaders of the stream)^2:
// in the end no two brokers differ by more than one, neither in all they lead nor in what they lead
// of one stream (its load is what moves together), where replicas allow it. The sum falls with
// every move, so no two moves undo each other.
void Core::balance_leaders() {
  constexpr int kStreamWeight = 4;
  int room = options_.leader_moves_max - transfers_in_flight();
  auto counts = leader_counts_to_come();
  for (auto& [id, stream] : streams_) {
    if (room <= 0) return;
    if (!stream.stored() || stream.map.deleting()) continue;
    // While an election is open, who leads what is not known.
    if (std::any_of(stream.live.begin(), stream.live.end(),
                    [](const auto& entry) { return entry.second.busy; })) {
      continue;
    }
    auto of_stream = stream_leaders_to_come(stream);
    for (const auto& shard : stream.map.shards()) {
      if (room <= 0) return;
      Live& live = stream.live[shard.index()];
      if (!shard.has_leader() || live.busy || live.transfer || !live.report ||
          !live.report->committed() || shard.state() != sluice::v1::SHARD_STATE_OPEN) {
        continue;
      }
      // Where an administrator wanted it to be led.
      if (shard.wanted_brokers_size() > 0 && shard.wanted_brokers(0) == shard.leader()) continue;
      if (live.elected_by_admin == shard.leader()) continue;
      const int32_t from = shard.leader();
      const Replica* best = nullptr;
      int best_change = 0;
      for (const auto& replica : shard.replicas()) {
        const int32_t to = replica.broker();
        if (to == from || !lists(live.report->in_sync(), to)) continue;
        const int change = counts[to] - counts[from] + 1 +
                           kStreamWeight * (of_stream[to] - of_stream[from] + 1);
        if (change < best_change) best = &replica, best_change = change;
      }
      if (!best || !start_transfer(stream, shard, live, {*best}, "balance")) continue;
      --room;
      --counts[from], ++counts[live.transfer->target];
      --of_stream[from], ++of_stream[live.transfer->target];
    }
  }
}

}  // namespace broker::coordination
