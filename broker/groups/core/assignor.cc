#include "broker/groups/core/assignor.h"

#include <algorithm>

#include "broker/groups/core/state.h"

namespace broker::groups {
namespace {

Assignments assign_range(const std::vector<AssignorMember>& members,
                         const AssignablePartitions& partitions) {
  Assignments out;
  // Static members first and by instance, so that their pieces outlive a restart.
  std::vector<const AssignorMember*> ordered;
  for (const auto& member : members) {
    ordered.push_back(&member);
    out[member.id];
  }
  std::stable_sort(ordered.begin(), ordered.end(), [](const auto* a, const auto* b) {
    if (a->instance.has_value() != b->instance.has_value()) return a->instance.has_value();
    return a->instance ? *a->instance < *b->instance : a->id < b->id;
  });
  for (const auto& [topic, indexes] : partitions) {
    std::vector<const AssignorMember*> readers;
    for (const auto* member : ordered) {
      if (member->topics.count(topic)) readers.push_back(member);
    }
    if (readers.empty()) continue;
    size_t each = indexes.size() / readers.size(), extra = indexes.size() % readers.size();
    auto next = indexes.begin();
    for (size_t i = 0; i < readers.size(); ++i) {
      for (size_t n = each + (i < extra ? 1 : 0); n > 0; --n) {
        out[readers[i]->id][topic].insert(*next++);
      }
    }
  }
  return out;
}

// Works on indexes of members, kept in order of how much they have.
class Uniform {
 public:
  Uniform(const std::vector<AssignorMember>& members, const AssignablePartitions& partitions)
      : members_(members), partitions_(partitions), assigned_(members.size()),
        loads_(members.size(), 0) {}

  Assignments run() {
    keep_current();
    for (size_t m = 0; m < members_.size(); ++m) by_load_.insert({loads_[m], m});
    place_rest();
    balance();
    Assignments out;
    for (size_t m = 0; m < members_.size(); ++m) out[members_[m].id] = std::move(assigned_[m]);
    return out;
  }

 private:
  void keep_current() {
    for (size_t m = 0; m < members_.size(); ++m) {
      for (const auto& [topic, indexes] : members_[m].current) {
        auto known = partitions_.find(topic);
        if (known == partitions_.end() || !members_[m].topics.count(topic)) continue;
        for (int32_t index : indexes) {
          if (!known->second.count(index) || !taken_[topic].insert(index).second) continue;
          assigned_[m][topic].insert(index);
          ++loads_[m];
        }
      }
    }
  }

  void place_rest() {
    // Topics with few readers first: the others have more to choose from.
    std::vector<std::pair<size_t, Uuid>> order;
    for (const auto& [topic, indexes] : partitions_) {
      size_t readers = static_cast<size_t>(std::count_if(
          members_.begin(), members_.end(), [&](const auto& m) { return m.topics.count(topic); }));
      if (readers > 0) order.emplace_back(readers, topic);
    }
    std::sort(order.begin(), order.end());
    for (const auto& [readers, topic] : order) {
      for (int32_t index : partitions_.at(topic)) {
        if (taken_[topic].count(index)) continue;
        auto to = std::find_if(by_load_.begin(), by_load_.end(), [&, &t = topic](const auto& e) {
          return members_[e.second].topics.count(t) > 0;
        });
        size_t member = to->second;
        assigned_[member][topic].insert(index);
        change_load(member, 1);
      }
    }
  }

  // Moves one partition at a time from who has most to who has at least two fewer. Every move makes
  // the sum of squared loads smaller, so this ends.
  void balance() {
    std::set<size_t> settled;  // nobody can take from them
    while (settled.size() < members_.size()) {
      auto most = std::find_if(by_load_.rbegin(), by_load_.rend(),
                               [&](const auto& e) { return settled.count(e.second) == 0; });
      size_t from = most->second;
      if (!give_one(from)) {
        settled.insert(from);
      } else {
        settled.clear();
      }
    }
  }

  bool give_one(size_t from) {
    for (const auto& [load, to] : by_load_) {
      if (load + 2 > loads_[from]) return false;
      for (auto& [topic, indexes] : assigned_[from]) {
        if (!members_[to].topics.count(topic)) continue;
        int32_t index = *indexes.rbegin();
        assigned_[to][topic].insert(index);
        indexes.erase(index);
        if (indexes.empty()) assigned_[from].erase(Uuid(topic));
        size_t receiver = to;
        change_load(from, -1);
        change_load(receiver, 1);
        return true;
      }
    }
    return false;
  }

  void change_load(size_t member, int by) {
    by_load_.erase({loads_[member], member});
    loads_[member] = static_cast<size_t>(static_cast<int64_t>(loads_[member]) + by);
    by_load_.insert({loads_[member], member});
  }

  const std::vector<AssignorMember>& members_;
  const AssignablePartitions& partitions_;
  std::vector<Assignment> assigned_;
  std::vector<size_t> loads_;
  std::set<std::pair<size_t, size_t>> by_load_;
  AssignablePartitions taken_;
};

}  // namespace

bool is_assignor(std::string_view name) { return name == kUniform || name == kRange; }

Assignments assign(std::string_view assignor, const std::vector<AssignorMember>& members,
                   const AssignablePartitions& partitions) {
  if (assignor == kRange) return assign_range(members, partitions);
  return Uniform(members, partitions).run();
}

}  // namespace broker::groups
