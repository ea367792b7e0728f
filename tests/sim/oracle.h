#pragma once
// What must be true, checked against what every replica and every client sees. It keeps the one
// true log of each shard, as the first to expose a batch showed it; whoever shows another, loses
// one, repeats one or goes back breaks a promise. The first broken promise ends the run.
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "broker/model/records.h"
#include "broker/partition/partition.h"
#include "tests/sim/trace.h"

namespace broker::sim {

// Names one record: who sent it, with which key, and its number among those of that key.
struct RecordName {
  uint64_t id = 0;
  std::string key;
  uint64_t number = 0;
};
std::string encode_record_value(const RecordName& name, size_t padding);
std::optional<RecordName> decode_record(const Record& record);

class Oracle {
 public:
  explicit Oracle(Trace& trace) : trace_(trace) {}

  bool broken() const { return !violation_.empty(); }
  const std::string& violation() const { return violation_; }
  void fail(const std::string& what) {
    if (violation_.empty()) violation_ = what;
  }

  // ---- what is seen ----
  // A broker that leads the shard: one per term, and its high watermark does not go back. Looked at
  // before the other replicas, since a leader without a tail says where the log goes on.
  void observe_leader(int broker, uint64_t process, partition::Partition& partition);
  // A replica, at any moment. `process`: names this run of the broker.
  void observe(int broker, uint64_t process, const Uuid& directory,
               partition::Partition& partition);
  // A batch that a reader was given as committed.
  void read(const ShardId& shard, const Batch& batch, const std::string& who);
  void acknowledged(const ShardId& shard, Offset base, const std::vector<uint64_t>& ids);
  void deletion_asked(const ShardId& shard, Offset before);
  void deletion_done(const ShardId& shard, Offset log_start);
  // A broker's process has ended without being asked: what it had in memory only is gone.
  void stopped_uncleanly(const Uuid& directory, const ShardId& shard) {
    without_tail_.insert({directory, shard});
  }
  bool without_tail(const Uuid& directory, const ShardId& shard) const {
    return without_tail_.contains({directory, shard});
  }
  // Whether the next leader of a memory stream's shard may lack a committed end: while there is no
  // majority of members that surely have all. What it has must be a prefix of what was committed.
  // It is not over before the leader that the map names (`term`) has been looked at: its log says what
  // is left.
  void may_lose_tail(const ShardId& shard, bool may, Term term) {
    History& history = histories_[shard];
    const bool seen = !history.latest.empty() && history.latest.rbegin()->first >= term;
    history.may_lose_tail = may || (history.may_lose_tail && !seen);
  }
  void set_now_us(int64_t now_us) { now_us_ = now_us; }
  void stream_deleted(const Uuid& stream) { deleted_streams_.insert(stream); }
  bool deleted(const Uuid& stream) const { return deleted_streams_.contains(stream); }

  // ---- at rest: everything healed, everybody caught up ----
  // `leader` holds all that was acknowledged, and nothing else.
  void check_complete(partition::Partition& leader);
  // Keys keep their order in these shards of a stream, read one after another: parents first.
  void check_order(const Uuid& stream, const std::vector<int32_t>& shards);

  Offset committed_end(const ShardId& shard) { return histories_[shard].end; }
  uint64_t records() const { return where_.size(); }
  uint64_t lost_records() const { return lost_records_; }
  uint64_t acknowledged_records() const { return acknowledged_records_; }

 private:
  struct Entry {
    Offset base, end;
    Term term;
    uint64_t hash;
    bool control;
    std::vector<RecordName> records;
  };
  struct Leader {
    int broker;
    uint64_t process;
  };
  // The leader of `term` went on at `from`: what earlier terms had there is gone.
  struct Loss {
    Offset from;
    Term term;
    int64_t at_us;
  };
  struct History {
    std::vector<Entry> entries;  // ascending, without holes but below `first`
    std::optional<Offset> first;
    Offset end{0};
    std::map<Term, Leader> leaders;
    std::map<Term, Offset> latest;  // highest that a leader of the term answered as "latest"
    std::map<Offset, std::vector<uint64_t>> acknowledged;
    Offset deletion_asked{0}, deletion_done{0};
    bool may_lose_tail = false;
    std::vector<Loss> losses;
  };
  bool of_lost_tail(const History& history, const BatchHeader& batch) const;
  void lose_tail(const ShardId& shard, History& history, Offset from, Term term);
  void commit(const ShardId& shard, History& history, const Batch& batch, const std::string& who);
  const Entry* entry_at(const History& history, Offset base) const;
  void check_acknowledged(const ShardId& shard, const History& history, Offset base,
                          const std::vector<uint64_t>& ids);

  Trace& trace_;
  std::string violation_;
  std::map<ShardId, History> histories_;
  std::map<std::tuple<int, uint64_t, ShardId>, Offset> seen_;  // by replica: checked up to there
  std::map<uint64_t, std::pair<ShardId, Offset>> where_;       // every committed record
  std::set<Uuid> deleted_streams_;
  uint64_t acknowledged_records_ = 0, lost_records_ = 0;
  std::set<std::pair<Uuid, ShardId>> without_tail_;
  int64_t now_us_ = 0;
};

}  // namespace broker::sim
