// The follower's side: join a leader's term, cut what it does not have, append, acknowledge.
#include <algorithm>

#include "broker/base/log.h"
#include "broker/replication/core/replica.h"

namespace broker::replication {
namespace {
bool same_process(uint64_t attach_id, uint64_t other) { return attach_id >> 32 == other >> 32; }
}  // namespace

void Replica::on_attach(BrokerId from, const Attach& message) {
  if (message.term < state_.term) {
    host_.send(from, AttachReply{state_.term, message.attach_id, false, {}, {}, {}});
    return;
  }
  if (message.term == state_.term && role_ == Role::kLeader) {
    log_error("replication", "a second leader in one term attaches to this one",
              {{"term", state_.term.value}, {"broker", from.value}});
    return;
  }
  // A repeat would undo what this attachment has agreed: a repeat of its first append could then cut
  // what was acknowledged since. Another process of the leader (which may resume its term where it is
  // the only voter) counts anew, and is not heard before the link to the one before has broken.
  if (message.term == state_.term && role_ == Role::kFollower && following_->leader == from &&
      !log_lost()) {
    const bool repeat = same_process(message.attach_id, following_->attach_id)
                            ? message.attach_id <= following_->attach_id
                            : !following_->link_broke;
    if (repeat) return;
  }
  if (message.term > state_.term) {
    state_.term = message.term;
    answer_pending_.reset();
    host_.persist(state_);
  }
  fenced_here_ = false;
  if (log_lost() && !emptied_) {
    if (Status status = host_.reset(Offset{0}); !status.ok()) {
      log_error("replication", "a damaged log cannot be emptied", {{"error", status.to_string()}});
      return;  // silent: it has nothing to say of this log
    }
    emptied_ = true;
    high_watermark_ = durable_log_start_ = Offset{0};
  }
  Following following;
  following.leader = from;
  following.attach_id = message.attach_id;
  bool changed = role_ != Role::kFollower || following_->leader != from;
  leading_.reset();
  following_ = following;
  if (changed) set_role(Role::kFollower);
  answer_attach();
}

void Replica::answer_attach() {
  // Rule 7: a head counts only once it is durable.
  if (following_->attach_answered || durable_.term != state_.term ||
      host_.durable_end() < host_.log_end()) {
    return;
  }
  following_->attach_answered = true;
  host_.send(following_->leader,
             AttachReply{state_.term, following_->attach_id, true, host_.log_start(),
                         host_.log_end(), host_.log_terms()});
}

void Replica::on_append(BrokerId from, Append message) {
  if (message.term < state_.term) {
    host_.send(from, AppendReply{state_.term, message.attach_id, {}, false, false});
    return;
  }
  bool known = role_ == Role::kFollower && following_->leader == from &&
               message.term == state_.term && following_->attach_id == message.attach_id;
  bool older = role_ == Role::kFollower && following_->leader == from &&
               (!same_process(message.attach_id, following_->attach_id) ||
                message.attach_id < following_->attach_id);
  if (older) return;
  if (!known || !following_->attach_answered) {
    host_.send(from, AppendReply{message.term, message.attach_id, {}, false, true});
    return;
  }
  if (message.first && !following_->synchronised) {
    if (Status status = cut(message); !status.ok()) {
      log_warn("replication", "the log cannot be cut to the leader's",
               {{"from", message.base.value}, {"error", status.to_string()}});
      acknowledge(true, status.code() == Code::kNoSpace);  // the leader tries again
      return;
    }
    following_->synchronised = true;
    following_->start_end = message.start_end;
    // What was committed by counting the copy that was lost: in an earlier term, so it is in the start
    // log; or in this one, so the leader, which has just learnt of the loss, knew it to be committed.
    if (log_lost() || tail_lost()) following_->start_end = std::max(message.start_end, message.high_watermark);
  }
  if (!following_->synchronised || message.base > host_.log_end()) {
    acknowledge(true);
    return;
  }
  std::vector<Batch> fresh;
  for (auto& batch : message.batches) {
    if (batch.header.end_offset() > host_.log_end()) fresh.push_back(std::move(batch));
  }
  if (!fresh.empty()) {
    if (fresh.front().header.base_offset != host_.log_end()) {
      acknowledge(true);
      return;
    }
    Status appended = host_.append(std::move(fresh));
    if (!appended.ok()) {
      acknowledge(true, appended.code() == Code::kNoSpace);  // the leader tries again in a while
      return;
    }
  }
  expose(message.high_watermark);
  Offset start = std::min(message.log_start, high_watermark_);
  if (start > host_.log_start()) host_.advance_log_start(start);
  adopt_if_complete();
  if (message.first || (assignment_.memory && counted_end() > following_->acknowledged)) {
    acknowledge(false);
  }
}

Status Replica::cut(const Append& message) {
  if (assignment_.memory && message.base < high_watermark_) {
    // A majority has stopped uncleanly, and nobody who could lead had these records.
    log_warn("replication", "committed records of a memory stream are lost",
             {{"from", message.base.value}, {"committed", high_watermark_.value}});
    high_watermark_ = message.base;
  }
  if (message.reset) return host_.reset(message.base);
  if (host_.log_end() <= message.base) return {};
  // Committed entries are on every later leader: cutting one would be a lost record.
  CHECK_GE(message.base, std::min(high_watermark_, host_.log_end()));
  return host_.truncate(message.base);
}

// The state goes to the log behind what it is about: what is only held is durable when it is.
void Replica::adopt_if_complete() {
  if (!following_->synchronised || counted_end() < following_->start_end ||
      (state_.adopted_term == state_.term && !tail_lost())) {
    return;
  }
  adopt();
}

void Replica::acknowledge(bool reattach, bool full) {
  if (!following_->attach_answered) return;
  if (!reattach && !following_->synchronised) return;
  bool adopted = durable_.adopted_term == state_.term && durable_.term == state_.term &&
                 !durable_.tail_lost;
  following_->acknowledged = counted_end();
  host_.send(following_->leader,
             AppendReply{state_.term, following_->attach_id, counted_end(), adopted, reattach,
                         durable_log_start_, full});
}

void Replica::expose(Offset leader_high_watermark) {
  following_->leader_high_watermark =
      std::max(following_->leader_high_watermark, leader_high_watermark);
  advance_high_watermark(std::min(following_->leader_high_watermark, host_.log_end()));
}

}  // namespace broker::replication
