#include "broker/routing/hand_over.h"

#include <algorithm>
#include <vector>

namespace broker::routing {
namespace {
constexpr int64_t kLookMs = 5;
}  // namespace

HandOver::HandOver(BrokerId self, env::Clock& clock, env::Executor& executor,
                   cluster::Metadata& metadata, partition::Partitions& partitions, Router& router)
    : self_(self),
      clock_(clock),
      executor_(executor),
      metadata_(metadata),
      partitions_(partitions),
      router_(router) {
  // After the partitions' own listener: they know the new term by then.
  metadata_.add_listener([this, alive = alive_](const cluster::Metadata::Change&) {
    if (!*alive || lanes_.empty()) return;
    executor_.post([this, alive] {
      if (*alive) pump_all();
    });
  });
}

HandOver::~HandOver() { *alive_ = false; }

size_t HandOver::held() const {
  size_t count = 0;
  for (const auto& [shard, lane] : lanes_) count += lane.items.size();
  return count;
}

bool HandOver::takes(const ShardId& shard) const {
  if (lanes_.contains(shard)) return true;
  const auto* partition = partitions_.find(shard);
  if (!partition) return false;
  if (partition->handing_over()) return true;
  if (!stopping_ || !partition->handed_over()) return false;
  const auto* entry = metadata_.find_shard(shard);
  return entry && entry->has_leader() && entry->leader() != self_.value;
}

// Another one, or this one again where the hand-over was given up.
bool HandOver::leader_is_known(const ShardId& shard) const {
  const auto* partition = partitions_.find(shard);
  if (partition && partition->handing_over()) return false;
  if (partition && partition->is_leader()) return true;
  const auto* entry = metadata_.find_shard(shard);
  return entry && entry->has_leader() && entry->leader() != self_.value;
}

void HandOver::append(const ShardId& shard, Buffer batch, partition::Acks acks,
                      int64_t timeout_ms, partition::AppendDone done) {
  Lane& lane = lanes_[shard];
  Item item;
  item.number = lane.next_number++;
  item.batch = std::move(batch);
  item.acks = acks;
  item.deadline_ms = clock_.mono_ms() + std::min(timeout_ms, kHoldMs);
  item.done = std::move(done);
  lane.items.push_back(std::move(item));
  pump(shard);
}

// When one has waited long enough: the client asks who leads.
void HandOver::expire(const ShardId& shard) {
  auto found = lanes_.find(shard);
  if (found == lanes_.end()) return;
  const Item& first = found->second.items.front();
  if (!first.sent && clock_.mono_ms() >= first.deadline_ms) refuse_rest(shard);
}

// What came behind one that is refused is refused, too: stored, it would be in front of it.
void HandOver::refuse_rest(const ShardId& shard) {
  if (auto* partition = partitions_.find(shard)) partition->refuse_hand_over();
  auto found = lanes_.find(shard);
  if (found == lanes_.end()) return;
  auto& items = found->second.items;
  std::vector<partition::AppendDone> refused;
  while (!items.empty() && !items.back().sent) {
    refused.push_back(std::move(items.back().done));
    items.pop_back();
  }
  if (items.empty()) lanes_.erase(found);
  for (auto done = refused.rbegin(); done != refused.rend(); ++done) {
    (*done)(Status(Code::kNotLeader, "the shard's leadership is moving"));
  }
}

void HandOver::pump(const ShardId& shard) {
  expire(shard);
  auto found = lanes_.find(shard);
  if (found == lanes_.end()) return;
  // It lost its leadership otherwise: what came before may have been refused, or be unanswered.
  const auto* partition = partitions_.find(shard);
  if (!partition || partition->hand_over_refused() ||
      (!partition->is_leader() && !partition->handed_over())) {
    return refuse_rest(shard);
  }
  Lane& lane = found->second;
  if (!leader_is_known(shard)) return look_again();
  // One goes ahead. Were it refused after others had been taken, it would come behind them.
  std::vector<Item*> ready;
  for (Item& item : lane.items) {
    if (item.sent) continue;
    if (!lane.established && lane.sent + ready.size() > 0) break;
    ready.push_back(&item);
  }
  struct Sent {
    uint64_t number;
    Buffer batch;
    partition::Acks acks;
  };
  std::vector<Sent> going;
  for (Item* item : ready) {
    item->sent = true;
    lane.sent++;
    going.push_back({item->number, item->batch, item->acks});
  }
  // An answer may come at once, and end the lane.
  for (Sent& sent : going) {
    router_.append_once(shard, std::move(sent.batch), sent.acks,
                        [this, alive = alive_, shard,
                         number = sent.number](Result<partition::Appended> result) {
                          if (*alive) on_result(shard, number, std::move(result));
                        });
  }
}

void HandOver::on_result(const ShardId& shard, uint64_t number,
                         Result<partition::Appended> result) {
  auto found = lanes_.find(shard);
  if (found == lanes_.end()) return;
  Lane& lane = found->second;
  auto item = std::find_if(lane.items.begin(), lane.items.end(),
                           [&](const Item& i) { return i.number == number; });
  if (item == lane.items.end()) return;
  lane.sent--;
  // It does not lead yet: its word of the new term comes a moment later than ours.
  if (result.code() == Code::kNotLeader && !lane.established &&
      clock_.mono_ms() + kLookMs < item->deadline_ms) {
    item->sent = false;
    return look_again();
  }
  lane.established = result.ok();
  partition::AppendDone done = std::move(item->done);
  item->answered = true;
  while (!lane.items.empty() && lane.items.front().answered) lane.items.pop_front();
  if (lane.items.empty()) lanes_.erase(found);
  const bool refused = result.code() == Code::kNotLeader || result.code() == Code::kUnavailable ||
                       result.code() == Code::kTimeout;
  done(std::move(result));
  if (refused) refuse_rest(shard);
  pump(shard);
}

void HandOver::look_again() {
  if (std::exchange(looking_, true)) return;
  executor_.schedule_after(kLookMs, [this, alive = alive_] {
    if (!*alive) return;
    looking_ = false;
    pump_all();
  });
}

void HandOver::pump_all() {
  std::vector<ShardId> shards;
  for (const auto& [shard, lane] : lanes_) shards.push_back(shard);
  for (const ShardId& shard : shards) pump(shard);
}

}  // namespace broker::routing
