#pragma once
// Where the autoscaler's figures come from: a Prometheus named in the cluster, or the brokers
// themselves. Requests block: they run on an I/O queue. One per cluster.
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "operator/autoscale/load.h"
#include "operator/kube/client/http.h"
#include "operator/kube/client/resource.h"

namespace sluice_operator::reconcile {

struct LoadAnswer {
  autoscale::StreamRates rates;
  std::string problem;  // why there are none
};

class LoadSource {
 public:
  explicit LoadSource(broker::env::Clock& clock) : clock_(clock) {}
  // `brokers`: H:P of each broker's metrics page. `window_ms`: how old figures may be.
  LoadAnswer look(const std::string& prometheus_url, const kube::ObjectKey& cluster,
                  const std::map<std::string, std::string>& brokers, int64_t window_ms);

 private:
  broker::Result<std::string> fetch(const std::string& server, const std::string& target);
  LoadAnswer ask_prometheus(const std::string& url, const kube::ObjectKey& cluster,
                            size_t brokers, int64_t window_ms);
  LoadAnswer scrape(const std::map<std::string, std::string>& brokers, int64_t window_ms);

  broker::env::Clock& clock_;
  autoscale::ScrapeRates scrape_rates_;
  std::map<std::string, std::unique_ptr<kube::HttpClient>> clients_;
  kube::StopSignal stop_;
};

}  // namespace sluice_operator::reconcile
