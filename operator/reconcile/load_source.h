#pragma once
// Where the autoscaler's figures come from: a Prometheus named in the cluster, or the brokers
// themselves. Requests block: they run on an I/O queue. One per cluster.
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "operator/autoscale/lag.h"
#include "operator/autoscale/latency.h"
#include "operator/autoscale/load.h"
#include "operator/kube/client/http.h"
#include "operator/kube/client/resource.h"

namespace sluice_operator::reconcile {

struct LoadSettings {
  std::string prometheus_url;  // empty: the brokers' own pages
  std::string ca_pem, token;
  std::map<std::string, std::string> queries;  // in place of our own, by name
  int64_t window_ms = 5000;                    // how old figures may be, and what rates are over
  bool brokers_too = false;                    // the brokers' own load
  double network_bytes_per_s = 0, disk_bytes_per_s = 0;  // of a broker; 0: not known
};

struct LoadAnswer {
  autoscale::StreamRates rates;
  std::map<std::string, autoscale::BrokerLoad> brokers;  // by pod
  autoscale::StreamLags lags;
  std::string reason, problem;                           // why there are none: a word, a sentence
};

class LoadSource {
 public:
  explicit LoadSource(broker::env::Clock& clock) : clock_(clock) {}
  // `brokers`: H:P of each broker's metrics page, by pod.
  LoadAnswer look(const LoadSettings& settings, const kube::ObjectKey& cluster,
                  const std::map<std::string, std::string>& brokers);

 private:
  broker::Result<std::string> fetch(const std::string& server, const std::string& target,
                                    const LoadSettings* prometheus = nullptr);
  LoadAnswer ask_prometheus(const LoadSettings& settings, const kube::ObjectKey& cluster,
                            size_t brokers);
  LoadAnswer check_brokers(const LoadSettings& settings, const kube::ObjectKey& cluster,
                           size_t brokers);
  LoadAnswer scrape(const LoadSettings& settings,
                    const std::map<std::string, std::string>& brokers);
  void note_lag(const autoscale::Offsets& offsets, LoadAnswer& answer);

  broker::env::Clock& clock_;
  autoscale::ScrapeRates scrape_rates_;
  autoscale::ProduceLatency latency_;
  autoscale::LagTracker lag_;
  std::map<std::string, std::unique_ptr<kube::HttpClient>> clients_;
  std::string ca_pem_;  // that the Prometheus client was opened with
  kube::StopSignal stop_;
};

}  // namespace sluice_operator::reconcile
