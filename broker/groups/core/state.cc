#include "broker/groups/core/state.h"

#include <algorithm>

#include "broker/groups/core/consumer_protocol.h"

namespace broker::groups {

std::string_view to_string(ClassicState state) {
  switch (state) {
    case ClassicState::kEmpty:
      return "Empty";
    case ClassicState::kPreparingRebalance:
      return "PreparingRebalance";
    case ClassicState::kCompletingRebalance:
      return "CompletingRebalance";
    case ClassicState::kStable:
      return "Stable";
  }
  return "Dead";
}

const std::string& ClassicMember::metadata(std::string_view protocol) const {
  static const std::string none;
  for (const Protocol& p : protocols) {
    if (p.name == protocol) return p.metadata;
  }
  return none;
}

bool ClassicGroup::uses_consumer_protocol() const { return protocol_type == kConsumerProtocolType; }

size_t ClassicGroup::awaiting_join_count() const {
  return static_cast<size_t>(std::count_if(members.begin(), members.end(), [](const auto& entry) {
    return entry.second.awaiting_join != nullptr;
  }));
}

int32_t ClassicGroup::rebalance_timeout_ms() const {
  int32_t longest = 0;
  for (const auto& [id, member] : members) longest = std::max(longest, member.rebalance_timeout_ms);
  return longest;
}

size_t ClassicGroup::metadata_bytes() const {
  size_t bytes = 0;
  for (const auto& [id, member] : members) {
    for (const Protocol& protocol : member.protocols) bytes += protocol.metadata.size();
    bytes += member.assignment.size();
  }
  return bytes;
}

bool ClassicGroup::supports(const std::string& type, const std::vector<Protocol>& protocols) const {
  if (type.empty() || protocols.empty()) return false;
  if (members.empty()) return true;
  if (protocol_type != type) return false;
  return std::any_of(protocols.begin(), protocols.end(), [&](const Protocol& wanted) {
    return std::all_of(members.begin(), members.end(), [&](const auto& entry) {
      const auto& theirs = entry.second.protocols;
      return std::any_of(theirs.begin(), theirs.end(),
                         [&](const Protocol& p) { return p.name == wanted.name; });
    });
  });
}

std::optional<std::string> ClassicGroup::select_protocol() const {
  std::map<std::string, size_t> support, votes;
  for (const auto& [id, member] : members) {
    std::set<std::string> names;
    for (const Protocol& p : member.protocols) names.insert(p.name);
    for (const auto& name : names) ++support[name];
  }
  for (const auto& [id, member] : members) {
    auto first = std::find_if(member.protocols.begin(), member.protocols.end(),
                              [&](const Protocol& p) { return support[p.name] == members.size(); });
    if (first != member.protocols.end()) ++votes[first->name];
  }
  auto best = std::max_element(votes.begin(), votes.end(), [](const auto& a, const auto& b) {
    return a.second < b.second;
  });
  if (best == votes.end()) return std::nullopt;
  return best->first;
}

std::vector<JoinedMember> ClassicGroup::joined_members() const {
  std::vector<JoinedMember> out;
  for (const auto& [id, member] : members) {
    out.push_back({id, member.instance, member.metadata(protocol_name.value_or(""))});
  }
  return out;
}

std::optional<std::set<std::string>> ClassicGroup::subscribed_topics() const {
  if (!uses_consumer_protocol()) return std::nullopt;
  std::set<std::string> topics;
  if (members.empty()) return topics;
  if (!protocol_name) return std::nullopt;
  for (const auto& [id, member] : members) {
    auto subscription = parse_subscription(member.metadata(*protocol_name));
    if (!subscription.ok()) return std::nullopt;
    topics.insert(subscription->topics.begin(), subscription->topics.end());
  }
  return topics;
}

StoredClassicGroup ClassicGroup::stored() const {
  StoredClassicGroup out{protocol_type, protocol_name, leader, generation, state_ms, {}};
  for (const auto& [id, member] : members) out.members.push_back(member);
  return out;
}

std::string_view ConsumerGroup::state() const {
  if (members.empty()) return "Empty";
  if (epoch > assignment_epoch) return "Assigning";
  bool reconciled = std::all_of(members.begin(), members.end(), [&](const auto& entry) {
    return entry.second.state == MemberState::kStable && entry.second.epoch == assignment_epoch;
  });
  return reconciled ? "Stable" : "Reconciling";
}

int32_t ConsumerGroup::holder_epoch(const Uuid& topic, int32_t partition) const {
  auto t = holders.find(topic);
  if (t == holders.end()) return -1;
  auto p = t->second.find(partition);
  return p == t->second.end() ? -1 : p->second;
}

const Assignment& ConsumerGroup::target_of(const std::string& member) const {
  static const Assignment none;
  auto it = target.find(member);
  return it == target.end() ? none : it->second;
}

bool contains(const Assignment& assignment, const Uuid& topic, int32_t partition) {
  auto it = assignment.find(topic);
  return it != assignment.end() && it->second.count(partition) > 0;
}

bool is_subset(const Assignment& part, const Assignment& whole) {
  for (const auto& [topic, partitions] : part) {
    for (int32_t p : partitions) {
      if (!contains(whole, topic, p)) return false;
    }
  }
  return true;
}

size_t count(const Assignment& assignment) {
  size_t n = 0;
  for (const auto& [topic, partitions] : assignment) n += partitions.size();
  return n;
}

}  // namespace broker::groups
