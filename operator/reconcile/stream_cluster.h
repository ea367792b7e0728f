#pragma once
// Reconciles StreamClusters: observe, plan, apply, status. On the controller's threads.
#include "operator/kube/cache/cache.h"
#include "operator/reconcile/certificates.h"
#include "operator/reconcile/clusters.h"
#include "operator/reconcile/status.h"
#include "operator/runtime/reconciler.h"

namespace sluice_operator::reconcile {

struct Caches {
  kube::Cache& clusters;
  kube::Cache& streams;
  kube::Cache& pods;
  kube::Cache& nodes;
  kube::Cache& stateful_sets;
  kube::Cache& services;
  kube::Cache& config_maps;
  kube::Cache& service_accounts;
  kube::Cache& disruption_budgets;
  kube::Cache& network_policies;
};

struct ClusterSettings {
  std::string broker_image;
  std::string coordinator_address;
  std::string log_level;
};

class StreamClusterReconciler : public runtime::Reconciler {
 public:
  StreamClusterReconciler(kube::Client& client, broker::env::Clock& clock, Caches caches,
                          Clusters& clusters, Certificates& certificates,
                          kube::EventRecorder& events, ClusterSettings settings);
  runtime::Outcome reconcile(const runtime::Key& key) override;

 private:
  runtime::Outcome let_go(const api::StreamCluster& cluster);
  std::vector<PodView> observe_pods(const api::StreamCluster& cluster) const;
  std::vector<std::shared_ptr<const api::Stream>> streams_of(const api::StreamCluster& c) const;
  broker::Status apply_all(const api::StreamCluster& cluster, int32_t replicas);
  broker::Status write_status(const api::StreamCluster& cluster,
                              const api::StreamClusterStatus& status, const kube::Json& object);
  kube::Cache* cache_for(const std::string& kind);

  kube::Client& client_;
  broker::env::Clock& clock_;
  Caches caches_;
  Clusters& clusters_;
  Certificates& certificates_;
  kube::EventRecorder& events_;
  const ClusterSettings settings_;
};

}  // namespace sluice_operator::reconcile
