// From a proposal to its approval to its end, over operators that come and go in between.
#include "operator/reconcile/proposal.h"

#include <gtest/gtest.h>

namespace sluice_operator::reconcile {
namespace {

const std::string kNow = "2026-01-31T08:00:00Z", kLater = "2026-01-31T09:00:00Z";

api::StreamCluster proposing() {
  api::StreamCluster cluster;
  cluster.spec.rebalancing.mode = api::RebalancingMode::kPropose;
  return cluster;
}

ClusterView uneven() {
  ClusterView view;
  for (int id : {0, 1}) {
    auto& broker = view.brokers.emplace_back();
    broker.broker.set_id(id);
    broker.replicas = id == 0 ? 4 : 0;
    broker.bytes = id == 0 ? 400 : 0;
  }
  view.proposed_moves = {{"s", 0, 0, 1, 100, "balance"}, {"s", 1, 0, 1, 100, "balance"}};
  return view;
}

TEST(RebalanceProposal, ShowsTheMovesAndWhatBrokersHoldBeforeAndAfter) {
  auto proposal = next_proposal(proposing(), uneven(), kNow);
  ASSERT_TRUE(proposal);
  EXPECT_EQ(proposal->state, "Proposed");
  EXPECT_EQ(proposal->moves.size(), 2u);
  ASSERT_EQ(proposal->brokers.size(), 2u);
  EXPECT_EQ(proposal->brokers[0].replicas_before, 4);
  EXPECT_EQ(proposal->brokers[0].replicas_after, 2);
  EXPECT_EQ(proposal->brokers[1].bytes_after, 200);
  EXPECT_FALSE(next_proposal(api::StreamCluster{}, uneven(), kNow));  // mode Automatic
}

TEST(RebalanceProposal, KeepsItsIdUntilTheMovesAreOthers) {
  auto cluster = proposing();
  auto view = uneven();
  cluster.status.rebalance_proposal = next_proposal(cluster, view, kNow);
  EXPECT_EQ(next_proposal(cluster, view, kLater), cluster.status.rebalance_proposal);
  view.proposed_moves->pop_back();
  auto other = next_proposal(cluster, view, kLater);
  EXPECT_NE(other->id, cluster.status.rebalance_proposal->id);
  // A coordinator that has just begun has not looked yet.
  view.proposed_moves.reset();
  EXPECT_EQ(next_proposal(cluster, view, kLater), cluster.status.rebalance_proposal);
}

TEST(RebalanceProposal, OnlyTheApprovalOfItsIdLetsMovesBegin) {
  auto cluster = proposing();
  cluster.status.rebalance_proposal = next_proposal(cluster, uneven(), kNow);
  EXPECT_TRUE(balancing_of(cluster, kNow).approved.empty());
  cluster.metadata.annotations[api::kApproveRebalanceAnnotation] = "something else";
  EXPECT_TRUE(balancing_of(cluster, kNow).approved.empty());
  cluster.metadata.annotations[api::kApproveRebalanceAnnotation] =
      cluster.status.rebalance_proposal->id;
  ASSERT_EQ(balancing_of(cluster, kNow).approved.size(), 2u);
  EXPECT_EQ(balancing_of(cluster, kNow).approved[1].shard, 1);
}

TEST(RebalanceProposal, StandsForAWhileBetweenTheSameBrokers) {
  auto cluster = proposing();
  for (int id : {0, 1}) cluster.status.broker_states.emplace_back().id = id;
  cluster.status.rebalance_proposal = next_proposal(cluster, uneven(), kNow);
  EXPECT_EQ(balancing_of(cluster, kNow).standing.size(), 2u);
  EXPECT_EQ(balancing_of(cluster, "2026-01-31T08:09:59Z").standing.size(), 2u);
  EXPECT_TRUE(balancing_of(cluster, "2026-01-31T08:10:00Z").standing.empty());
  cluster.status.broker_states.emplace_back().id = 2;
  EXPECT_TRUE(balancing_of(cluster, kNow).standing.empty()) << "there is a broker to move to now";
}

TEST(RebalanceProposal, IsCarriedOutAndThenDone) {
  auto cluster = proposing();
  auto view = uneven();
  auto& shown = cluster.status.rebalance_proposal;
  shown = next_proposal(cluster, view, kNow);
  const std::string id = shown->id;
  cluster.metadata.annotations[api::kApproveRebalanceAnnotation] = id;
  // What the coordinator would propose for the rest does not take its place meanwhile.
  view.proposed_moves = {{"s", 2, 0, 1, 100, "balance"}};
  shown = next_proposal(cluster, view, kLater);
  EXPECT_EQ(shown->state, "Approved");
  view.approved_moves_left = 1;
  shown = next_proposal(cluster, view, kLater);
  EXPECT_EQ(shown->state, "Approved");
  view.approved_moves_left = 0;
  view.proposed_moves.emplace();
  shown = next_proposal(cluster, view, kLater);
  EXPECT_EQ(shown->state, "Done");
  EXPECT_TRUE(balancing_of(cluster, kNow).approved.empty());
  EXPECT_EQ(next_proposal(cluster, view, kLater)->state, "Done");
  // The same moves once more are another proposal: the approval that is still there is not for it.
  view = uneven();
  shown = next_proposal(cluster, view, kLater);
  EXPECT_EQ(shown->state, "Proposed");
  EXPECT_NE(shown->id, id);
  EXPECT_TRUE(balancing_of(cluster, kNow).approved.empty());
}

TEST(RebalanceProposal, AnApprovalCanBeTakenBack) {
  auto cluster = proposing();
  auto view = uneven();
  auto& shown = cluster.status.rebalance_proposal;
  shown = next_proposal(cluster, view, kNow);
  cluster.metadata.annotations[api::kApproveRebalanceAnnotation] = shown->id;
  shown = next_proposal(cluster, view, kLater);
  cluster.metadata.annotations.clear();
  EXPECT_TRUE(balancing_of(cluster, kNow).approved.empty());
  EXPECT_EQ(next_proposal(cluster, view, kLater)->state, "Proposed");
}

}  // namespace
}  // namespace sluice_operator::reconcile
