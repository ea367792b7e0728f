#include "operator/reconcile/load_source.h"

namespace sluice_operator::reconcile {

namespace {
constexpr int64_t kTimeoutMs = 2000;
}

broker::Result<std::string> LoadSource::fetch(const std::string& server,
                                              const std::string& target) {
  auto& client = clients_[server];
  if (!client) {
    kube::ClientConfig config;
    config.server = server;
    auto opened = kube::HttpClient::open(config, clock_);
    if (!opened.ok()) return opened.status();
    client = std::move(*opened);
  }
  kube::HttpRequest request;
  request.method = "GET";
  request.target = target;
  auto response = client->send(request, kTimeoutMs, stop_);
  if (!response.ok()) return response.status();
  if (response->code != 200) {
    return broker::Status(broker::Code::kUnavailable,
                          server + " answered " + std::to_string(response->code));
  }
  return std::move(response->body);
}

LoadAnswer LoadSource::look(const std::string& prometheus_url, const kube::ObjectKey& cluster,
                            const std::map<std::string, std::string>& brokers,
                            int64_t window_ms) {
  return prometheus_url.empty() ? scrape(brokers, window_ms)
                                : ask_prometheus(prometheus_url, cluster, brokers.size(),
                                                 window_ms);
}

LoadAnswer LoadSource::ask_prometheus(const std::string& url, const kube::ObjectKey& cluster,
                                      size_t brokers, int64_t window_ms) {
  LoadAnswer answer;
  // A series that is not there would read as no load: first see that every broker is scraped.
  auto seen = fetch(url, "/api/v1/query?query=" +
                             kube::url_encode(autoscale::brokers_query(cluster.ns, cluster.name)));
  if (!seen.ok()) return {{}, "Prometheus cannot be asked (" + seen.status().message() + ")"};
  auto count = autoscale::count_from_answer(*seen);
  if (!count || brokers == 0 || *count < static_cast<double>(brokers)) {
    return {{}, "Prometheus does not have the metrics of every broker"};
  }
  for (const char* metric :
       {autoscale::kBytesMetric, autoscale::kRecordsMetric, autoscale::kHeatMetric}) {
    auto query = autoscale::rate_query(metric, cluster.ns, cluster.name,
                                       static_cast<int>(window_ms / 1000));
    auto body = fetch(url, "/api/v1/query?query=" + kube::url_encode(query));
    if (!body.ok()) {
      return {{}, "Prometheus cannot be asked (" + body.status().message() + ")"};
    }
    auto problem = autoscale::add_prometheus_answer(metric, *body, answer.rates);
    if (problem) return {{}, *problem};
  }
  return answer;
}

LoadAnswer LoadSource::scrape(const std::map<std::string, std::string>& brokers,
                              int64_t window_ms) {
  size_t reached = 0;
  std::string last_error;
  for (const auto& [name, address] : brokers) {
    auto page = fetch("http://" + address, "/metrics");
    if (!page.ok()) {
      scrape_rates_.forget(name);
      last_error = name + ": " + page.status().message();
      continue;
    }
    reached++;
    scrape_rates_.add(name, clock_.mono_ms(), autoscale::parse_exposition(*page, "sluice_shard_"));
  }
  if (reached < brokers.size() || brokers.empty()) {
    return {{}, brokers.empty() ? "no broker is ready" : "a broker's metrics are missing (" +
                                                             last_error + ")"};
  }
  int64_t now = clock_.mono_ms();
  if (scrape_rates_.fresh_brokers(now, window_ms) < brokers.size()) {
    return {{}, "a second look at the metrics is needed for rates"};
  }
  return {scrape_rates_.rates(now, window_ms), ""};
}

}  // namespace sluice_operator::reconcile
