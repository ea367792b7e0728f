#include "operator/reconcile/proposal.h"

#include <algorithm>
#include <cstdio>

#include "broker/base/crc32c.h"

namespace sluice_operator::reconcile {

using broker::coordination::Balancing;
using broker::coordination::PlannedMove;

namespace {

bool approved(const api::StreamCluster& cluster, const api::RebalanceProposal& proposal) {
  auto it = cluster.metadata.annotations.find(api::kApproveRebalanceAnnotation);
  return it != cluster.metadata.annotations.end() && it->second == proposal.id;
}

bool proposes(const api::StreamCluster& cluster) {
  return cluster.spec.rebalancing.mode == api::RebalancingMode::kPropose;
}

bool same_moves(const std::vector<api::RebalanceProposal::Move>& a,
                const std::vector<PlannedMove>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const auto& x, const auto& y) {
    return x.stream == y.stream && x.shard == y.shard && x.from == y.from && x.to == y.to;
  });
}

// Two proposals of the same moves at different times are two proposals: an approval that was left on
// the resource is not one of the second.
std::string id_of(const api::RebalanceProposal& proposal) {
  std::string text = proposal.created_at;
  for (const auto& move : proposal.moves) {
    text += "/" + move.stream + "/" + std::to_string(move.shard) + "/" +
            std::to_string(move.from) + "/" + std::to_string(move.to);
  }
  char id[16];
  std::snprintf(id, sizeof id, "%08x", broker::crc32c(text));
  return id;
}

void add_loads(api::RebalanceProposal& proposal, const ClusterView& view) {
  for (const auto& seen : view.brokers) {
    auto& load = proposal.brokers.emplace_back();
    load.broker = seen.broker.id();
    load.replicas_before = load.replicas_after = seen.replicas;
    load.bytes_before = load.bytes_after = seen.bytes;
    for (const auto& move : proposal.moves) {
      const int sign = (move.to == load.broker) - (move.from == load.broker);
      load.replicas_after += sign;
      load.bytes_after = std::max<int64_t>(load.bytes_after + sign * move.bytes, 0);
    }
  }
}

// Between the same brokers, and not for long enough that nobody reads it any more.
bool stands(const api::StreamCluster& cluster, const api::RebalanceProposal& proposal,
            const std::string& now) {
  const auto& states = cluster.status.broker_states;
  const bool same_brokers =
      std::equal(states.begin(), states.end(), proposal.brokers.begin(), proposal.brokers.end(),
                 [](const auto& state, const auto& load) { return state.id == load.broker; });
  const int64_t age = api::rfc3339_ms(now) - api::rfc3339_ms(proposal.created_at);
  return same_brokers && age >= 0 && age < broker::coordination::kProposalStandsMs;
}

}  // namespace

Balancing balancing_of(const api::StreamCluster& cluster, const std::string& now) {
  Balancing balancing;
  balancing.propose = proposes(cluster);
  const auto& proposal = cluster.status.rebalance_proposal;
  if (!balancing.propose || !proposal || proposal->state == "Done") return balancing;
  const bool is_approved = approved(cluster, *proposal);
  if (!is_approved && !stands(cluster, *proposal, now)) return balancing;
  auto& moves = is_approved ? balancing.approved : balancing.standing;
  for (const auto& move : proposal->moves) {
    moves.push_back({move.stream, move.shard, move.from, move.to, move.bytes, move.reason});
  }
  return balancing;
}

std::optional<api::RebalanceProposal> next_proposal(const api::StreamCluster& cluster,
                                                    const ClusterView& view,
                                                    const std::string& now) {
  if (!proposes(cluster)) return std::nullopt;
  auto before = cluster.status.rebalance_proposal;
  if (before && before->state != "Done" && approved(cluster, *before)) {
    before->state = view.approved_moves_left == 0 ? "Done" : "Approved";
    return before;
  }
  if (before && before->state == "Approved") before->state = "Proposed";  // taken back
  if (!view.proposed_moves) return before;
  if (view.proposed_moves->empty()) {
    return before && before->state == "Done" ? before : std::nullopt;
  }
  if (before && before->state == "Proposed" && same_moves(before->moves, *view.proposed_moves)) {
    return before;
  }
  api::RebalanceProposal proposal;
  proposal.created_at = now;
  proposal.state = "Proposed";
  for (const auto& move : *view.proposed_moves) {
    proposal.moves.push_back(
        {move.stream, move.shard, move.from, move.to, move.bytes, move.reason});
  }
  proposal.id = id_of(proposal);
  add_loads(proposal, view);
  return proposal;
}

}  // namespace sluice_operator::reconcile
