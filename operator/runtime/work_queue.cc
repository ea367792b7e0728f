#include "operator/runtime/work_queue.h"

#include <algorithm>

namespace sluice_operator::runtime {

void WorkQueue::add(const Key& key) {
  if (!waiting_.insert(key).second) return;
  if (!in_hand_.contains(key)) ready_.push_back(key);
}

void WorkQueue::drop_delay(const Key& key) {
  auto it = due_ms_.find(key);
  if (it == due_ms_.end()) return;
  by_time_.erase({it->second, key});
  due_ms_.erase(it);
}

void WorkQueue::add_at(const Key& key, int64_t due_ms) {
  auto it = due_ms_.find(key);
  if (it != due_ms_.end() && it->second <= due_ms) return;
  drop_delay(key);
  due_ms_[key] = due_ms;
  by_time_.insert({due_ms, key});
}

std::optional<Key> WorkQueue::take(int64_t now_ms) {
  while (!by_time_.empty() && by_time_.begin()->first <= now_ms) {
    Key key = by_time_.begin()->second;
    drop_delay(key);
    add(key);
  }
  if (ready_.empty()) return std::nullopt;
  Key key = std::move(ready_.front());
  ready_.pop_front();
  waiting_.erase(key);
  in_hand_.insert(key);
  drop_delay(key);  // this look is as good as the later one; the reconciler may ask again
  return key;
}

void WorkQueue::done(const Key& key) {
  in_hand_.erase(key);
  if (waiting_.contains(key)) ready_.push_back(key);
}

void WorkQueue::add_after_failure(const Key& key, int64_t now_ms, broker::env::Random& random) {
  int failures = ++failures_[key];
  int64_t ceiling_ms = backoff_.cap_ms;
  if (failures < 24) ceiling_ms = std::min(ceiling_ms, backoff_.base_ms << (failures - 1));
  int64_t half_ms = ceiling_ms / 2;
  add_at(key, now_ms + half_ms +
                  static_cast<int64_t>(random.below(static_cast<uint64_t>(half_ms) + 1)));
}

}  // namespace sluice_operator::runtime
