#pragma once
// Pure arithmetic of ensembles and logs: what a set of members has in common.
#include <vector>

#include "broker/replication/core/messages.h"

namespace broker::replication {

// How many of `members` must agree: max(majority, min_insync), at most all of them.
size_t quorum_size(size_t members, int min_insync);

// The largest offset that at least quorum_size(ends) of `ends` have reached. A member that counts
// for nothing (not adopted) has Offset{-1}; so has the result when there is no such offset.
Offset committed_end(std::vector<Offset> ends, int min_insync);

// The end of the common prefix of two logs, given as term tables and ends. Entries of one term
// come from one leader in one order, so two logs agree below an offset when the same terms wrote
// everything below it. Worked example: leader 1@0 3@8, end 20; follower 1@0 2@5, end 9: they agree
// on [0,5): term 1 wrote up to 5 in both, then the follower has term 2 where the leader still has 1.
Offset common_end(const std::vector<TermStart>& leader, Offset leader_end,
                  const std::vector<TermStart>& follower, Offset follower_end);

}  // namespace broker::replication
