#pragma once
// The order of a controller's work: each key waits at most once, is never handed out twice at once,
// and comes back if it was added meanwhile. Two lanes, each first come, first served: what somebody has
// changed goes before what is only looked at again, such as everything there is after a start; but one of
// kChangesInARow turns is for the latter. Delayed keys and back-off included. Pure: the controller brings
// the time and the lock.
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <tuple>

#include "broker/env/env.h"
#include "operator/runtime/reconciler.h"

namespace sluice_operator::runtime {

struct BackoffOptions {
  int64_t base_ms = 200;
  int64_t cap_ms = 60'000;
};

enum class Lane { kChanged, kRoutine };

class WorkQueue {
 public:
  static constexpr int kChangesInARow = 8;
  explicit WorkQueue(BackoffOptions backoff) : backoff_(backoff) {}

  void add(const Key& key, Lane lane = Lane::kChanged);
  // The earlier of two due times counts.
  void add_at(const Key& key, int64_t due_ms);
  // The next key whose turn it is; it stays in hand until done().
  std::optional<Key> take(int64_t now_ms);
  void done(const Key& key);

  // After a failure: the key waits base, 2 base, 4 base ... cap, each shortened by up to half.
  void add_after_failure(const Key& key, int64_t now_ms, broker::env::Random& random);
  void forget_failures(const Key& key);

  // To look again: the key waits first, 2 first, 4 first ... at_most, each shortened by up to half.
  void add_to_follow(const Key& key, int64_t now_ms, int64_t first_ms, int64_t at_most_ms,
                     broker::env::Random& random);
  // Something has happened to it: the next wait is `first` again.
  void forget_looks(const Key& key);

  size_t depth() const { return waiting_.size(); }
  // When the next delayed key is due; INT64_MAX when there is none.
  int64_t next_due_ms() const { return by_time_.empty() ? INT64_MAX : (*by_time_.begin())->second.due_ms; }

 private:
  void drop_delay(const Key& key);
  const BackoffOptions backoff_;
  std::optional<Key> take_from(Lane lane);
  void put(const Key& key, Lane lane);
  std::deque<Key>& lane(Lane which) { return which == Lane::kChanged ? changed_ : routine_; }
  std::deque<Key> changed_, routine_;  // a key that has gone over to changed_ stays in routine_, too
  std::map<Key, Lane> waiting_;        // in that lane, or to be put there by done()
  int changes_in_a_row_ = 0;
  std::set<Key> in_hand_;
  // What is known of a key beside its turn. A fleet has ten thousands of them: one entry each.
  struct Later {
    int64_t due_ms = INT64_MAX;
    int failures = 0, looks = 0;
    bool operator==(const Later&) const = default;
  };
  using Laters = std::map<Key, Later>;
  void set_due(Laters::iterator it, int64_t due_ms);
  void drop_if_empty(Laters::iterator it);
  Laters later_;
  struct Earlier {
    bool operator()(const Laters::value_type* a, const Laters::value_type* b) const {
      return std::tie(a->second.due_ms, a->first) < std::tie(b->second.due_ms, b->first);
    }
  };
  std::set<const Laters::value_type*, Earlier> by_time_;  // those that are due some time
};

}  // namespace sluice_operator::runtime
