#include "broker/replication/core/replica.h"

#include <algorithm>

#include "broker/base/log.h"

namespace broker::replication {

std::string_view to_string(Role role) {
  switch (role) {
    case Role::kIdle: return "idle";
    case Role::kFenced: return "fenced";
    case Role::kFollower: return "follower";
    case Role::kLeader: return "leader";
  }
  return "?";
}

Replica::Replica(BrokerId self, Host& host, ReplicaOptions options, ReplicaState recovered,
                 Offset known_committed)
    : self_(self),
      host_(host),
      options_(options),
      state_(recovered),
      durable_(recovered),
      high_watermark_(known_committed),
      durable_log_start_(known_committed),
      next_attach_id_(uint64_t{options.process} << 32 | 1) {}

std::optional<BrokerId> Replica::leader() const {
  if (role_ == Role::kLeader) return self_;
  if (role_ == Role::kFollower) return following_->leader;
  if (assignment_.term >= state_.term && assignment_.leader != self_) return assignment_.leader;
  return std::nullopt;
}

void Replica::set_role(Role role) {
  if (role != Role::kLeader) leading_.reset();
  if (role != Role::kFollower) following_.reset();
  role_ = role;
  host_.role_changed(role, state_.term);
}

void Replica::on_assignment(const Assignment& assignment, int64_t now_ms) {
  if (assignment.term < assignment_.term) return;  // old news
  assignment_ = assignment;
  if (assignment.term > state_.term) {
    // A newer term has a leader: this one's is over, even if NewTerm did not reach us.
    if (role_ == Role::kLeader && assignment.leader && *assignment.leader != self_) {
      step_down(assignment.term);
    }
    return;
  }
  if (assignment.term < state_.term) return;
  if (role_ == Role::kLeader) {
    update_members();
    for (auto& [id, peer] : leading_->peers) {
      bool detached = peer.up && peer.stage == Progress::kDetached;
      if (detached && now_ms >= peer.attach_after_ms) attach(peer, now_ms);
    }
    recompute_commit();
    recompute_log_start();
    return;
  }
  if (assignment.leader != self_) return;
  bool sole = assignment.voters.size() == 1 && assignment.voters[0].broker == self_ &&
              assignment.next_voters.empty();
  bool elected = role_ == Role::kFenced && fenced_here_ && !answer_pending_;
  bool resumes = role_ == Role::kIdle && sole && !log_lost() && !tail_lost();
  if (elected || resumes) become_leader(now_ms);
}

Offset Replica::counted_end() const {
  return assignment_.memory ? host_.held_end() : host_.durable_end();
}

void Replica::adopt() {
  state_.adopted_term = state_.term;
  state_.tail_lost = false;
  host_.persist(state_);
}

void Replica::become_leader(int64_t now_ms) {
  fenced_here_ = false;
  leading_.emplace();
  following_.reset();
  leading_->start_end = host_.log_end();
  leading_->out_of_contact_since_ms = now_ms;
  if (state_.adopted_term == state_.term && durable_ == state_) {
    leading_->self_adopted = true;  // the only member, back after a restart
  } else {
    adopt();
  }
  role_ = Role::kLeader;
  update_members();
  host_.role_changed(role_, state_.term);
  for (auto& [id, peer] : leading_->peers) {
    if (peer.up) attach(peer, now_ms);
  }
  recompute_commit();
  recompute_log_start();
  host_.want_tick();
}

void Replica::refuse_new_term(Term asked) {
  host_.answer_new_term({asked, false, state_.term, state_.adopted_term, host_.log_end(),
                         state_.tail_lost});
}

void Replica::lose_tail() {
  CHECK(role_ == Role::kIdle);
  if (log_lost() || tail_lost()) return;
  state_.tail_lost = true;
  host_.persist(state_);
}

void Replica::lose_log() {
  if (role_ == Role::kFollower) acknowledge(true);
  emptied_ = false;
  fenced_here_ = false;
  answer_pending_.reset();
  if (role_ != Role::kIdle) set_role(Role::kIdle);
  if (log_lost()) return;
  state_.adopted_term = kLogLost;
  state_.tail_lost = false;
  host_.persist(state_);
}

void Replica::on_new_term(Term term) {
  if (log_lost()) return;  // the broker answers that it cannot vote
  if (term < state_.term || (term == state_.term && state_.adopted_term == term)) {
    refuse_new_term(term);
    return;
  }
  if (term > state_.term) {
    state_.term = term;
    fenced_here_ = true;
    answer_pending_ = term;
    set_role(Role::kFenced);
    host_.persist(state_);
    return;
  }
  // The same term, not adopted: asked again, or asked before a restart.
  if (role_ == Role::kFollower) {
    refuse_new_term(term);  // its leader exists already
    return;
  }
  if (role_ == Role::kIdle) set_role(Role::kFenced);
  fenced_here_ = true;
  answer_pending_ = term;
  maybe_answer_new_term();
}

void Replica::maybe_answer_new_term() {
  if (!answer_pending_ || durable_ != state_ || host_.durable_end() < host_.log_end()) return;
  Term asked = *answer_pending_;
  answer_pending_.reset();
  host_.answer_new_term({asked, true, state_.term, state_.adopted_term, host_.log_end(),
                         state_.tail_lost});
}

void Replica::on_persisted(const ReplicaState& state) {
  durable_ = state;
  maybe_answer_new_term();
  if (role_ == Role::kLeader && !leading_->self_adopted &&
      durable_.adopted_term == state_.term) {
    leading_->self_adopted = true;
    recompute_commit();
  }
  if (role_ == Role::kFollower) {
    answer_attach();
    if (durable_.adopted_term == state_.term) acknowledge(false);
  }
}

void Replica::on_durable() {
  maybe_answer_new_term();
  if (role_ == Role::kLeader) {
    recompute_commit();
    replicate_all();
  }
  if (role_ == Role::kFollower) {
    answer_attach();
    adopt_if_complete();
    if (counted_end() > following_->acknowledged) acknowledge(false);
  }
}

void Replica::on_log_start_durable(Offset log_start) {
  durable_log_start_ = std::max(durable_log_start_, log_start);
  if (role_ == Role::kLeader) recompute_log_start();
  if (role_ == Role::kFollower) acknowledge(false);
}

void Replica::on_message(BrokerId from, Message message, int64_t now_ms) {
  if (auto* attach_message = std::get_if<Attach>(&message)) {
    on_attach(from, *attach_message);
    return;
  }
  if (auto* append = std::get_if<Append>(&message)) {
    on_append(from, std::move(*append));
    return;
  }
  if (role_ != Role::kLeader) return;
  auto peer = leading_->peers.find(from);
  if (peer == leading_->peers.end()) return;
  if (auto* reply = std::get_if<AttachReply>(&message)) {
    on_attach_reply(peer->second, *reply, now_ms);
  } else if (auto* reply = std::get_if<AppendReply>(&message)) {
    on_append_reply(peer->second, *reply, now_ms);
  }
}

void Replica::on_peer(const Member& peer, bool up, int64_t now_ms) {
  if (up) {
    links_up_[peer.broker] = peer;
  } else {
    links_up_.erase(peer.broker);
  }
  if (role_ == Role::kFollower && following_->leader == peer.broker) following_->link_broke = true;
  if (role_ != Role::kLeader) return;
  update_members();
  auto it = leading_->peers.find(peer.broker);
  if (it == leading_->peers.end()) return;
  Progress& progress = it->second;
  progress.up = up && progress.member == peer;
  if (progress.up) {
    attach(progress, now_ms);
  } else {
    detach(progress);
    update_view();
    replicate_all();  // producers may wait for somebody else now
  }
  check_contact(now_ms);
}

void Replica::advance_high_watermark(Offset to) {
  if (to <= high_watermark_) return;
  high_watermark_ = to;
  host_.high_watermark_advanced(to);
}

bool Replica::tick(int64_t now_ms) {
  if (role_ != Role::kLeader) return false;
  bool again = false;
  for (auto& [id, peer] : leading_->peers) {
    if (!peer.up) continue;
    bool waiting = (peer.stage == Progress::kDetached && now_ms >= peer.attach_after_ms) ||
                   (peer.stage == Progress::kAttaching &&
                    now_ms - peer.attach_sent_ms >= options_.attach_retry_ms);
    if (waiting) attach(peer, now_ms);
    if (peer.stage != Progress::kReplicating) {
      again = true;
    } else if (peer.told_high_watermark < high_watermark_ ||
               peer.told_log_start < host_.log_start()) {
      send_append(peer, {});
    }
  }
  check_contact(now_ms);
  check_transfer(now_ms);
  return again || leading_->out_of_contact_since_ms >= 0 || leading_->transfer_target;
}

}  // namespace broker::replication
