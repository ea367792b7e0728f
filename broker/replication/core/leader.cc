// The leader's side: who follows, how far, and what is therefore committed.
#include <algorithm>

#include "broker/base/log.h"
#include "broker/replication/core/quorum.h"
#include "broker/replication/core/replica.h"

namespace broker::replication {
namespace {
// Before a follower that has taken nothing is attached again: doubled each time.
constexpr int64_t kAttachPauseMs = 50, kAttachPauseMsMax = 2000;
}  // namespace

// Followers by broker. Where the maps name two incarnations of one broker's directory (a lost one
// is being replaced) the one whose link is up is meant; the other can never answer.
void Replica::update_members() {
  std::map<BrokerId, Progress> peers;
  for (const auto* members :
       {&assignment_.voters, &assignment_.next_voters, &assignment_.learners}) {
    for (const Member& member : *members) {
      if (member.broker == self_) continue;
      auto link = links_up_.find(member.broker);
      const bool linked = link != links_up_.end() && link->second == member;
      auto chosen = peers.find(member.broker);
      if (chosen != peers.end() && (chosen->second.member == member || !linked)) continue;
      auto known = leading_->peers.find(member.broker);
      if (known != leading_->peers.end() && known->second.member == member) {
        peers.insert_or_assign(member.broker, std::move(known->second));
        continue;
      }
      Progress fresh;
      fresh.member = member;
      fresh.up = linked;
      peers.insert_or_assign(member.broker, std::move(fresh));
    }
  }
  leading_->peers = std::move(peers);
}

// What was under way to it no longer counts.
void Replica::detach(Progress& peer) {
  peer.stage = Progress::kDetached;
  peer.inflight.clear();
  peer.inflight_bytes = 0;
  peer.caught_up = false;
}

void Replica::attach(Progress& peer, int64_t now_ms) {
  detach(peer);
  peer.stage = Progress::kAttaching;
  peer.attach_id = next_attach_id_++;
  peer.attach_sent_ms = now_ms;
  peer.told_high_watermark = peer.told_log_start = Offset{-1};
  host_.send(peer.member.broker, Attach{state_.term, peer.attach_id});
  host_.want_tick();
}

void Replica::step_down(Term seen) {
  log_info("replication", "stepping down: a newer term exists",
           {{"term", state_.term.value}, {"seen", seen.value}});
  set_role(Role::kFenced);
}

void Replica::on_attach_reply(Progress& peer, const AttachReply& reply, int64_t now_ms) {
  if (reply.term > state_.term) {
    step_down(reply.term);
    return;
  }
  if (reply.attach_id != peer.attach_id || peer.stage != Progress::kAttaching) return;
  if (!reply.accepted) {
    detach(peer);  // the tick tries again
    return;
  }
  // A majority's log starts there: deleted is deleted. Only what is committed is ever deleted.
  if (Offset start = std::min(reply.log_start, host_.log_end()); start > host_.log_start()) {
    advance_high_watermark(start);
    host_.advance_log_start(start);
  }
  Offset common =
      common_end(host_.log_terms(), host_.log_end(), reply.terms, reply.log_end);
  peer.reset_pending = common < host_.log_start() || common < reply.log_start;
  if (peer.reset_pending) {
    auto base = first_base();
    if (!base.ok()) {
      detach(peer);  // unreadable here, for now
      return;
    }
    common = *base;
  }
  peer.next = common;
  if (peer.durable_end > common) {
    // Legitimate only for a peer whose known durable end was of an earlier attachment's repeat.
    log_error("replication", "a follower has less than it had acknowledged",
              {{"broker", peer.member.broker.value},
               {"acknowledged", peer.durable_end.value},
               {"has", common.value}});
    peer.durable_end = common;
    peer.adopted = false;
  }
  peer.first_pending = true;
  peer.stage = Progress::kReplicating;
  check_contact(now_ms);
  replicate(peer);
}

void Replica::on_append_reply(Progress& peer, const AppendReply& reply, int64_t now_ms) {
  if (reply.term > state_.term) {
    step_down(reply.term);
    return;
  }
  if (reply.attach_id != peer.attach_id || peer.stage != Progress::kReplicating) return;
  if (reply.reattach) {
    // The tick attaches again. Not in a tight loop: one that can take nothing (its disk is full)
    // would be sent the same appends over and over.
    detach(peer);
    peer.full = reply.full;
    peer.attach_after_ms = now_ms + peer.attach_pause_ms;
    peer.attach_pause_ms =
        std::clamp(2 * peer.attach_pause_ms, kAttachPauseMs, kAttachPauseMsMax);
    update_view();
    host_.want_tick();
    return;
  }
  if (reply.durable_end > peer.durable_end || reply.durable_end >= host_.log_end()) {
    peer.attach_pause_ms = 0;
    peer.full = false;
  }
  peer.durable_end = std::max(peer.durable_end, reply.durable_end);
  peer.adopted = peer.adopted || reply.adopted;
  while (!peer.inflight.empty() && peer.inflight.front().end <= reply.durable_end) {
    peer.inflight_bytes -= peer.inflight.front().bytes;
    peer.inflight.pop_front();
  }
  peer.log_start = std::max(peer.log_start, reply.log_start);
  recompute_commit();
  recompute_log_start();
  replicate(peer);
  check_transfer(now_ms);
}

void Replica::on_appended(size_t bytes) {
  if (role_ != Role::kLeader) return;
  leading_->uncommitted_bytes += bytes;
  leading_->uncommitted.emplace_back(host_.log_end(), bytes);
  replicate_all();
  if (assignment_.memory) recompute_commit();
}

// Where a log that is sent whole begins: records may be deleted up to the middle of a batch.
Result<Offset> Replica::first_base() {
  if (host_.log_start() == host_.log_end()) return host_.log_start();
  ASSIGN_OR_RETURN(auto batches, host_.read(host_.log_start(), 1));
  if (batches.empty()) return Status(Code::kCorruption, "no batch at the log start");
  return batches.front().header.base_offset;
}

void Replica::replicate_all() {
  for (auto& [id, peer] : leading_->peers) replicate(peer);
}

// A member that is an ensemble of its own resumes its term after a restart: what it sends must not
// be lost by one. Everybody else waits for a new term, and sends before its own disk is done.
Offset Replica::sendable_end() const {
  auto alone = [this](const std::vector<Member>& members) {
    return members.size() == 1 && members[0].broker == self_;
  };
  bool sole = alone(assignment_.voters) || alone(assignment_.next_voters);
  return sole ? host_.durable_end() : host_.log_end();
}

// How many of the members reach what is committed, this one among them.
bool Replica::has_quorum_in_sync(const std::vector<Member>& members) const {
  size_t in_sync = 0;
  for (const Member& member : members) {
    auto peer = leading_->peers.find(member.broker);
    in_sync += member.broker == self_ || (peer != leading_->peers.end() &&
                                          peer->second.member == member && peer->second.caught_up);
  }
  return in_sync >= quorum_size(members.size(), assignment_.min_insync);
}

// Old records must not be in the way of new ones, unless producers wait for just that.
Urgency Replica::urgency_of(const Progress& peer) const {
  if (peer.caught_up) return Urgency::kLive;
  for (const auto* members : {&assignment_.voters, &assignment_.next_voters}) {
    if (std::find(members->begin(), members->end(), peer.member) == members->end()) continue;
    if (!leading_->committed || peer.next >= high_watermark_ || !has_quorum_in_sync(*members)) {
      return Urgency::kLive;
    }
  }
  return Urgency::kCatchUp;
}

void Replica::on_turn(BrokerId peer) {
  if (role_ != Role::kLeader) return;
  if (auto it = leading_->peers.find(peer); it != leading_->peers.end()) replicate(it->second);
}

void Replica::replicate(Progress& peer) {
  const Offset end = sendable_end();
  while (peer.stage == Progress::kReplicating && (peer.first_pending || peer.next < end) &&
         peer.inflight_bytes < options_.inflight_bytes_max) {
    if (peer.next >= end) {
      send_append(peer, {});
      return;
    }
    const Urgency urgency = urgency_of(peer);
    if (!host_.may_send(peer.member.broker, urgency)) return;
    auto read = host_.read_for(peer.member.broker, std::max(peer.next, host_.log_start()),
                               options_.append_bytes_max);
    if (read.ok() && !*read) return;
    Result<std::vector<Batch>> batches = read.ok() ? Result(std::move(**read)) : read.status();
    if (!batches.ok() || batches->empty() ||
        batches->front().header.base_offset != peer.next) {
      // Deleted meanwhile (attaching again finds the new start), or unreadable here.
      log_warn("replication", "cannot read for a follower",
               {{"broker", peer.member.broker.value},
                {"offset", peer.next.value},
                {"error", batches.status().to_string()}});
      detach(peer);
      host_.want_tick();
      return;
    }
    while (!batches->empty() && batches->back().header.end_offset() > end) batches->pop_back();
    if (batches->empty()) return;
    send_append(peer, std::move(*batches), urgency);
  }
}

void Replica::send_append(Progress& peer, std::vector<Batch> batches, Urgency urgency) {
  Append append{state_.term, peer.attach_id, peer.first_pending, peer.reset_pending, peer.next,
                leading_->start_end, high_watermark_, host_.log_start(), {}};
  peer.first_pending = peer.reset_pending = false;
  peer.told_high_watermark = high_watermark_;
  peer.told_log_start = host_.log_start();
  if (!batches.empty()) {
    size_t bytes = 0;
    for (const auto& batch : batches) bytes += batch.bytes.size();
    peer.next = batches.back().header.end_offset();
    peer.inflight.push_back(
        {peer.next, bytes, host_.take_credit(peer.member.broker, urgency, bytes)});
    peer.inflight_bytes += bytes;
    append.batches = std::move(batches);
  }
  host_.send(peer.member.broker, std::move(append));
}

Offset Replica::ensemble_end(const std::vector<Member>& members) const {
  std::vector<Offset> ends;
  for (const Member& member : members) {
    if (member.broker == self_) {
      ends.push_back(leading_->self_adopted ? counted_end() : Offset{-1});
      continue;
    }
    auto peer = leading_->peers.find(member.broker);
    bool counts = peer != leading_->peers.end() && peer->second.member == member &&
                  peer->second.adopted;
    ends.push_back(counts ? peer->second.durable_end : Offset{-1});
  }
  return committed_end(std::move(ends), assignment_.min_insync);
}

Status Replica::delete_before(Offset before) {
  RETURN_IF_ERROR(may_read_latest());
  if (before > high_watermark_) {
    return Status(Code::kOutOfRange, "offset " + std::to_string(before.value) +
                                         " is above the high watermark " +
                                         std::to_string(high_watermark_.value));
  }
  if (before <= host_.log_start()) return {};
  host_.advance_log_start(before);
  if (host_.log_start() < before) return Status(Code::kNoSpace, "the log cannot record a deletion");
  on_log_start_moved();
  return {};
}

void Replica::on_log_start_moved() {
  if (role_ != Role::kLeader) return;
  for (auto& [id, peer] : leading_->peers) {
    if (peer.stage == Progress::kReplicating && !peer.first_pending) send_append(peer, {});
  }
  host_.want_tick();
}

// A majority's log starts: any later leader hears one of them before it can commit, and follows.
Offset Replica::ensemble_log_start(const std::vector<Member>& members) const {
  std::vector<Offset> starts;
  for (const Member& member : members) {
    if (member.broker == self_) {
      starts.push_back(durable_log_start_);
      continue;
    }
    auto peer = leading_->peers.find(member.broker);
    bool known = peer != leading_->peers.end() && peer->second.member == member;
    starts.push_back(known ? peer->second.log_start : Offset{-1});
  }
  return committed_end(std::move(starts), 0);
}

void Replica::recompute_log_start() {
  Offset start = ensemble_log_start(assignment_.voters);
  if (!assignment_.next_voters.empty()) {
    start = std::min(start, ensemble_log_start(assignment_.next_voters));
  }
  if (start <= leading_->log_start) return;
  leading_->log_start = start;
  host_.log_start_committed(start);
}

void Replica::recompute_commit() {
  Offset end = ensemble_end(assignment_.voters);
  if (!assignment_.next_voters.empty()) {
    end = std::min(end, ensemble_end(assignment_.next_voters));
  }
  if (end >= leading_->start_end) {
    leading_->committed = true;
    advance_high_watermark(end);
    while (!leading_->uncommitted.empty() && leading_->uncommitted.front().first <= end) {
      leading_->uncommitted_bytes -= leading_->uncommitted.front().second;
      leading_->uncommitted.pop_front();
    }
    host_.want_tick();
  }
  for (auto& [id, peer] : leading_->peers) {
    if (peer.stage == Progress::kReplicating && peer.adopted &&
        peer.durable_end >= high_watermark_) {
      peer.caught_up = true;
    }
  }
  update_view();
  tell_if_transfer_is_complete();
}

void Replica::update_view() {
  LeaderView view;
  view.term = state_.term;
  view.committed = leading_->committed;
  auto is_learner = [&](const Member& member) {
    return std::find(assignment_.learners.begin(), assignment_.learners.end(), member) !=
           assignment_.learners.end();
  };
  view.in_sync.push_back(self_);
  for (const auto& [id, peer] : leading_->peers) {
    if (!peer.caught_up) continue;
    (is_learner(peer.member) ? view.caught_up : view.in_sync).push_back(id);
  }
  std::sort(view.in_sync.begin(), view.in_sync.end());
  if (view == leading_->view) return;
  leading_->view = view;
  host_.leader_view_changed(view);
}

bool Replica::in_contact() const {
  for (const auto* members : {&assignment_.voters, &assignment_.next_voters}) {
    if (members->empty()) continue;
    size_t reached = 0;
    for (const Member& member : *members) {
      auto peer = leading_->peers.find(member.broker);
      bool here = member.broker == self_;
      bool there = peer != leading_->peers.end() && peer->second.member == member &&
                   peer->second.up &&
                   peer->second.stage == Progress::kReplicating;
      reached += here || there;
    }
    if (reached < quorum_size(members->size(), 0)) return false;
  }
  return true;
}

void Replica::check_contact(int64_t now_ms) {
  if (in_contact()) {
    leading_->out_of_contact_since_ms = -1;
    leading_->isolated = false;
    return;
  }
  if (leading_->out_of_contact_since_ms < 0) leading_->out_of_contact_since_ms = now_ms;
  leading_->isolated = now_ms - leading_->out_of_contact_since_ms >= options_.contact_ms;
  host_.want_tick();
}

bool Replica::has_quorum_with_space() const {
  for (const auto* members : {&assignment_.voters, &assignment_.next_voters}) {
    if (members->empty()) continue;
    size_t with_space = 0;
    for (const Member& member : *members) {
      auto peer = leading_->peers.find(member.broker);
      bool full = peer != leading_->peers.end() && peer->second.member == member &&
                  peer->second.full;
      with_space += member.broker == self_ || !full;
    }
    if (with_space < quorum_size(members->size(), assignment_.min_insync)) return false;
  }
  return true;
}

Status Replica::may_append(size_t bytes) const {
  if (role_ != Role::kLeader) return Status(Code::kNotLeader, "this broker is not the leader");
  if (leading_->isolated) {
    return Status(Code::kUnavailable, "the leader has lost contact with a majority of replicas");
  }
  if (leading_->transfer_target) return Status(Code::kNotLeader, "leadership is moving");
  if (!has_quorum_with_space()) {
    return Status(Code::kNoSpace, "the disks of too many replicas are full: none is left whose copy "
                                  "would commit the record");
  }
  if (leading_->uncommitted_bytes > 0 &&
      leading_->uncommitted_bytes + bytes > options_.uncommitted_bytes_max) {
    return Status(Code::kResourceExhausted, "too many bytes wait to be committed");
  }
  return {};
}

Status Replica::may_read_latest() const {
  if (role_ != Role::kLeader) return Status(Code::kNotLeader, "this broker is not the leader");
  if (!leading_->committed) {
    return Status(Code::kUnavailable, "the new leader does not know yet what is committed");
  }
  if (leading_->isolated) {
    return Status(Code::kUnavailable, "the leader has lost contact with a majority of replicas");
  }
  return {};
}

void Replica::prepare_transfer(Term term, BrokerId target, int64_t now_ms) {
  bool possible = role_ == Role::kLeader && term == state_.term &&
                  leading_->peers.contains(target) && leading_->peers[target].up;
  if (!possible) {
    host_.transfer_ready(term, target, false);
    return;
  }
  leading_->transfer_target = target;
  leading_->transfer_deadline_ms = now_ms + options_.transfer_ms;
  leading_->transfer_told = false;
  host_.want_tick();
  check_transfer(now_ms);
}

void Replica::check_transfer(int64_t now_ms) {
  if (role_ != Role::kLeader || !leading_->transfer_target) return;
  BrokerId target = *leading_->transfer_target;
  auto peer = leading_->peers.find(target);
  bool gone = peer == leading_->peers.end() || !peer->second.up;
  if (gone || now_ms >= leading_->transfer_deadline_ms) {
    leading_->transfer_target.reset();
    if (!leading_->transfer_told) host_.transfer_ready(state_.term, target, false);
    return;
  }
  tell_if_transfer_is_complete();
}

// All that was appended is committed, so that nobody who waits for it has to be told that his record
// may or may not be stored.
void Replica::tell_if_transfer_is_complete() {
  if (!leading_->transfer_target || leading_->transfer_told) return;
  BrokerId target = *leading_->transfer_target;
  auto peer = leading_->peers.find(target);
  if (peer == leading_->peers.end() || !peer->second.up || !peer->second.adopted ||
      peer->second.durable_end != host_.log_end() || !leading_->committed ||
      high_watermark_ != host_.log_end()) {
    return;
  }
  leading_->transfer_told = true;
  host_.transfer_ready(state_.term, target, true);
}

}  // namespace broker::replication
