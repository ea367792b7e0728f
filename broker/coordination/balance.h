#pragma once
// Evens a cluster out: replicas per broker first, then bytes per broker, by as few moves as that
// takes and never at the cost of a shard's spread over zones. Pure. Used by placement; a plan of
// 10,000 shards on 100 brokers takes a fraction of a second (balance_test).
#include <deque>
#include <string>
#include <unordered_map>
#include <vector>

#include "broker/coordination/placement.h"

namespace broker::coordination {

class Balance {
 public:
  // Within this part of the mean, brokers count as even.
  static constexpr double kTolerance = 0.02;
  // Disks are left alone until one is this much above the mean, and by so many bytes.
  static constexpr double kBytesTrigger = 0.10;
  static constexpr int64_t kBytesTriggerMin = 256 << 20;

  Balance(const std::vector<BrokerInfo>& brokers, const ShardSizes& sizes);
  // A shard with the ensemble that it has or will have. `movable` false: it only counts.
  void add(const ShardMap& map, const Shard& shard, bool movable,
           const std::vector<Replica>& members);
  // At most `moves_max` moves. `evens_bytes`: disks are evened out whatever the trigger says.
  void even_out(int moves_max, bool evens_bytes);

  // In order; a shard may move several times, each time one replica.
  const std::vector<Move>& moves() const { return moves_; }
  // The first move of each shard: what can begin at once.
  std::vector<Move> first_moves() const;
  // Disks were uneven enough to do something about it, and something could be done.
  bool evens_bytes() const { return evens_bytes_; }

  // Per broker that takes replicas, after the moves.
  std::map<int32_t, int> replicas() const;
  std::map<int32_t, int64_t> bytes() const;

 private:
  struct Node {
    BrokerInfo info;
    int zone = 0;
    bool usable = false;
    int replicas = 0;
    int64_t bytes = 0;
    std::vector<size_t> items;  // movable ones with a replica here
  };
  struct Item {
    const ShardMap* map;
    const Shard* shard;
    std::vector<Replica> members;
    std::vector<size_t> nodes;    // of members; kNowhere for brokers that are not known
    std::vector<size_t> arrived;  // nodes that a move brought it to
    size_t last_move = 0;         // of this shard in moves_, when `arrived` has any
    int64_t size = 0;
    size_t leader;
  };
  static constexpr size_t kNowhere = ~size_t{0};

  bool may_move(const Item& item, size_t from, size_t to) const;
  int zones_with(const Item& item, size_t without, size_t with) const;
  void move(size_t item, size_t from, size_t to);
  void even_counts(int& moves_left);
  void even_disks(int& moves_left, bool evens_bytes);
  // The best item to go from one broker to another; kNowhere when none can.
  size_t pick(size_t from, size_t to, double wanted_bytes, int64_t bytes_below) const;
  bool shift_bytes(size_t from, size_t to, double mean, int& moves_left);
  bool swap_bytes(size_t from, size_t to, double ideal, int64_t gap, int& moves_left);
  bool counts_allow(size_t from, size_t to) const;

  std::vector<Node> nodes_;
  std::unordered_map<int32_t, size_t> node_of_;
  const ShardSizes& sizes_;
  std::deque<Item> items_;
  std::vector<Move> moves_;
  double mean_replicas_ = 0;
  bool evens_bytes_ = false;
};

}  // namespace broker::coordination
