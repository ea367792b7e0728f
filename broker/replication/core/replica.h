#pragma once
// One replica of one shard: the replication protocol (../README.md) as a state machine. It does no
// I/O and reads no clock: inputs are its methods, outputs go to Host, on one thread. Called by
// broker/partition and by the simulator. Invariant: nothing below the high watermark is ever cut, but
// of a memory stream whose majority has stopped uncleanly.
#include <deque>
#include <map>
#include <optional>

#include "broker/model/shard.h"
#include "broker/replication/core/flow.h"
#include "broker/replication/core/messages.h"

namespace broker::replication {

// A replica's durable state beside its log.
struct ReplicaState {
  Term term = kNoTerm;
  Term adopted_term = kNoTerm;
  // It acknowledges what it has in memory and was not stopped cleanly (design.md, rule 6): its log
  // may lack an end that it has acknowledged. It counts for nothing until it has from a leader all
  // that can have been committed with its help; then it adopts that leader's term like any other.
  bool tail_lost = false;
  bool operator==(const ReplicaState&) const = default;
};

// The adopted term of a replica whose log was found damaged (design.md, rule 6). It votes for nobody,
// leads nothing and counts for nothing until it has fetched again, from a leader, all that can have
// been committed with its help: then it adopts that leader's term like any other.
inline constexpr Term kLogLost{-2};

struct Member {
  BrokerId broker;
  Uuid directory;
  auto operator<=>(const Member&) const = default;
};

// What the ShardMap says of this shard.
struct Assignment {
  Term term = kNoTerm;
  std::optional<BrokerId> leader;
  std::vector<Member> voters;
  std::vector<Member> next_voters;  // not empty while membership changes
  std::vector<Member> learners;
  int min_insync = 0;
  bool memory = false;  // of DURABILITY_MEMORY: a record counts where it is in memory, not only where it is fsynced
};

enum class Role {
  kIdle,      // recovered or new: waits for NewTerm or Attach
  kFenced,    // answered NewTerm: serves nothing
  kFollower,
  kLeader,
};
std::string_view to_string(Role role);

struct HeadAnswer {
  Term asked;
  bool accepted = false;
  Term current;
  Term adopted;
  Offset end;
  bool tail_lost = false;
};

// A leader's view, for the coordinator; sent when it changes.
struct LeaderView {
  Term term;
  bool committed = false;
  std::vector<BrokerId> in_sync;    // voters that have adopted the term and reach the high watermark
  std::vector<BrokerId> caught_up;  // learners as far as the high watermark
  bool operator==(const LeaderView&) const = default;
};

struct ReplicaOptions {
  // Names this process among those of its broker: drawn at random. Attachments are counted within it.
  uint32_t process = 0;
  size_t append_bytes_max = 1 << 20;          // of one Append
  size_t inflight_bytes_max = 8 << 20;        // unacknowledged, per follower
  size_t uncommitted_bytes_max = 64 << 20;
  int64_t contact_ms = 2000;
  int64_t attach_retry_ms = 500;
  int64_t transfer_ms = 3000;
};

// What a replica acts through. Log operations take effect in memory at once and become durable
// later, in order; the host then calls on_persisted / on_durable.
class Host {
 public:
  virtual ~Host() = default;
  virtual Offset log_start() const = 0;
  virtual Offset log_end() const = 0;
  virtual Offset durable_end() const = 0;
  // Assignment::memory: what this replica may acknowledge, in [durable_end, log_end].
  virtual Offset held_end() const = 0;
  virtual std::vector<TermStart> log_terms() const = 0;
  // Whole batches from `from`, about `bytes_max` (at least one batch when there is any).
  virtual Result<std::vector<Batch>> read(Offset from, size_t bytes_max) = 0;
  // The same for a follower, without waiting for the disk: none while it does. Replica::on_turn follows.
  virtual Result<std::optional<std::vector<Batch>>> read_for(BrokerId to, Offset from,
                                                             size_t bytes_max) = 0;

  // Follower: the leader's batches. An error (disk full, unreadable) means that nothing was done: the
  // log is as it was, and must not be exposed as the leader's.
  virtual Status append(std::vector<Batch> batches) = 0;
  virtual Status truncate(Offset end) = 0;
  virtual Status reset(Offset start) = 0;
  virtual void advance_log_start(Offset start) = 0;     // older records are deleted
  virtual void persist(ReplicaState state) = 0;

  virtual void send(BrokerId to, Message message) = 0;
  // Whether an append with batches may go to `to` now (flow.h). When not, Replica::on_turn follows.
  virtual bool may_send(BrokerId to, Urgency urgency) = 0;
  // It goes: its bytes are under way until the credit is given back.
  virtual Flow::Credit take_credit(BrokerId to, Urgency urgency, size_t bytes) = 0;
  virtual void answer_new_term(const HeadAnswer& answer) = 0;
  virtual void role_changed(Role role, Term term) = 0;
  virtual void high_watermark_advanced(Offset high_watermark) = 0;
  // Leader: every later leader begins its log at `log_start` or above.
  virtual void log_start_committed(Offset log_start) = 0;
  virtual void leader_view_changed(const LeaderView& view) = 0;
  virtual void transfer_ready(Term term, BrokerId target, bool ready) = 0;
  virtual void want_tick() = 0;  // call tick() within the next 100 ms or so
};

class Replica {
 public:
  // `recovered`: the durable state found at start; `known_committed`: what is known to be committed
  // (0, or the log start).
  Replica(BrokerId self, Host& host, ReplicaOptions options, ReplicaState recovered,
          Offset known_committed);

  // Inputs.
  void on_assignment(const Assignment& assignment, int64_t now_ms);
  void on_new_term(Term term);
  void on_message(BrokerId from, Message message, int64_t now_ms);
  void on_persisted(const ReplicaState& state);
  void on_durable();    // durable_end has advanced
  void on_appended(size_t bytes);  // leader: the host appended at its log's end
  // The log start that the host was asked for, or moved itself, is durable.
  void on_log_start_durable(Offset log_start);
  // Leader: the host moved its log's start (retention); followers are told.
  void on_log_start_moved();
  // Leader: drops the records below `before`, which is committed. Host::log_start_committed follows.
  Status delete_before(Offset before);
  // A peer's link came up (with the directory that it has) or went down.
  void on_peer(const Member& peer, bool up, int64_t now_ms);
  // Leader: an append that had to wait may go to this peer now.
  void on_turn(BrokerId peer);
  void prepare_transfer(Term term, BrokerId target, int64_t now_ms);
  // Its log is damaged: kLogLost. What it has is dropped when a leader attaches, not before.
  void lose_log();
  // The replica of a memory stream, recovered after an unclean stop. Called first of all.
  void lose_tail();
  // True while it wants another tick.
  bool tick(int64_t now_ms);

  // State.
  Role role() const { return role_; }
  Term term() const { return state_.term; }
  Term adopted_term() const { return state_.adopted_term; }
  bool log_lost() const { return state_.adopted_term == kLogLost; }
  bool tail_lost() const { return state_.tail_lost; }
  std::optional<BrokerId> leader() const;
  Offset high_watermark() const { return high_watermark_; }
  // Leader: every later leader's log begins here or above. -1: not known yet.
  Offset committed_log_start() const { return leading_ ? leading_->log_start : Offset{-1}; }
  // Leader whose start log is committed: its high watermark is the truth.
  bool committed() const { return role_ == Role::kLeader && leading_->committed; }
  // Whether an append may be made now: leader, in contact, not transferring, tail bounded.
  Status may_append(size_t bytes) const;
  // Whether "latest" may be answered now.
  Status may_read_latest() const;
  // Records beyond `high_watermark` may exist but are not known to be committed.
  const Assignment& assignment() const { return assignment_; }

 private:
  struct InFlight {
    Offset end;
    size_t bytes = 0;
    Flow::Credit credit;
  };
  struct Progress {
    Member member;
    bool up = false;
    enum { kDetached, kAttaching, kReplicating } stage = kDetached;
    uint64_t attach_id = 0;
    int64_t attach_sent_ms = 0;
    bool first_pending = false;  // the next append cuts the follower's log
    bool reset_pending = false;
    Offset next;
    Offset durable_end{-1};
    bool adopted = false;
    bool caught_up = false;  // has once reached the high watermark in this attachment
    Offset told_high_watermark{-1}, told_log_start{-1};
    Offset log_start{-1};  // durably
    size_t inflight_bytes = 0;
    std::deque<InFlight> inflight;
    int64_t attach_pause_ms = 0;  // it asked to be attached again and has taken nothing since
    int64_t attach_after_ms = 0;
    bool full = false;  // its disk: it has refused an append and taken none since
  };
  struct Leading {
    Offset start_end;
    bool self_adopted = false;
    bool committed = false;
    Offset log_start{-1};  // committed
    std::map<BrokerId, Progress> peers;
    int64_t out_of_contact_since_ms = -1;
    bool isolated = false;
    std::optional<BrokerId> transfer_target;
    int64_t transfer_deadline_ms = 0;
    bool transfer_told = false;
    LeaderView view;
    size_t uncommitted_bytes = 0;
    std::deque<std::pair<Offset, size_t>> uncommitted;
  };
  struct Following {
    BrokerId leader;
    uint64_t attach_id = 0;
    bool attach_answered = false;
    bool link_broke = false;    // since the attachment: the next one may come from another process
    bool synchronised = false;  // the first append of this attachment has come
    Offset start_end;
    Offset leader_high_watermark{-1};
    Offset acknowledged{-1};
  };

  // replica.cc
  void set_role(Role role);
  void maybe_answer_new_term();
  void refuse_new_term(Term asked);
  void become_leader(int64_t now_ms);
  void advance_high_watermark(Offset to);
  void adopt();
  // As far as this replica's word goes: fsynced, or for a memory stream held.
  Offset counted_end() const;
  // leader.cc
  void update_members();
  void attach(Progress& peer, int64_t now_ms);
  void detach(Progress& peer);
  void on_attach_reply(Progress& peer, const AttachReply& reply, int64_t now_ms);
  void on_append_reply(Progress& peer, const AppendReply& reply, int64_t now_ms);
  void replicate(Progress& peer);
  Result<Offset> first_base();
  Offset sendable_end() const;
  void replicate_all();
  Urgency urgency_of(const Progress& peer) const;
  bool has_quorum_in_sync(const std::vector<Member>& members) const;
  bool has_quorum_with_space() const;
  void send_append(Progress& peer, std::vector<Batch> batches, Urgency urgency = Urgency::kLive);
  void recompute_commit();
  Offset ensemble_end(const std::vector<Member>& members) const;
  void recompute_log_start();
  Offset ensemble_log_start(const std::vector<Member>& members) const;
  void check_contact(int64_t now_ms);
  bool in_contact() const;
  void check_transfer(int64_t now_ms);
  void tell_if_transfer_is_complete();
  void update_view();
  void step_down(Term seen);
  // follower.cc
  void on_attach(BrokerId from, const Attach& message);
  void answer_attach();
  void on_append(BrokerId from, Append message);
  Status cut(const Append& message);
  void acknowledge(bool reattach, bool full = false);
  void adopt_if_complete();
  void expose(Offset leader_high_watermark);

  const BrokerId self_;
  Host& host_;
  const ReplicaOptions options_;
  Role role_ = Role::kIdle;
  ReplicaState state_;    // as asked to persist
  ReplicaState durable_;  // as known durable
  bool emptied_ = false;  // lost, and its log is being fetched by this process
  bool fenced_here_ = false;  // answered NewTerm(state_.term) in this process
  std::optional<Term> answer_pending_;
  Offset high_watermark_;
  Offset durable_log_start_;
  Assignment assignment_;
  std::map<BrokerId, Member> links_up_;
  std::optional<Leading> leading_;
  std::optional<Following> following_;
  uint64_t next_attach_id_;  // the process, then a count
};

}  // namespace broker::replication
