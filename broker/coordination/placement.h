#pragma once
// Where replicas go: ensembles of new shards and the moves that even out a cluster. Pure functions
// of maps and brokers: the same in the coordinator, in tests and in simulations. A shard never has
// two replicas on one broker; copies are spread over zones first, then by count.
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "broker/base/status.h"
#include "broker/coordination/shard_map.h"

namespace broker::coordination {

struct BrokerInfo {
  int32_t id = 0;
  std::string directory;  // of the incarnation that is or was last registered; empty: never seen
  std::string zone;
  bool alive = false;
  bool draining = false;
  bool expected_back = false;  // not alive, but part of the cluster: a pod that restarts
};

// Bytes of a shard's log by stream id and index; absent: not known, taken as nothing.
using ShardSizes = std::map<std::pair<std::string, int32_t>, int64_t>;

// Replicas per broker, those to come (next_replicas, learners) instead of those to go.
std::map<int32_t, int> count_replicas(const std::vector<const ShardMap*>& maps);
// Open shards led, per broker.
std::map<int32_t, int> count_leaders(const std::vector<const ShardMap*>& maps);

// Whether an ensemble of `replication` can be placed once the brokers that are away are back;
// kTooFewBrokers with the numbers.
Status can_be_placed_later(const std::vector<BrokerInfo>& brokers, int replication);

// `shards` ensembles of `replication` brokers that do not drain. A minority of an ensemble may be
// brokers that are expected back (as Kafka counts fenced brokers): a stream can be created while a
// broker restarts, and serves at once. kUnavailable when there are not enough, with the numbers.
Result<std::vector<std::vector<Replica>>> place_shards(const std::vector<const ShardMap*>& maps,
                                                       const std::vector<BrokerInfo>& brokers,
                                                       int shards, int replication);

enum class MoveReason { kLostDirectory, kDrain, kReassign, kReplication, kZones, kBalance };
std::string_view to_string(MoveReason reason);

struct Move {
  std::string stream_id;
  int32_t shard = 0;
  std::optional<Replica> add;     // becomes a learner first; absent: only remove
  std::optional<Replica> remove;  // absent: only add
  MoveReason reason = MoveReason::kBalance;
};

struct MovePlan {
  std::vector<Move> moves;  // most urgent first, at most one per shard
  bool evens_bytes = false;  // disks are uneven, and moves will help
  // Per draining broker: why some replica cannot leave it.
  std::map<int32_t, std::string> blocked;
};
// The fewest moves towards: no replica on lost directories or draining brokers, the ensembles that
// administrators asked for (which nothing below moves), the replication of each stream, and, with at
// most `balance_moves_max` moves for them, zones spread and counts and bytes even (balance.h).
// Shards in change are left alone and count with the ensemble that they will have; `under_way`: moves
// that have begun, whether the maps show it yet or not. `evens_bytes`: goes on evening disks out
// until they are even, rather than beginning only when one is much fuller.
MovePlan plan_moves(const std::vector<const ShardMap*>& maps,
                    const std::vector<BrokerInfo>& brokers, int balance_moves_max,
                    const ShardSizes& sizes = {}, bool evens_bytes = false,
                    const std::vector<Move>& under_way = {});

// A move that was decided on some time ago, in the terms of now.
enum class Applies { kNow, kLater, kNever };
// kLater: another change of the shard is under way, or the broker that is to get it is away.
// kNever: the replica is not there any more, or the shard would be spread over fewer zones, or
// somebody has wished for its ensemble meanwhile. `move` is set for kNow.
Applies still_applies(const ShardMap& map, const Shard& shard, int32_t from, int32_t to,
                      const std::vector<BrokerInfo>& brokers, Move& move);

// Who leaves when `learner` joins this shard, decided from the map alone (so that a restarted
// coordinator decides the same): its lost incarnation, a draining broker's, else none while the
// ensemble is too small, else the member whose broker holds most. Absent: nobody.
std::optional<Replica> pick_leaving(const ShardMap& map, const Shard& shard, const Replica& learner,
                                    const std::vector<const ShardMap*>& maps,
                                    const std::vector<BrokerInfo>& brokers);

}  // namespace broker::coordination
