#include "broker/replication/core/quorum.h"

#include <algorithm>

namespace broker::replication {

size_t quorum_size(size_t members, int min_insync) {
  size_t majority = members / 2 + 1;
  size_t wanted = std::max(majority, static_cast<size_t>(std::max(min_insync, 0)));
  return std::min(wanted, members);
}

Offset committed_end(std::vector<Offset> ends, int min_insync) {
  if (ends.empty()) return Offset{-1};
  size_t quorum = quorum_size(ends.size(), min_insync);
  std::sort(ends.begin(), ends.end(), std::greater<>());
  return ends[quorum - 1];
}

Offset common_end(const std::vector<TermStart>& leader, Offset leader_end,
                  const std::vector<TermStart>& follower, Offset follower_end) {
  // Walk both tables as step functions offset -> term; stop at the first offset where they differ.
  Offset limit = std::min(leader_end, follower_end);
  size_t l = 0, f = 0;
  // A log whose start was deleted has its first term start at or below the other's entries: compare
  // from the larger of the two starts; below it only committed records were deleted.
  if (leader.empty() || follower.empty()) return limit;
  Offset at = std::max(leader[0].start, follower[0].start);
  if (at >= limit) return limit;
  while (at < limit) {
    while (l + 1 < leader.size() && leader[l + 1].start <= at) l++;
    while (f + 1 < follower.size() && follower[f + 1].start <= at) f++;
    if (leader[l].term != follower[f].term) return at;
    Offset next = limit;
    if (l + 1 < leader.size()) next = std::min(next, leader[l + 1].start);
    if (f + 1 < follower.size()) next = std::min(next, follower[f + 1].start);
    at = next;
  }
  return limit;
}

}  // namespace broker::replication
