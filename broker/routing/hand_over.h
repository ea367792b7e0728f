#pragma once
// Appends that reach a broker while it hands a shard's leadership over: held, in order, until the new
// leader is known, then sent there over the broker link and answered here. For Kafka's clients, which
// would otherwise be told "not the leader" before anybody could say who is, and wait. Made by app;
// on the reactor. Invariant: a shard's appends reach the new leader in the order in which they came.
#include <deque>
#include <map>
#include <memory>

#include "broker/routing/router.h"

namespace broker::routing {

class HandOver {
 public:
  HandOver(BrokerId self, env::Clock& clock, env::Executor& executor, cluster::Metadata& metadata,
           partition::Partitions& partitions, Router& router);
  ~HandOver();

  // The broker ends: what other brokers lead by then is forwarded, too, until the doors close.
  void stopping() { stopping_ = true; }
  // Whether an append to the shard is for append() here, not for the partition or a refusal.
  bool takes(const ShardId& shard) const;
  // As Partition::append. kNotLeader: nobody leads after kHoldMs, or `timeout_ms`; nothing is stored.
  void append(const ShardId& shard, Buffer batch, partition::Acks acks, int64_t timeout_ms,
              partition::AppendDone done);
  size_t held() const;

  static constexpr int64_t kHoldMs = 500;

 private:
  struct Item {
    uint64_t number = 0;
    Buffer batch;
    partition::Acks acks = partition::Acks::kAll;
    int64_t deadline_ms = 0;
    bool sent = false, answered = false;
    partition::AppendDone done;
  };
  struct Lane {
    std::deque<Item> items;
    uint64_t next_number = 0;
    size_t sent = 0;
    bool established = false;  // the new leader has taken one: the others may follow it at once
  };
  bool leader_is_known(const ShardId& shard) const;
  void pump(const ShardId& shard);
  void expire(const ShardId& shard);
  void refuse_rest(const ShardId& shard);
  void on_result(const ShardId& shard, uint64_t number, Result<partition::Appended> result);
  void look_again();
  void pump_all();

  const BrokerId self_;
  env::Clock& clock_;
  env::Executor& executor_;
  cluster::Metadata& metadata_;
  partition::Partitions& partitions_;
  Router& router_;
  std::map<ShardId, Lane> lanes_;
  bool stopping_ = false, looking_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // false for late answers
};

}  // namespace broker::routing
