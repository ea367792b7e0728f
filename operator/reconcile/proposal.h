#pragma once
// PURE: rebalancing by proposal. A proposal is kept in the StreamCluster's status and approved by an
// annotation that names its id, so that whoever leads next knows both. Called by the StreamCluster's
// reconciler. Invariant: an approval is for the moves that its giver saw, never for others.
#include "operator/api/stream_cluster.h"
#include "operator/reconcile/clusters.h"

namespace sluice_operator::reconcile {

// What the coordinator may do to even the cluster out. `now`: RFC 3339.
broker::coordination::Balancing balancing_of(const api::StreamCluster& cluster,
                                             const std::string& now);

// The proposal that status is to show: the one that is there, as long as the coordinator proposes
// the same or carries it out, else a new one with another id.
std::optional<api::RebalanceProposal> next_proposal(const api::StreamCluster& cluster,
                                                    const ClusterView& view,
                                                    const std::string& now);

}  // namespace sluice_operator::reconcile
