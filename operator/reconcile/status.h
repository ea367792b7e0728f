#pragma once
// PURE: what is seen of a cluster or a stream, as its status. Called by the reconcilers.
#include "operator/api/stream.h"
#include "operator/api/stream_cluster.h"
#include "operator/reconcile/clusters.h"

namespace sluice_operator::reconcile {

// A broker's pod as Kubernetes shows it.
struct PodView {
  int32_t broker = 0;
  std::string name, node, zone;
  bool ready = false;
  bool updated = false;  // runs the StatefulSet's current template
  std::string waiting;   // why its container does not run, e.g. ImagePullBackOff
};

struct ClusterSight {
  int32_t replicas = 0;  // of the StatefulSet
  std::vector<PodView> pods;
  ClusterView view;
  std::vector<int32_t> draining;
  std::string problem;  // what could not be done this time
};

api::StreamClusterStatus cluster_status(const api::StreamCluster& cluster,
                                        const ClusterSight& sight, const std::string& now);
api::StreamStatus stream_status(const api::Stream& stream, const StreamView& view,
                                const std::string& now);
// Surplus brokers may go: every broker to be removed holds nothing.
bool drained(const ClusterView& view, const std::vector<int32_t>& draining);

}  // namespace sluice_operator::reconcile
