#pragma once
// The machine's deadlines: at most one per key, found in order of time. Inside the machine.
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>

namespace broker::groups {

enum class TimerKind : uint8_t {
  kSession,         // a classic member, joined or about to
  kJoin,            // a classic group waits for its members to join
  kInitialDelay,    // a new classic group waits for more members
  kSync,            // members wait for the leader's assignment
  kConsumerMember,  // the session of a consumer group's member
  kRevocation,      // such a member must give partitions up
  kRejoin,          // such a member, speaking the classic protocol, must join or sync again
};

struct TimerKey {
  TimerKind kind;
  std::string group, member;
  auto operator<=>(const TimerKey&) const = default;
};

class Timers {
 public:
  void set(const TimerKey& key, int64_t deadline_ms) {
    cancel(key);
    deadlines_[key] = deadline_ms;
    queue_.insert({deadline_ms, key});
  }
  void cancel(const TimerKey& key) {
    auto it = deadlines_.find(key);
    if (it == deadlines_.end()) return;
    queue_.erase({it->second, key});
    deadlines_.erase(it);
  }
  bool has(const TimerKey& key) const { return deadlines_.count(key) > 0; }
  std::optional<int64_t> next() const {
    if (queue_.empty()) return std::nullopt;
    return queue_.begin()->first;
  }
  // Takes the first timer that is due.
  std::optional<TimerKey> take_due(int64_t now_ms) {
    if (queue_.empty() || queue_.begin()->first > now_ms) return std::nullopt;
    TimerKey key = queue_.begin()->second;
    cancel(key);
    return key;
  }

 private:
  std::map<TimerKey, int64_t> deadlines_;
  std::set<std::pair<int64_t, TimerKey>> queue_;
};

}  // namespace broker::groups
