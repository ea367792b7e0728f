// Balancing that waits for approval: the moves that would even the cluster out are shown and not
// made, those that somebody has approved are made as long as they still make sense. What is approved
// comes from outside at every start, so nothing of it is lost with this process.
#include <algorithm>

#include "broker/coordination/core.h"

namespace broker::coordination {
namespace {

bool same_moves(const std::vector<PlannedMove>& a, const std::vector<PlannedMove>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const auto& x, const auto& y) {
    return x.stream == y.stream && x.shard == y.shard && x.from == y.from && x.to == y.to;
  });
}

}  // namespace

void Core::set_balancing(const Balancing& balancing) {
  const bool same = balancing_.propose == balancing.propose &&
                    same_moves(balancing_.approved, balancing.approved) &&
                    same_moves(balancing_.standing, balancing.standing);
  if (same) return;
  if (!same_moves(balancing_.approved, balancing.approved)) approved_left_.reset();
  balancing_ = balancing;
  if (!balancing.propose) proposed_.reset();
  something_changed_ = true;
  settle();
}

// Takes the moves that only even things out from the plan, and puts those in that are approved.
// `looked`: the plan has all of them; otherwise what was proposed before stays.
void Core::hold_back(MovePlan& plan, bool looked) {
  const ShardSizes sizes = shard_sizes();
  std::vector<PlannedMove> proposed;
  std::erase_if(plan.moves, [&](const Move& move) {
    if (move.reason != MoveReason::kZones && move.reason != MoveReason::kBalance) return false;
    const Stream* stream = find_stream_by_id(move.stream_id);
    if (stream && move.add && move.remove) {
      auto size = sizes.find({move.stream_id, move.shard});
      proposed.push_back({stream->name, move.shard, move.remove->broker(), move.add->broker(),
                          size == sizes.end() ? 0 : size->second,
                          std::string(to_string(move.reason))});
    }
    return true;
  });
  const std::set<int32_t> between = brokers_that_take();
  const bool young = between == proposed_between_ && now() - proposed_ms_ < kProposalStandsMs;
  if (!proposed.empty() && stands(balancing_.standing)) {
    proposed = balancing_.standing;
  } else if (!proposed.empty() && balancing_.standing.empty() && young && proposed_ &&
             stands(*proposed_)) {
    proposed = *proposed_;
  }
  if (looked && (!proposed_ || !same_moves(*proposed_, proposed))) {
    proposed_ = std::move(proposed);
    proposed_ms_ = now();
    proposed_between_ = between;
    something_changed_ = true;
  }
  add_approved(plan);
}

std::set<int32_t> Core::brokers_that_take() const {
  std::set<int32_t> out;
  for (const auto& broker : broker_infos()) {
    if (!broker.draining && !broker.directory.empty()) out.insert(broker.id);
  }
  return out;
}

bool Core::stands(const std::vector<PlannedMove>& moves) const {
  const auto brokers = broker_infos();
  return !moves.empty() && std::all_of(moves.begin(), moves.end(), [&](const PlannedMove& planned) {
    const Stream* stream = find_stream(planned.stream);
    const Shard* shard = stream ? find_shard_by_index(stream->map, planned.shard) : nullptr;
    Move move;
    return shard && still_applies(stream->map, *shard, planned.from, planned.to, brokers, move) !=
                        Applies::kNever;
  });
}

void Core::add_approved(MovePlan& plan) {
  const auto brokers = broker_infos();
  int left = 0;
  for (const auto& approved : balancing_.approved) {
    const Stream* stream = find_stream(approved.stream);
    const Shard* shard = stream ? find_shard_by_index(stream->map, approved.shard) : nullptr;
    if (!shard) continue;
    if (is_being_made(*stream, *shard, approved)) {
      ++left;
      continue;
    }
    Move move;
    Applies applies =
        still_applies(stream->map, *shard, approved.from, approved.to, brokers, move);
    if (applies == Applies::kNever) continue;
    ++left;
    const bool taken = std::any_of(plan.moves.begin(), plan.moves.end(), [&](const Move& other) {
      return other.stream_id == stream->map.stream_id() && other.shard == shard->index();
    });
    if (applies == Applies::kNow && !taken) plan.moves.push_back(std::move(move));
  }
  if (approved_left_ != left) something_changed_ = true;
  approved_left_ = left;
}

bool Core::is_being_made(const Stream& stream, const Shard& shard, const PlannedMove& move) const {
  auto live = stream.live.find(shard.index());
  const bool begun = live != stream.live.end() && live->second.move && live->second.move->add &&
                     live->second.move->add->broker() == move.to;
  return begun || find_replica(shard.learners(), move.to) ||
         (is_joint(shard) && find_replica(shard.next_replicas(), move.to));
}

}  // namespace broker::coordination
