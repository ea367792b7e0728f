#pragma once
// One shard on this broker: its log, its replica, who waits for what, and its producers. Called by
// the front doors' handlers and by Partitions, on the reactor. Invariants: an acknowledged append is
// below the high watermark (acks=all) or durable here (acks=1), where a memory stream's records are as
// good as durable once they are in memory; readers see nothing above the high watermark; after the
// seal nothing is appended.
#include <deque>
#include <functional>
#include <map>
#include <memory>

#include "broker/cluster/metadata.h"
#include "broker/partition/producers.h"
#include "broker/partition/shard_limits.h"
#include "broker/partition/shard_metrics.h"
#include "broker/partition/usage_meter.h"
#include "broker/proto/coordination.pb.h"
#include "broker/replication/core/replica.h"
#include "broker/storage/store.h"

namespace broker::partition {

enum class Acks {
  kNone,    // done at once
  kLeader,  // durable on the leader (of a memory stream: in its memory)
  kAll,     // committed
};

struct Appended {
  Offset base_offset;
  Offset log_start;
  // The broker's time when the stream stamps records with it, else -1.
  int64_t log_append_time_ms = -1;
  // append_within_limits: how many of the batch's records were taken; -1: all.
  int32_t records = -1;
};
using AppendDone = std::function<void(Result<Appended>)>;

struct Fetched {
  std::vector<Batch> batches;  // the first may begin before the asked offset
  Offset high_watermark;
  Offset log_start;
  size_t bytes = 0;
};

struct TermEnd {
  Term term;
  Offset end;
};

// What a partition needs from the broker around it.
class Surroundings {
 public:
  virtual ~Surroundings() = default;
  virtual void send(BrokerId to, const ShardId& shard, replication::Message message) = 0;
  // Flow control, as replication::Host; Partition::on_turn follows a refusal.
  virtual bool may_send(BrokerId to, const ShardId& shard, replication::Urgency urgency) = 0;
  virtual replication::Flow::Credit take_credit(BrokerId to, replication::Urgency urgency,
                                                size_t bytes) = 0;
  virtual void answer_new_term(const ShardId& shard, const replication::HeadAnswer& answer) = 0;
  virtual void report(const ShardId& shard) = 0;  // Partition::leader_report() has changed
  virtual void transfer_ready(const ShardId& shard, Term term, BrokerId target, bool ready) = 0;
  virtual void want_tick(const ShardId& shard) = 0;
  // This broker leads the shard in `term` and cannot go on: somebody else must.
  virtual void resign(const ShardId& shard, Term term, const std::string& why) = 0;
  virtual int64_t mono_ms() const = 0;
  virtual int64_t wall_ms() const = 0;
  // The coordinator can be told what is counted here.
  virtual bool coordinated() const = 0;
  virtual BrokerId self() const = 0;
  virtual Metrics& metrics() = 0;
};

class Partition {
 public:
  Partition(Surroundings& around, storage::ShardLog& log, const replication::ReplicaOptions& options,
            cluster::StreamPtr stream);
  ~Partition();
  Partition(const Partition&) = delete;
  Partition& operator=(const Partition&) = delete;

  const ShardId& id() const { return log_.id(); }
  const cluster::Stream& stream() const { return *stream_; }
  // This shard's entry in the stream's map.
  const cluster::v1::Shard& shard() const { return *stream_->shard(log_.id().index); }
  bool in_memory() const {
    return stream_->map.config().durability() == cluster::v1::DURABILITY_MEMORY;
  }

  // --- For the front doors ---
  // Appends one record batch (v2, already validated). `batch` is patched in place: its bytes are
  // the callee's from now on. `done` runs once, perhaps before this returns. Errors: kNotLeader and
  // kUnavailable (retriable), kOutOfOrderSequence, kDuplicateSequence, kInvalidProducerEpoch,
  // kNoSpace, kTooLarge, kResourceExhausted. There is no time limit here: that is the caller's, and
  // the append may still happen after it.
  void append(Buffer batch, Acks acks, AppendDone done);
  // Takes the first records that the shard's limits admit; Appended::records says how many. For
  // batches without producer ids. kResourceExhausted when it is none.
  void append_within_limits(Buffer batch, Acks acks, AppendDone done);

  // Committed batches from the one that holds `from`; empty when `from` is the high watermark.
  // kNotLeader on a follower unless `any_replica`; kUnavailable on a new leader beyond what it knows
  // to be committed; kOutOfRange outside [log_start, high_watermark].
  // With `load` it does not wait for the disk: nothing, where that has started the load. No more
  // batches than hold `records_max` records.
  Result<Fetched> read(Offset from, size_t bytes_max, bool any_replica = false,
                       storage::Load* load = nullptr, int64_t records_max = INT64_MAX);
  // Drops the records below `before`, which is at most the high watermark; `done` gets the log start
  // once no later leader can have the records again (Kafka's DeleteRecords). On the leader only.
  // kNotLeader, kUnavailable (retriable), kOutOfRange, kNoSpace; kTimeout when leadership moves
  // before it is certain. There is no time limit here: without a majority it waits.
  void delete_records(Offset before, std::function<void(Result<Offset>)> done);
  // The same, counted by the shard's limits as a read of at most `records_max` records and
  // `bytes_max` bytes, which cut_records() finds; the record behind them is there, too, where there
  // is one. kResourceExhausted beyond the limits. Without
  // `load`: it was admitted before, and what was missing is loaded.
  Result<Fetched> read_within_limits(Offset from, int64_t records_max, size_t bytes_max,
                                     storage::Load* load);
  // Runs `wake` once, when the high watermark passes `offset`, or leadership or the shard's state
  // changes. cancel_wait() forgets it (also after it ran).
  using WaitId = uint64_t;
  WaitId wait_past(Offset offset, std::function<void()> wake);
  void cancel_wait(WaitId id);

  bool is_leader() const { return replica_->role() == replication::Role::kLeader; }
  // It leads and is about to be followed by another, or has just been and nobody knows by whom: who
  // appends may wait a moment.
  bool handing_over() const;
  // It led until it handed over, all that it had appended was answered by then, and nobody has been
  // refused since: an append may follow the leadership without passing one that came before it.
  bool handed_over() const;
  // Somebody was refused: whoever comes behind is, too, until it leads or hands over anew.
  void refuse_hand_over();
  bool hand_over_refused() const;
  std::optional<BrokerId> leader() const { return replica_->leader(); }
  Term term() const { return replica_->term(); }
  Offset log_start() const { return log_.log_start(); }
  Offset log_end() const { return log_.log_end(); }
  Offset high_watermark() const { return replica_->high_watermark(); }
  const Producers& producers() const { return producers_; }
  uint64_t bytes() const { return log_.bytes(); }
  // Ok when high_watermark() may be answered as "latest".
  Status may_read_latest() const { return replica_->may_read_latest(); }
  // Kafka's OffsetForLeaderEpoch (KIP-101, KIP-320): the largest term at or below `term` with its
  // end offset; term kNoTerm when there is none.
  TermEnd term_end(Term term) const;
  // Of the batch at `offset`, and at the log's end of what this leader would append there.
  Term term_at(Offset offset) const;
  // Header of the first committed batch whose maximum timestamp is at least `timestamp_ms`; of the
  // one with the largest timestamp.
  Result<std::optional<BatchHeader>> find_timestamp(int64_t timestamp_ms);
  Result<std::optional<BatchHeader>> find_max_timestamp();
  // The seal is committed: the log has ended, readers go on with the children.
  bool closed() const;

  // --- For Partitions ---
  void on_metadata(cluster::StreamPtr stream);
  void on_new_term(Term term) { replica_->on_new_term(term); }
  void on_message(BrokerId from, replication::Message message);
  void on_peer(const replication::Member& peer, bool up);
  void on_turn(BrokerId peer);
  void prepare_transfer(Term term, BrokerId target);
  bool tick();
  void apply_retention(storage::Store& store);
  void expire_producers(int64_t silent_since_ms) { producers_.expire(silent_since_ms); }
  // While this broker leads; what the coordinator is to know.
  std::optional<cluster::v1::LeaderReport> leader_report() const;
  // What was used since the map was last written, while this broker leads; nothing when there is no
  // news. `again`: also what was told before.
  std::optional<cluster::v1::ShardUsage> usage_report(bool again);
  // Keeps the producer table with the log (at times, and at a clean stop).
  void save_producers();
  const replication::Replica& replica() const { return *replica_; }
  // Ok, or why this replica cannot vote or serve (damage found in its log).
  const Status& quarantined() const;

 private:
  struct HostImpl;
  friend struct HostImpl;
  struct CommitWaiter {
    Offset end;
    Appended answer;
    AppendDone done;
  };
  Status check_append(const BatchHeader& header) const;
  bool refuses_for_now(const Status& status) const;
  bool predecessor_may_come(const Producers::Verdict& verdict, Acks acks) const;
  std::string_view setting(const char* name) const;  // of Kafka's, kept by name; empty: not set
  bool stamps_append_time() const;
  Status compress_as_asked(Buffer& bytes, BatchHeader& header) const;
  bool answer_repeat(const BatchHeader& header, Acks acks, AppendDone& done);
  void append_checked(Buffer batch, BatchHeader header, Acks acks, AppendDone done);
  void finish_when(Acks acks, Offset end, Appended answer, AppendDone done);
  void complete_committed();
  void complete_deletions();
  void fail_waiters(const Status& status);
  void wake_readers();
  void rebuild_producers();
  // Whether all of the log was read for the table of producers and the seal; tries again if not.
  bool knows_log();
  void seal_if_asked();
  bool awaits_seal() const;
  void role_changed();
  bool leaves_cleanly() const;
  // Runs after every input: completes, wakes and reports what it changed. Callbacks may call back.
  void settle();
  void note_batch(const Batch& batch);
  // What a read of the log answered; damage has its consequences.
  template <class T>
  Result<T> checked(Result<T> read);
  void on_damage();
  ShardMetrics& load();
  void follow_limits();
  Status throttled(int64_t records, int64_t bytes);
  void count_usage(size_t bytes_max);
  int64_t long_term_bytes();

  Surroundings& around_;
  storage::ShardLog& log_;
  cluster::StreamPtr stream_;
  std::unique_ptr<HostImpl> host_;
  std::unique_ptr<replication::Replica> replica_;
  Producers producers_;
  std::deque<CommitWaiter> commit_waiters_;   // ascending by end
  std::deque<CommitWaiter> durable_waiters_;  // acks=1
  std::multimap<Offset, std::function<void(Result<Offset>)>> deletions_;  // by new log start
  std::multimap<Offset, std::pair<WaitId, std::function<void()>>> read_waiters_;
  std::map<WaitId, Offset> read_waits_;
  WaitId next_wait_ = 1;
  std::unique_ptr<ShardMetrics> load_;
  UsageMeter usage_;
  Offset usage_told_{-1};
  int64_t usage_told_ms_ = 0;
  int64_t long_term_bytes_ = 0, long_term_looked_ms_ = -1;
  std::string limits_word_;
  std::optional<ShardLimits> limits_;
  std::optional<Offset> seal_end_;  // one past the seal in this log, committed or not
  uint64_t bytes_since_snapshot_ = 0;
  bool log_known_ = false;  // producers_ and seal_end_ are complete
  int64_t log_tried_ms_ = 0;
  Term handed_over_ = kNoTerm;  // the term in which it was asked to hand over last
  int64_t hand_over_until_ms_ = 0;
  std::optional<replication::LeaderView> view_;
  struct {
    bool role = false, high_watermark = false, durable = false, report = false, log_start = false;
    bool damaged = false;
  } changed_;
  bool settling_ = false;
  int64_t led_since_ms_ = INT64_MIN / 2;     // this broker leads, in this term,
  Offset led_from_{0};                       // from where its log ended then
  int64_t refused_ms_ = INT64_MIN / 2;       // a producer that will try again
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // false for late completions
};

}  // namespace broker::partition
