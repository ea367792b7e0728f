#pragma once
// Looks at every cluster's load at its interval, decides with autoscale::decide, and has the
// coordinator split or merge. Each decision that differs from the last is kept for the Stream's
// status and told as an Event. On the executor.
#include <map>
#include <memory>

#include "operator/kube/cache/cache.h"
#include "operator/reconcile/clusters.h"
#include "operator/reconcile/load_source.h"

namespace sluice_operator::reconcile {

class Autoscaler {
 public:
  Autoscaler(Clusters& clusters, broker::env::Clock& clock, kube::Cache& pods,
             kube::Cache& streams, kube::EventRecorder& events, broker::Metrics& metrics);
  void start();
  // Told on the executor that a stream's decisions changed (its resource's key).
  void on_decided(std::function<void(const kube::ObjectKey&)> decided) {
    decided_ = std::move(decided);
  }

 private:
  void look_around();
  void look(const kube::ObjectKey& key, Clusters::Cluster& cluster);
  void decide(const kube::ObjectKey& key, const LoadAnswer& answer);
  void decide_stream(const kube::ObjectKey& key, Clusters::Cluster& cluster,
                     const api::Stream& stream, const LoadAnswer& answer);
  void act(const kube::ObjectKey& key, Clusters::Cluster& cluster, const std::string& stream,
           const autoscale::Decision& decision);
  void record(const kube::ObjectKey& key, Clusters::Cluster& cluster, const api::Stream& stream,
              const autoscale::Decision& decision);
  std::map<std::string, std::string> broker_pages(const kube::ObjectKey& key) const;

  Clusters& clusters_;
  broker::env::Clock& clock_;
  kube::Cache& pods_;
  kube::Cache& streams_;
  kube::EventRecorder& events_;
  broker::Metrics& metrics_;
  broker::env::ThreadIoQueue io_;
  std::map<kube::ObjectKey, std::shared_ptr<LoadSource>> sources_;
  std::function<void(const kube::ObjectKey&)> decided_;
};

}  // namespace sluice_operator::reconcile
