#pragma once
// What a partition's replica sees of the world: the shard's log and the broker around it. A part of
// partition.cc, which alone includes it; reactor only.
#include <map>

#include "broker/base/log.h"
#include "broker/partition/partition.h"
#include "broker/partition/shard_end.h"

namespace broker::partition {

// A lost tail is kept in the adopted term (storage/FORMAT.md), which is -2 or above without one.
constexpr int32_t kTailLost = -4;

inline storage::ReplicaState to_storage(const replication::ReplicaState& s) {
  return {s.term, s.tail_lost ? Term{kTailLost - s.adopted_term.value} : s.adopted_term};
}

inline replication::ReplicaState from_storage(const storage::ReplicaState& s) {
  if (s.adopted_term >= replication::kLogLost) return {s.term, s.adopted_term};
  return {s.term, Term{kTailLost - s.adopted_term.value}, true};
}

// The replication core's hands: the shard's log and the broker around it.
struct Partition::HostImpl : replication::Host {
  explicit HostImpl(Partition& p) : partition(p), log(p.log_) {}

  Offset log_start() const override { return log.log_start(); }
  Offset log_end() const override { return log.log_end(); }
  Offset durable_end() const override { return log.durable_end(); }
  // A seal is fsynced on a majority before it counts: the map's word that a shard is closed outlasts
  // the brokers' memory, so its last records must, too.
  Offset held_end() const override {
    const bool seal_in_memory = partition.seal_end_ && log.durable_end() < *partition.seal_end_;
    return seal_in_memory ? log.durable_end() : log.held_end();
  }
  std::vector<replication::TermStart> log_terms() const override {
    std::vector<replication::TermStart> terms;
    for (const auto& entry : log.terms()) terms.push_back({entry.term, entry.start});
    return terms;
  }
  Result<std::vector<Batch>> read(Offset from, size_t bytes_max) override {
    auto batches = log.read(from, bytes_max, log.log_end());
    // Seen to when the replica's turn is over.
    if (batches.code() == Code::kCorruption) partition.changed_.damaged = true;
    return batches;
  }
  // Wraps what is to happen when an operation is durable; nothing when the partition is gone.
  storage::ShardLog::Done when_durable(std::function<void()> then) {
    return [alive = partition.alive_, &p = partition, then = std::move(then)](Status status) {
      if (!*alive) return;
      CHECK(status.ok());
      then();
      p.changed_.durable = true;
      p.settle();
    };
  }
  storage::ShardLog::Done log_start_durable(Offset start) {
    return when_durable([this, start] { partition.replica_->on_log_start_durable(start); });
  }
  Status append(std::vector<Batch> batches) override {
    std::vector<Batch> copy = batches;
    RETURN_IF_ERROR(log.append(std::move(batches),
                               when_durable([this] { partition.replica_->on_durable(); })));
    for (const auto& batch : copy) partition.note_batch(batch);
    return {};
  }
  Status truncate(Offset end) override {
    RETURN_IF_ERROR(
        log.truncate(end, when_durable([this] { partition.replica_->on_durable(); })));
    if (partition.seal_end_ && *partition.seal_end_ > end) partition.seal_end_.reset();
    partition.rebuild_producers();
    return {};
  }
  Status reset(Offset start) override {
    RETURN_IF_ERROR(log.reset(start, when_durable([this, start] {
                                partition.replica_->on_log_start_durable(start);
                                partition.replica_->on_durable();
                              })));
    partition.seal_end_.reset();
    partition.producers_.clear();
    partition.bytes_since_snapshot_ = 0;
    partition.log_known_ = true;  // it is empty
    return {};
  }
  void advance_log_start(Offset start) override {
    partition.save_producers();  // what goes away would be missing in the next table
    must(log.set_log_start(start, log_start_durable(start)), "set log start");
  }
  void persist(replication::ReplicaState state) override {
    must(log.set_state(to_storage(state),
                       when_durable([this, state] { partition.replica_->on_persisted(state); })),
         "persist state");
  }
  // The store keeps room for administration when the disk is full. Without even that the replica
  // stays silent: what was not persisted is never answered.
  void must(const Status& status, const char* what) {
    if (status.ok()) return;
    log_error("partition", "the log refuses administration",
              {{"shard", partition.id().to_string()}, {"what", what}, {"error", status.to_string()}});
  }

  // One load a follower at a time; what it has brought is read whether it has or not.
  Result<std::optional<std::vector<Batch>>> read_for(BrokerId to, Offset from,
                                                     size_t bytes_max) override {
    auto known = loads.find(to);
    if (known != loads.end() && !known->second) return std::optional<std::vector<Batch>>();
    storage::Load load{[this, alive = partition.alive_, to] {
      if (!*alive) return;
      loads[to] = true;
      partition.on_turn(to);
    }};
    auto read = log.read(from, bytes_max, log.log_end(), known == loads.end() ? &load : nullptr);
    if (known != loads.end()) loads.erase(known);
    if (read.code() == Code::kCorruption) partition.changed_.damaged = true;
    RETURN_IF_ERROR(read.status());
    if (!load.started) return std::optional(std::move(*read));
    loads[to] = false;
    return std::optional<std::vector<Batch>>();
  }

  void send(BrokerId to, replication::Message message) override {
    partition.around_.send(to, partition.id(), std::move(message));
  }
  bool may_send(BrokerId to, replication::Urgency urgency) override {
    return partition.around_.may_send(to, partition.id(), urgency);
  }
  replication::Flow::Credit take_credit(BrokerId to, replication::Urgency urgency,
                                        size_t bytes) override {
    return partition.around_.take_credit(to, urgency, bytes);
  }
  void answer_new_term(const replication::HeadAnswer& answer) override {
    partition.around_.answer_new_term(partition.id(), answer);
  }
  void role_changed(replication::Role role, Term term) override {
    log_info("partition", "role",
             {{"stream", partition.stream_->name()},
              {"shard", partition.id().index},
              {"role", replication::to_string(role)},
              {"term", term.value},
              {"log_end", log.log_end().value}});
    if (role != replication::Role::kLeader) partition.view_.reset();
    partition.changed_.role = true;
  }
  void high_watermark_advanced(Offset) override { partition.changed_.high_watermark = true; }
  void log_start_committed(Offset) override { partition.changed_.log_start = true; }
  void leader_view_changed(const replication::LeaderView& view) override {
    partition.view_ = view;
    partition.changed_.report = true;
  }
  void transfer_ready(Term term, BrokerId target, bool ready) override {
    partition.around_.transfer_ready(partition.id(), term, target, ready);
  }
  void want_tick() override { partition.around_.want_tick(partition.id()); }

  Partition& partition;
  storage::ShardLog& log;
  ShardEnd end;
  Term led = kNoTerm;  // the term in which it leads, or has led and role_changed() has not run since
  std::map<BrokerId, bool> loads;  // for followers; whether one is over
  bool left_cleanly = false;
  bool hand_over_refused = false;
};

}  // namespace broker::partition
