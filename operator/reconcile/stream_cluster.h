#pragma once
// Reconciles StreamClusters: observe, plan, apply, status. On the controller's threads.
#include "operator/api/stream_user.h"
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
  kube::Cache& claims;
  kube::Cache& stateful_sets;
  kube::Cache& services;
  kube::Cache& config_maps;
  kube::Cache& service_accounts;
  kube::Cache& disruption_budgets;
  kube::Cache& network_policies;
  kube::Cache& users;
  kube::Cache& ingresses;
  kube::Cache& autoscalers;
};

struct ClusterSettings {
  std::string broker_image;
  std::string coordinator_address;
  std::string log_level;
  // Brokers whose cluster names no image follow broker_image when it changes, one by one.
  bool upgrade_brokers = false;
  int64_t ca_phase_seconds = 3600;  // the least time in a phase of a CA's rotation
};

class StreamClusterReconciler : public runtime::Reconciler {
 public:
  StreamClusterReconciler(kube::Client& client, broker::env::Clock& clock, Caches caches,
                          Clusters& clusters, Certificates& certificates,
                          kube::EventRecorder& events, ClusterSettings settings);
  runtime::Outcome reconcile(const runtime::Key& key) override;

 private:
  // One pass over one cluster: what was observed, and what follows.
  struct Round {
    const api::StreamCluster& cluster;
    const kube::Json& object;
    ClusterSight sight;
    StatefulSetView set;
    std::vector<plan::Claim> claims;
    std::vector<api::StreamUser> users;
    plan::PodSettings wanted;
    std::string default_image;
    int32_t current = 0;   // brokers that exist
    int32_t replicas = 0;  // that the StatefulSet is to have
  };
  void observe(Round& round);
  void choose_settings(Round& round);
  broker::Status tend_certificates(Round& round);
  broker::Status act(Round& round);
  plan::RollInput roll_of(const Round& round) const;
  broker::Status restart_brokers(const Round& round);
  broker::Status tend_volumes(Round& round);
  bool is_outgrown(const Round& round) const;
  bool must_be_made_again(const Round& round) const;
  bool needed_at_its_end(const Round& round) const;
  broker::Status apply_all(const Round& round);
  broker::Status apply_one(const api::StreamCluster& cluster, const kube::Json& wanted);
  // What becomes of the pods of a cluster that is being deleted.
  enum class Pods {
    kGoOn,            // it was orphaned: whoever does that wants them to go on, with their volumes
    kGoWithTheirSet,
    kAreBeingParted,  // from a StatefulSet that is going
    kHaveNoOwner,
  };
  broker::Result<Pods> pods_at_the_end(const api::StreamCluster& cluster);
  broker::Status remove_shard_maps(const api::StreamCluster& cluster);
  broker::Status remove_route(const api::StreamCluster& cluster, const std::string& type,
                              const kube::ObjectKey& key);
  broker::Status remove_unwanted_listeners(const api::StreamCluster& cluster,
                                           const std::vector<kube::Json>& wanted);
  runtime::Outcome let_go(const api::StreamCluster& cluster);
  std::vector<std::shared_ptr<const api::Stream>> streams_of(const api::StreamCluster& c) const;
  std::vector<api::StreamUser> users_of(const api::StreamCluster& c) const;
  // As Events.
  void tell_changes(const api::StreamCluster& cluster, const api::StreamClusterStatus& status,
                    const kube::Json& object);
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
