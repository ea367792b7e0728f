#pragma once
// Flow control towards peers: how much may be under way to each of them, over all shards that this
// broker leads, and whose turn it is. Replicas ask through their Host; the driver (partition/partitions)
// owns it and gives turns. No I/O, no clock, one thread. Invariant: what one peer has not acknowledged
// is at most peer_bytes_max and one append; catch-up data goes out only where live appends leave room.
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>

#include "broker/model/shard.h"

namespace broker::replication {

enum class Urgency {
  kLive,     // a commit waits for it, or a follower that is in sync
  kCatchUp,  // older records, for a learner or a follower that is behind
};

struct FlowOptions {
  // Sent to one peer and not acknowledged, all shards together: what a peer that stands still can
  // hold of this broker's memory.
  size_t peer_bytes_max = 64 << 20;
  // Catch-up data is sent while less than this is under way to the peer. One append of it always
  // may be, so that catching up goes on under a load that never ends.
  size_t catch_up_bytes_max = 16 << 20;
  // To all peers together; 0: no limit.
  int64_t catch_up_bytes_per_s = 128 << 20;
};

class Flow {
 public:
  // Bytes under way to a peer: given back when this goes. Must not outlive its Flow.
  class Credit {
   public:
    Credit() = default;
    Credit(Credit&& other) noexcept;
    Credit& operator=(Credit&& other) noexcept;
    ~Credit() { give_back(); }

   private:
    friend class Flow;
    Credit(Flow* flow, BrokerId peer, Urgency urgency, size_t bytes)
        : flow_(flow), peer_(peer), urgency_(urgency), bytes_(bytes) {}
    void give_back();
    Flow* flow_ = nullptr;
    BrokerId peer_ = kNoBroker;
    Urgency urgency_ = Urgency::kLive;
    size_t bytes_ = 0;
  };
  struct Turn {
    ShardId shard;
    BrokerId peer;
    Urgency urgency;
  };

  // `room`: called when somebody waits and bytes have come back; next() may then have a turn. It must
  // not call back.
  explicit Flow(FlowOptions options, std::function<void()> room = [] {});
  Flow(const Flow&) = delete;
  Flow& operator=(const Flow&) = delete;

  // Whether the shard may send one append to the peer now. Otherwise it has taken a place in the
  // queue, and next() names it when its turn has come.
  bool may_send(const ShardId& shard, BrokerId peer, Urgency urgency, int64_t now_ms);
  // It has been sent.
  Credit take(BrokerId peer, Urgency urgency, size_t bytes, int64_t now_ms);
  // Who goes on: live before catch-up, in each the one that waited longest. Its next may_send is
  // granted. None when nobody waits who could send.
  std::optional<Turn> next(int64_t now_ms);
  // When the rate alone holds back somebody who waits: after how long next() is to be asked again.
  std::optional<int64_t> retry_after_ms(int64_t now_ms);

  // From now on no more catch-up data than this; none: what the options say. Never more than that.
  void limit_catch_up(std::optional<int64_t> bytes_per_s);

  size_t under_way(BrokerId peer) const;
  uint64_t catch_up_bytes() const { return catch_up_total_; }  // ever sent

 private:
  struct Queue {
    std::deque<ShardId> order;
    std::set<ShardId> members;
  };
  struct Peer {
    size_t bytes = 0, catch_up_bytes = 0;
    Queue live, catch_up;
    Queue& queue(Urgency urgency) { return urgency == Urgency::kLive ? live : catch_up; }
  };
  bool has_room(const Peer& peer, Urgency urgency) const;
  void refill(int64_t now_ms);
  bool rate_allows() const { return rate_ <= 0 || tokens_ > 0; }
  std::optional<Turn> take_turn(Urgency urgency);

  const FlowOptions options_;
  const std::function<void()> room_;
  std::map<BrokerId, Peer> peers_;
  std::optional<Turn> turn_;
  BrokerId last_peer_ = kNoBroker;  // peers take turns, too
  int64_t rate_;                // of catch-up data, bytes/s; 0: no limit
  int64_t tokens_;              // bytes; below zero after an append that was larger
  int64_t refilled_ms_ = -1;
  uint64_t catch_up_total_ = 0;
};

}  // namespace broker::replication
