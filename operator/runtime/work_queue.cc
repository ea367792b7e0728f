#include "operator/runtime/work_queue.h"

#include <algorithm>

namespace sluice_operator::runtime {

void WorkQueue::put(const Key& key, Lane which) {
  if (!in_hand_.contains(key)) lane(which).push_back(key);
}

void WorkQueue::add(const Key& key, Lane which) {
  auto [it, fresh] = waiting_.try_emplace(key, which);
  if (!fresh && (it->second == Lane::kChanged || which == Lane::kRoutine)) return;
  it->second = which;
  put(key, which);
}

// INT64_MAX: not due.
void WorkQueue::set_due(Laters::iterator it, int64_t due_ms) {
  if (it->second.due_ms != INT64_MAX) by_time_.erase(&*it);
  it->second.due_ms = due_ms;
  if (due_ms != INT64_MAX) by_time_.insert(&*it);
}

void WorkQueue::drop_if_empty(Laters::iterator it) {
  if (it->second == Later()) later_.erase(it);
}

void WorkQueue::drop_delay(const Key& key) {
  auto it = later_.find(key);
  if (it == later_.end()) return;
  set_due(it, INT64_MAX);
  drop_if_empty(it);
}

void WorkQueue::forget_failures(const Key& key) {
  auto it = later_.find(key);
  if (it == later_.end()) return;
  it->second.failures = 0;
  drop_if_empty(it);
}

void WorkQueue::forget_looks(const Key& key) {
  auto it = later_.find(key);
  if (it == later_.end()) return;
  it->second.looks = 0;
  drop_if_empty(it);
}

void WorkQueue::add_at(const Key& key, int64_t due_ms) {
  auto it = later_.try_emplace(key).first;
  if (due_ms < it->second.due_ms) set_due(it, due_ms);
}

std::optional<Key> WorkQueue::take(int64_t now_ms) {
  while (next_due_ms() <= now_ms) {
    const Key key = (*by_time_.begin())->first;
    drop_delay(key);
    add(key, Lane::kRoutine);
  }
  const bool others_first = changes_in_a_row_ >= kChangesInARow;
  auto key = take_from(others_first ? Lane::kRoutine : Lane::kChanged);
  if (!key) key = take_from(others_first ? Lane::kChanged : Lane::kRoutine);
  if (!key) return std::nullopt;
  in_hand_.insert(*key);
  drop_delay(*key);  // this look is as good as the later one; the reconciler may ask again
  return key;
}

std::optional<Key> WorkQueue::take_from(Lane which) {
  auto& keys = lane(which);
  while (!keys.empty()) {
    Key key = std::move(keys.front());
    keys.pop_front();
    auto it = waiting_.find(key);
    // Not what waits here: it has gone over to the other lane, and may have been taken from there.
    if (it == waiting_.end() || it->second != which || in_hand_.contains(key)) continue;
    waiting_.erase(it);
    changes_in_a_row_ = which == Lane::kChanged ? changes_in_a_row_ + 1 : 0;
    return key;
  }
  return std::nullopt;
}

void WorkQueue::done(const Key& key) {
  in_hand_.erase(key);
  if (auto it = waiting_.find(key); it != waiting_.end()) put(key, it->second);
}

void WorkQueue::add_after_failure(const Key& key, int64_t now_ms, broker::env::Random& random) {
  const int failures = ++later_[key].failures;
  int64_t ceiling_ms = backoff_.cap_ms;
  if (failures < 24) ceiling_ms = std::min(ceiling_ms, backoff_.base_ms << (failures - 1));
  int64_t half_ms = ceiling_ms / 2;
  add_at(key, now_ms + half_ms +
                  static_cast<int64_t>(random.below(static_cast<uint64_t>(half_ms) + 1)));
}

void WorkQueue::add_to_follow(const Key& key, int64_t now_ms, int64_t first_ms, int64_t at_most_ms,
                              broker::env::Random& random) {
  int& looks = later_[key].looks;
  int64_t ceiling_ms = at_most_ms;
  if (looks < 24) ceiling_ms = std::min(ceiling_ms, first_ms << looks++);
  const int64_t half_ms = ceiling_ms / 2;
  add_at(key, now_ms + ceiling_ms - half_ms +
                  static_cast<int64_t>(random.below(static_cast<uint64_t>(half_ms) + 1)));
}

}  // namespace sluice_operator::runtime
