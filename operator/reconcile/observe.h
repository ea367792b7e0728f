#pragma once
// What the caches show of a cluster's StatefulSet, pods and volume claims, as plain data. Called by
// the StreamCluster's reconciler; reads only.
#include <optional>
#include <string>
#include <vector>

#include "operator/api/stream_cluster.h"
#include "operator/kube/cache/cache.h"
#include "operator/plan/listeners.h"
#include "operator/plan/pod_settings.h"
#include "operator/plan/volumes.h"

namespace sluice_operator::reconcile {

// The cache that reconcilers want of a kind: what belongs to a cluster is grouped under its name, and what
// nobody reads is not kept.
kube::CacheOptions cache_of(const kube::ResourceType& type);

// A broker's pod as Kubernetes shows it.
struct PodView {
  int32_t broker = 0;
  std::string name, uid, node, zone;
  std::string node_address;  // for clients from outside: external where it has one
  bool ready = false;
  bool terminating = false;
  std::string hash;     // of the settings that it runs with
  std::string waiting;  // why its container does not run, e.g. ImagePullBackOff
  std::string broken;   // why it will not become ready by itself
  std::string lost;     // what is wrong with its node
  bool creating = false;  // its container waits for a volume, a Secret, or the network
};

struct StatefulSetView {
  bool exists = false;
  bool going = false;  // it was deleted, and is not gone yet
  std::string uid;
  int32_t replicas = 0;
  std::string template_hash;
  bool template_seen = false;  // its controller has looked at the latest spec
  std::optional<plan::PodSettings> settings, good;
  std::string default_image;
  std::string claim_size;
};

std::vector<PodView> observe_pods(const api::StreamCluster& cluster, const kube::Cache& pods,
                                  const kube::Cache& nodes);
StatefulSetView observe_stateful_set(const kube::JsonPtr& object);
// The Services and nodes of its listeners from outside.
plan::Outside observe_outside(const api::StreamCluster& cluster, const kube::Cache& services,
                              const std::vector<PodView>& pods);
// The HorizontalPodAutoscaler that scales a cluster, by its own name ("HorizontalPodAutoscaler
// orders-brokers"); the first by name of several. Empty: none does.
std::string observe_scaler(const kube::ObjectKey& cluster, const kube::Cache& autoscalers);
// The cluster that a HorizontalPodAutoscaler scales; empty names where it scales something else.
kube::ObjectKey cluster_scaled_by(const kube::Json& autoscaler);
std::vector<plan::Claim> observe_claims(const api::StreamCluster& cluster,
                                        const kube::Cache& claims);

}  // namespace sluice_operator::reconcile
