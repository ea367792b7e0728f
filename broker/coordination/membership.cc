// Moves of replicas (rule 9), one at a time per shard and a bounded number in all:
// learner -> caught up -> both ensembles in a new term -> the leader commits -> new ensemble.
#include <algorithm>

#include "broker/base/log.h"
#include "broker/coordination/core.h"

namespace broker::coordination {

void Core::step_membership(Stream& stream, const Shard& shard, Live& live, Wanted& wanted) {
  if (is_joint(shard)) return step_joint(stream, shard, live);
  if (!shard.learners().empty()) return step_learner(stream, shard, live, wanted);
  if (!live.move) return;
  // Only a removal is left to wait for: an addition without its learner has been given up.
  const Replica* leader = leader_replica(shard);
  if (live.move->add || !live.move->remove || !leader ||
      !contains_replica(shard.replicas(), *live.move->remove)) {
    live.move.reset();
    return;
  }
  if (same_replica(*leader, *live.move->remove)) {
    start_transfer(stream, shard, live, {shard.replicas().begin(), shard.replicas().end()},
                   "membership");
    return;
  }
  TermChange change{shard.index(), shard.term(), shard.term() + 1, "membership", shard.leader()};
  change.joint = true;
  change.remove = live.move->remove;
  wanted.terms.push_back(std::move(change));
}

// A learner that does not come, comes with another directory, or is to leave again.
bool Core::learner_lost(const Replica& learner, Live& live) {
  const Peer* peer = find_peer(learner.broker());
  const Session* session = session_of(learner.broker());
  if (peer && peer->draining) return true;
  if (session && session->directory != learner.directory()) return true;
  if (live_session(learner)) {
    live.learner_gone_ms = -1;
    return false;
  }
  if (live.learner_gone_ms < 0) live.learner_gone_ms = now();
  return now() - live.learner_gone_ms > options_.learner_ms;
}

void Core::step_learner(Stream& stream, const Shard& shard, Live& live, Wanted& wanted) {
  const Replica learner = shard.learners(0);
  if (learner_lost(learner, live)) return give_up_learner(stream, shard, live);
  if (!live.report || !live_session(learner)) return;
  const auto& caught_up = live.report->caught_up();
  if (std::find(caught_up.begin(), caught_up.end(), learner.broker()) == caught_up.end()) return;
  bool planned = live.move && live.move->add && same_replica(*live.move->add, learner) &&
                 (!live.move->remove || contains_replica(shard.replicas(), *live.move->remove));
  if (!planned) {
    // Begun by a coordinator that is gone: the map alone tells who leaves.
    auto leaving = pick_leaving(stream.map, shard, learner, maps(), broker_infos());
    live.move = Move{stream.map.stream_id(), shard.index(), learner, leaving, MoveReason::kBalance};
  }
  const Replica* leader = leader_replica(shard);
  if (leader && live.move->remove && same_replica(*leader, *live.move->remove)) {
    std::vector<Replica> staying(shard.replicas().begin(), shard.replicas().end());
    staying.push_back(learner);
    start_transfer(stream, shard, live, staying, "membership");
    return;
  }
  TermChange change{shard.index(), shard.term(), shard.term() + 1, "membership", shard.leader()};
  change.joint = true;
  change.add = learner;
  change.remove = live.move->remove;
  wanted.terms.push_back(std::move(change));
}

void Core::give_up_learner(Stream& stream, const Shard& shard, Live& live) {
  const std::string id = stream.map.stream_id();
  const int32_t index = shard.index();
  live.busy = true;
  live.move.reset();
  live.learner_gone_ms = -1;
  log_warn(
      "coordinator", "a learner is given up",
      {{"stream", stream.map.stream()}, {"shard", index}, {"broker", shard.learners(0).broker()}});
  Edit edit;
  edit.what = "remove learner";
  edit.apply = [index, learner = shard.learners(0)](ShardMap& map) {
    return remove_learner(map, index, learner);
  };
  edit.done = [this, id, index](const Status&) {
    if (Stream* stream = find_stream_by_id(id)) stream->live[index].busy = false;
  };
  queue(stream, std::move(edit));
}

void Core::step_joint(Stream& stream, const Shard& shard, Live& live) {
  if (!live.report || !live.report->committed()) return;
  const Replica* leader = leader_replica(shard);
  if (!leader || !contains_replica(shard.next_replicas(), *leader)) {
    start_transfer(stream, shard, live,
                   {shard.next_replicas().begin(), shard.next_replicas().end()}, "membership");
    return;
  }
  const std::string id = stream.map.stream_id();
  const int32_t index = shard.index();
  live.busy = true;
  Edit edit;
  edit.what = "finish membership change";
  edit.apply = [index, term = shard.term()](ShardMap& map) {
    return finish_joint(map, index, term);
  };
  edit.done = [this, id, index](const Status& status) {
    Stream* stream = find_stream_by_id(id);
    if (!stream) return;
    Live& live = stream->live[index];
    live.busy = false;
    if (!status.ok()) return;
    auto reason = live.move ? live.move->reason : MoveReason::kBalance;
    live.move.reset();
    observer_->move_done(to_string(reason));
    log_info("coordinator", "replicas moved",
             {{"stream", stream->map.stream()}, {"shard", index}, {"reason", to_string(reason)}});
  };
  queue(stream, std::move(edit));
}

std::vector<BrokerInfo> Core::broker_infos() const {
  std::vector<BrokerInfo> out;
  const bool told = std::any_of(peers_.begin(), peers_.end(),
                                [](const auto& entry) { return entry.second.expected; });
  for (const auto& [id, peer] : peers_) {
    BrokerInfo info;
    info.id = id;
    info.directory = peer.info.directory();
    info.zone = peer.zone.empty() ? peer.info.zone() : peer.zone;
    auto session = sessions_.find(peer.session);
    bool stopping = session != sessions_.end() && session->second.stopping;
    info.alive = peer.info.alive() && !stopping;
    info.draining = peer.draining;
    info.expected_back = peer.expected || !told;
    out.push_back(std::move(info));
  }
  return out;
}

int Core::moves_in_flight() const {
  int count = 0;
  for (const auto& [id, stream] : streams_) {
    for (const auto& shard : stream.map.shards()) {
      auto live = stream.live.find(shard.index());
      bool planned = live != stream.live.end() && live->second.move;
      count += planned || is_joint(shard) || !shard.learners().empty() ? 1 : 0;
    }
  }
  return count;
}

// Nothing has happened for a while that balancing would only add to.
bool Core::calm() {
  if (now() - calm_since_ms_ < options_.steady_ms) return false;
  for (const auto& [id, stream] : streams_) {
    for (const auto& shard : stream.map.shards()) {
      // One that has lost its majority for good must not hold up the others.
      if (!shard.has_leader() && !is_joint(shard) && voters_reachable(shard)) return false;
    }
  }
  return true;
}

void Core::plan() {
  const int before = moves_in_flight();
  const int room = options_.moves_max - before;
  const bool propose = balancing_.propose;
  const bool balance =
      options_.rebalance && calm() && (propose || (!moves_paused_ && room > 0));
  const ShardSizes sizes = shard_sizes();
  const int balance_moves_max = !balance ? 0 : propose ? kProposedMovesMax : room;
  std::vector<Move> under_way;
  for (const auto& [id, stream] : streams_) {
    for (const auto& [index, live] : stream.live) {
      if (live.move) under_way.push_back(*live.move);
    }
  }
  MovePlan plan =
      plan_moves(maps(), broker_infos(), balance_moves_max, sizes, evens_bytes_, under_way);
  if (balance && before == 0 && !propose) evens_bytes_ = plan.evens_bytes;
  if (propose) hold_back(plan, balance);
  drain_blocked_ = std::move(plan.blocked);
  std::erase_if(plan.moves, [&](const Move& move) { return !can_move(move); });
  planned_moves_ = static_cast<int>(plan.moves.size());
  planned_bytes_ = 0;
  for (const auto& move : plan.moves) {
    auto size = sizes.find({move.stream_id, move.shard});
    if (move.add && size != sizes.end()) planned_bytes_ += size->second;
  }
  if (moves_paused_) return;
  int left = room;
  for (const auto& move : plan.moves) {
    if (left-- <= 0) break;
    begin_move(move);
  }
  if (balance && before == 0 && plan.moves.empty()) balance_leaders();
}

// Only a leader that is here can fill a newcomer.
bool Core::can_move(const Move& move) {
  const Stream* stream = find_stream_by_id(move.stream_id);
  const Shard* shard = stream ? find_shard_by_index(stream->map, move.shard) : nullptr;
  if (!shard) return false;
  const Replica* leader = leader_replica(*shard);
  if (leader && live_session(*leader)) return true;
  if (move.reason == MoveReason::kDrain && move.remove) {
    drain_blocked_[move.remove->broker()] =
        "shard " + std::to_string(move.shard) + " of stream '" + stream->name + "' has no leader";
  }
  return false;
}

void Core::begin_move(const Move& move) {
  Stream* stream = find_stream_by_id(move.stream_id);
  const Shard* shard = stream ? find_shard_by_index(stream->map, move.shard) : nullptr;
  if (!shard || !shard->has_leader()) return;
  Live& live = stream->live[move.shard];
  if (live.busy || live.transfer || live.move || !live.report) return;
  live.move = move;
  stream->dirty = true;
  something_changed_ = true;
  log_info("coordinator", "moving a replica",
           {{"stream", stream->map.stream()},
            {"shard", move.shard},
            {"to", move.add ? move.add->broker() : -1},
            {"from", move.remove ? move.remove->broker() : -1},
            {"reason", to_string(move.reason)}});
  if (!move.add) return;
  live.busy = true;
  Edit edit;
  edit.what = "add learner";
  edit.apply = [move](ShardMap& map) { return add_learner(map, move.shard, *move.add); };
  edit.done = [this, move](const Status& status) {
    Stream* stream = find_stream_by_id(move.stream_id);
    if (!stream) return;
    Live& live = stream->live[move.shard];
    live.busy = false;
    if (!status.ok()) live.move.reset();
  };
  queue(*stream, std::move(edit));
}

}  // namespace broker::coordination
