#pragma once
// Looks at every cluster's load at its interval, decides with autoscale::decide and decide_brokers,
// and has it done: the coordinator splits and merges, spec.brokers gets the number of brokers. Each
// decision that differs from the last is kept for status and told as an Event. On the executor.
#include <map>
#include <memory>

#include "operator/kube/cache/cache.h"
#include "operator/reconcile/clusters.h"
#include "operator/reconcile/load_source.h"

namespace sluice_operator::reconcile {

class Autoscaler {
 public:
  Autoscaler(Clusters& clusters, broker::env::Clock& clock, kube::Client& client,
             kube::Cache& pods, kube::Cache& clusters_cache, kube::Cache& streams,
             kube::Cache& autoscalers, kube::EventRecorder& events, broker::Metrics& metrics);
  void start();
  // Told on the executor that a stream's decisions changed (its resource's key).
  void on_decided(std::function<void(const kube::ObjectKey&)> decided) {
    decided_ = std::move(decided);
  }

 private:
  struct Source {
    explicit Source(broker::env::Clock& clock) : load(clock) {}
    LoadSource load;
    std::string token;
    int64_t token_read_ms = INT64_MIN;
  };
  void look_around();
  void look(const kube::ObjectKey& key, Clusters::Cluster& cluster);
  // On the I/O thread.
  LoadAnswer ask(Source& source, const kube::ObjectKey& key, LoadSettings settings,
                 const api::StreamClusterSpec::Autoscaling& scaling,
                 const std::map<std::string, std::string>& pages);
  void decide(const kube::ObjectKey& key, const LoadAnswer& answer);
  void note_metrics(const kube::ObjectKey& key, Clusters::Cluster& cluster,
                    const LoadAnswer& answer);
  void decide_stream(const kube::ObjectKey& key, Clusters::Cluster& cluster,
                     const api::Stream& stream, const LoadAnswer& answer);
  void act(const kube::ObjectKey& key, Clusters::Cluster& cluster, const std::string& stream,
           const autoscale::Decision& decision);
  void set_partitions(const kube::ObjectKey& key, Clusters::Cluster& cluster,
                      const api::Stream& stream, int32_t partitions);
  void record(const kube::ObjectKey& key, Clusters::Cluster& cluster, const api::Stream& stream,
              const autoscale::Decision& decision);
  void measure(const kube::ObjectKey& key, const std::string& stream,
               const autoscale::Decision& decision);
  void decide_brokers(const kube::ObjectKey& key, Clusters::Cluster& cluster,
                      const LoadAnswer& answer);
  void measure_brokers(const kube::ObjectKey& key, const api::StreamClusterSpec& spec,
                       const autoscale::BrokerDecision& decision);
  void set_brokers(const kube::ObjectKey& key, int32_t brokers);
  std::string when(int64_t mono_ms) const;  // RFC 3339
  std::map<std::string, std::string> broker_pages(const kube::ObjectKey& key) const;

  Clusters& clusters_;
  broker::env::Clock& clock_;
  kube::Client& client_;
  kube::Cache& pods_;
  kube::Cache& cluster_objects_;
  kube::Cache& streams_;
  kube::Cache& autoscalers_;
  kube::EventRecorder& events_;
  broker::Metrics& metrics_;
  broker::env::ThreadIoQueue io_;
  std::map<kube::ObjectKey, std::shared_ptr<Source>> sources_;
  std::function<void(const kube::ObjectKey&)> decided_;
};

}  // namespace sluice_operator::reconcile
