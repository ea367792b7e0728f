#include "broker/replication/core/flow.h"

#include <algorithm>
#include <utility>

namespace broker::replication {
namespace {
constexpr int64_t kBurstMs = 100;  // of the catch-up rate, after a pause
constexpr int64_t kRefillMsMax = 3'600'000;
constexpr int64_t kRateMax = 1LL << 40;  // bytes/s: times kRefillMsMax it is still a number
}

Flow::Credit::Credit(Credit&& other) noexcept
    : flow_(std::exchange(other.flow_, nullptr)),
      peer_(other.peer_),
      urgency_(other.urgency_),
      bytes_(other.bytes_) {}

Flow::Credit& Flow::Credit::operator=(Credit&& other) noexcept {
  if (this == &other) return *this;
  give_back();
  flow_ = std::exchange(other.flow_, nullptr);
  peer_ = other.peer_;
  urgency_ = other.urgency_;
  bytes_ = other.bytes_;
  return *this;
}

void Flow::Credit::give_back() {
  Flow* flow = std::exchange(flow_, nullptr);
  if (!flow) return;
  Peer& peer = flow->peers_[peer_];
  peer.bytes -= bytes_;
  if (urgency_ == Urgency::kCatchUp) peer.catch_up_bytes -= bytes_;
  if (!peer.live.order.empty() || !peer.catch_up.order.empty()) flow->room_();
}

Flow::Flow(FlowOptions options, std::function<void()> room)
    : options_(options),
      room_(std::move(room)),
      rate_(std::min(options.catch_up_bytes_per_s, kRateMax)),
      tokens_(rate_ * kBurstMs / 1000) {}

void Flow::limit_catch_up(std::optional<int64_t> bytes_per_s) {
  rate_ = std::min(options_.catch_up_bytes_per_s, kRateMax);
  if (bytes_per_s && (rate_ <= 0 || *bytes_per_s < rate_)) {
    rate_ = std::clamp<int64_t>(*bytes_per_s, 1, kRateMax);
  }
  // A debt is of bytes that the rate before had allowed at once; it would last for hours at 1 byte/s.
  tokens_ = std::clamp<int64_t>(tokens_, 0, rate_ * kBurstMs / 1000);
}

bool Flow::has_room(const Peer& peer, Urgency urgency) const {
  if (urgency == Urgency::kLive) return peer.bytes < options_.peer_bytes_max;
  if (!rate_allows()) return false;
  return peer.catch_up_bytes == 0 ? peer.bytes < options_.peer_bytes_max
                                  : peer.bytes < options_.catch_up_bytes_max;
}

void Flow::refill(int64_t now_ms) {
  if (rate_ <= 0) return;
  if (refilled_ms_ < 0) refilled_ms_ = now_ms;
  const int64_t burst = std::max<int64_t>(rate_ * kBurstMs / 1000, 1);
  const int64_t passed = std::min<int64_t>(now_ms - refilled_ms_, kRefillMsMax);
  const int64_t gained = rate_ * passed / 1000;
  if (gained <= 0) return;
  tokens_ = std::min(tokens_ + gained, burst);
  refilled_ms_ = now_ms;
}

bool Flow::may_send(const ShardId& shard, BrokerId to, Urgency urgency, int64_t now_ms) {
  refill(now_ms);
  Peer& peer = peers_[to];
  Queue& queue = peer.queue(urgency);
  // Whoever waits goes first.
  const bool turn = turn_ && turn_->shard == shard && turn_->peer == to;
  if (turn) turn_.reset();
  const bool others = !peer.live.order.empty() ||
                      (urgency == Urgency::kCatchUp && !peer.catch_up.order.empty());
  if ((turn || !others) && has_room(peer, urgency)) return true;
  if (queue.members.insert(shard).second) queue.order.push_back(shard);
  return false;
}

Flow::Credit Flow::take(BrokerId to, Urgency urgency, size_t bytes, int64_t now_ms) {
  Peer& peer = peers_[to];
  peer.bytes += bytes;
  if (urgency == Urgency::kCatchUp) {
    peer.catch_up_bytes += bytes;
    catch_up_total_ += bytes;
    refill(now_ms);
    if (rate_ > 0) tokens_ -= static_cast<int64_t>(bytes);
  }
  return Credit(this, to, urgency, bytes);
}

std::optional<Flow::Turn> Flow::take_turn(Urgency urgency) {
  auto at = peers_.upper_bound(last_peer_);
  for (size_t i = 0; i < peers_.size(); i++, ++at) {
    if (at == peers_.end()) at = peers_.begin();
    Queue& queue = at->second.queue(urgency);
    if (queue.order.empty() || !has_room(at->second, urgency)) continue;
    Turn turn{queue.order.front(), at->first, urgency};
    queue.order.pop_front();
    queue.members.erase(turn.shard);
    last_peer_ = turn.peer;
    return turn;
  }
  return std::nullopt;
}

std::optional<Flow::Turn> Flow::next(int64_t now_ms) {
  refill(now_ms);
  turn_ = take_turn(Urgency::kLive);
  if (!turn_) turn_ = take_turn(Urgency::kCatchUp);
  return turn_;
}

std::optional<int64_t> Flow::retry_after_ms(int64_t now_ms) {
  refill(now_ms);
  const bool waits = std::any_of(peers_.begin(), peers_.end(), [](const auto& entry) {
    return !entry.second.catch_up.order.empty();
  });
  if (!waits || rate_allows()) return std::nullopt;
  return 1 - tokens_ * 1000 / rate_;
}

size_t Flow::under_way(BrokerId peer) const {
  auto it = peers_.find(peer);
  return it == peers_.end() ? 0 : it->second.bytes;
}

}  // namespace broker::replication
