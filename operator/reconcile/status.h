#pragma once
// PURE: what is seen of a cluster or a stream, as its status. Called by the reconcilers.
#include "operator/api/stream.h"
#include "operator/api/stream_cluster.h"
#include "operator/reconcile/certificates.h"
#include "operator/reconcile/clusters.h"
#include "operator/reconcile/observe.h"

namespace sluice_operator::reconcile {

struct ClusterSight {
  int32_t replicas = 0;  // of the StatefulSet
  std::vector<PodView> pods;
  ClusterView view;
  std::vector<int32_t> surplus;   // brokers that are to go
  std::vector<int32_t> draining;  // and those that are to be empty
  plan::RollStep roll;
  std::string wanted_hash;  // of the settings that brokers are to run with
  std::string image;        // of the pod template
  int volumes_growing = 0;
  std::map<int32_t, std::string> claims_deleting;  // by broker: somebody deletes its volume claim
  std::string scaler;  // the HorizontalPodAutoscaler of its scale subresource; empty: there is none
  plan::Outside outside;  // of its listeners
  std::optional<ClusterCertificates> certificates;  // once looked after in this pass
  std::string rotation;  // of a CA, and what it waits for; empty: none is under way
  bool paused = false;
  std::string problem;  // what could not be done this time
};

api::StreamClusterStatus cluster_status(const api::StreamCluster& cluster,
                                        const ClusterSight& sight, const std::string& now);
api::StreamStatus stream_status(const api::Stream& stream, const StreamView& view,
                                const std::string& now);
// Every one of these brokers drains and holds nothing.
bool drained(const ClusterView& view, const std::vector<int32_t>& brokers);
// Its coordinator works on it, with brokers that are there: a roll, a drain, a rebalance.
bool moving(const api::StreamClusterStatus& status);
// Nothing is to be done before something changes.
bool settled(const api::StreamClusterStatus& status, const ClusterSight& sight);

}  // namespace sluice_operator::reconcile
