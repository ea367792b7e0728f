#pragma once
// All shards on this broker: follows the metadata (creates, opens, drops replicas), routes
// replication messages and NewTerms, shares what may be under way to a peer among the shards, drives
// ticks and retention. Built by app; on the reactor.
#include <memory>
#include <set>
#include <unordered_map>

#include "broker/base/metrics.h"
#include "broker/cluster/session.h"
#include "broker/partition/partition.h"

namespace broker::partition {

// Carries replication messages to other brokers. broker/link in a cluster, the simulator's network
// in tests.
class PeerTransport {
 public:
  virtual ~PeerTransport() = default;
  virtual void send(BrokerId to, const ShardId& shard, const replication::Message& message) = 0;
  virtual std::vector<BrokerId> heard() const = 0;
};

class Partitions : private Surroundings {
 public:
  struct Parts {
    env::Clock& clock;
    env::Executor& executor;
    storage::Store& store;
    cluster::Metadata& metadata;
    cluster::Session& session;
    PeerTransport& transport;
    Metrics& metrics;
  };
  Partitions(Parts parts, BrokerId self, replication::ReplicaOptions options,
             replication::FlowOptions flow = {});
  ~Partitions() override;

  // Opens what the store holds and starts to follow the metadata.
  void start();
  // At the end of the process, once the executor runs no more: whoever waits for a shard is told that
  // it has left, and there are no shards any more. Everything that waits must still be there.
  void end();

  // Null when this broker has no replica of the shard.
  Partition* find(const ShardId& id);
  void for_each(const std::function<void(Partition&)>& visit);
  size_t count() const { return partitions_.size(); }
  size_t leader_count() const;
  // The bytes of every shard that is here, for the coordinator.
  void add_holdings(cluster::v1::Holdings& holdings) const;

  // From the session's handlers.
  void on_new_terms(const cluster::v1::NewTerms& terms);
  void on_prepare_transfer(const cluster::v1::PrepareTransfer& request);
  void on_welcomed();
  // From the transport.
  void on_message(BrokerId from, const ShardId& shard, replication::Message message);
  void on_peer(const replication::Member& peer, bool up);
  // What the shards led here were used for, as far as it is news.
  void report_usage(bool again = false);
  // Old records go to replicas that are behind at no more than this, all together; none: what this
  // broker was started with.
  void limit_catch_up(std::optional<int64_t> bytes_per_s) {
    flow_.limit_catch_up(bytes_per_s);
    give_turns_soon();
  }
  // Sent to the peer and not acknowledged.
  size_t under_way(BrokerId peer) const { return flow_.under_way(peer); }
  // Clean stop: keeps the producer tables.
  void save_all();

 private:
  // Surroundings
  void send(BrokerId to, const ShardId& shard, replication::Message message) override;
  bool may_send(BrokerId to, const ShardId& shard, replication::Urgency urgency) override;
  replication::Flow::Credit take_credit(BrokerId to, replication::Urgency urgency,
                                        size_t bytes) override;
  void answer_new_term(const ShardId& shard, const replication::HeadAnswer& answer) override;
  void report(const ShardId& shard) override;
  void transfer_ready(const ShardId& shard, Term term, BrokerId target, bool ready) override;
  void want_tick(const ShardId& shard) override;
  void resign(const ShardId& shard, Term term, const std::string& why) override;
  int64_t mono_ms() const override { return parts_.clock.mono_ms(); }
  int64_t wall_ms() const override { return parts_.clock.wall_ms(); }
  bool coordinated() const override { return parts_.session.welcomed(); }
  BrokerId self() const override { return self_; }
  Metrics& metrics() override { return parts_.metrics; }

  void on_metadata(const cluster::Metadata::Change& change);
  // `may_drop`: the word of the coordinator to this process.
  void follow(const cluster::StreamPtr& stream, bool may_drop);
  void drop_strays();
  void drop(const ShardId& id, const char* why);
  Partition* open(const ShardId& id, const cluster::StreamPtr& stream);
  bool member_of(const cluster::v1::Shard& shard) const;
  void tick();
  void give_turns_soon();
  void give_turns_later(int64_t now_ms);
  void give_turns();
  void retention();
  void tell_usage();
  void count_roles_soon();
  void count_roles();

  Parts parts_;
  const BrokerId self_;
  const replication::ReplicaOptions options_;
  std::unordered_map<ShardId, std::unique_ptr<Partition>> partitions_;
  std::set<ShardId> ticking_;
  bool tick_scheduled_ = false;
  std::map<BrokerId, replication::Member> peers_up_;
  bool counting_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // false for late tasks
  prometheus::Gauge& leaders_;
  prometheus::Gauge& under_replicated_;
  prometheus::Gauge& replicas_;
  prometheus::Counter& catch_up_bytes_;
  replication::Flow flow_;  // the partitions, which hold credits of it, go first
  bool turns_posted_ = false, turns_scheduled_ = false;
};

}  // namespace broker::partition
