#include "operator/reconcile/load_source.h"

#include <cmath>

namespace sluice_operator::reconcile {

namespace {

constexpr int64_t kTimeoutMs = 2000;
constexpr double kSkewMaxS = 30;

LoadAnswer failed(std::string reason, std::string problem) {
  LoadAnswer answer;
  answer.reason = std::move(reason);
  answer.problem = std::move(problem);
  return answer;
}

std::string query_target(const std::string& query) {
  return "/api/v1/query?query=" + kube::url_encode(query);
}

}  // namespace

broker::Result<std::string> LoadSource::fetch(const std::string& server, const std::string& target,
                                              const LoadSettings* prometheus) {
  auto& client = clients_[server];
  if (prometheus && prometheus->ca_pem != ca_pem_) client.reset();
  if (!client) {
    kube::ClientConfig config;
    config.server = server;
    if (prometheus) config.ca_pem = ca_pem_ = prometheus->ca_pem;
    auto opened = kube::HttpClient::open(config, clock_);
    if (!opened.ok()) return opened.status();
    client = std::move(*opened);
  }
  kube::HttpRequest request;
  request.method = "GET";
  request.target = target;
  if (prometheus && !prometheus->token.empty()) request.authorization = "Bearer " + prometheus->token;
  auto response = client->send(request, kTimeoutMs, stop_);
  if (!response.ok()) return response.status();
  if (response->code != 200) {
    return broker::Status(broker::Code::kUnavailable,
                          server + " answered " + std::to_string(response->code));
  }
  return std::move(response->body);
}

LoadAnswer LoadSource::look(const LoadSettings& settings, const kube::ObjectKey& cluster,
                            const std::map<std::string, std::string>& brokers) {
  if (settings.prometheus_url.empty()) return scrape(settings, brokers);
  auto answer = ask_prometheus(settings, cluster, brokers.size());
  if (settings.brokers_too && answer.problem.empty()) {
    answer.brokers = scrape(settings, brokers).brokers;
  }
  return answer;
}

// A series that is not there would read as no load: first see that every broker is scraped, and
// that Prometheus lives at the same time as we do.
LoadAnswer LoadSource::check_brokers(const LoadSettings& settings, const kube::ObjectKey& cluster,
                                     size_t brokers) {
  const int window_s = static_cast<int>(settings.window_ms / 1000);
  auto own = settings.queries.find("brokers");
  std::string query =
      own == settings.queries.end()
          ? autoscale::brokers_query(cluster.ns, cluster.name, window_s)
          : autoscale::fill_query(own->second, cluster.ns, cluster.name, window_s);
  auto seen = fetch(settings.prometheus_url, query_target(query), &settings);
  if (!seen.ok()) {
    return failed("PrometheusUnreachable",
                  "Prometheus cannot be asked (" + seen.status().message() + ")");
  }
  auto count = autoscale::count_from_answer(*seen);
  if (!count || brokers == 0 || !(count->value >= static_cast<double>(brokers))) {
    return failed("BrokerMetricsMissing",
                  "Prometheus has fresh metrics of " +
                      std::to_string(count ? static_cast<int64_t>(count->value) : 0) + " of " +
                      std::to_string(brokers) + " brokers");
  }
  double skew_s = count->at_s - static_cast<double>(clock_.wall_ms()) / 1000;
  if (!(std::abs(skew_s) <= kSkewMaxS)) {
    return failed("ClockSkew", "the clocks of Prometheus and of the operator are " +
                                   std::to_string(static_cast<int64_t>(std::abs(skew_s))) +
                                   " s apart");
  }
  return {};
}

LoadAnswer LoadSource::ask_prometheus(const LoadSettings& settings, const kube::ObjectKey& cluster,
                                      size_t brokers) {
  auto answer = check_brokers(settings, cluster, brokers);
  if (!answer.problem.empty()) return answer;
  const int window_s = static_cast<int>(settings.window_ms / 1000);
  autoscale::Offsets offsets;
  for (const auto& [name, metric] :
       {std::pair<const char*, const char*>{"bytes", autoscale::kBytesMetric},
        {"records", autoscale::kRecordsMetric},
        {"throttledBytes", autoscale::kThrottledBytesMetric},
        {"throttled", autoscale::kThrottledMetric},
        {"heat", autoscale::kHeatMetric},
        {"hotKeys", autoscale::kHotKeyMetric},
        {"ends", autoscale::kEndMetric},
        {"committed", autoscale::kCommittedMetric}}) {
    auto own = settings.queries.find(name);
    std::string query =
        own == settings.queries.end()
            ? autoscale::rate_query(metric, cluster.ns, cluster.name, window_s)
            : autoscale::fill_query(own->second, cluster.ns, cluster.name, window_s);
    auto body = fetch(settings.prometheus_url, query_target(query), &settings);
    if (!body.ok()) {
      return failed("PrometheusUnreachable",
                    "Prometheus cannot be asked (" + body.status().message() + ")");
    }
    auto problem = autoscale::add_prometheus_answer(metric, *body, answer.rates, &offsets);
    if (problem) return failed("PrometheusAnswer", *problem + " (" + name + ")");
  }
  note_lag(offsets, answer);
  return answer;
}

void LoadSource::note_lag(const autoscale::Offsets& offsets, LoadAnswer& answer) {
  lag_.add(clock_.mono_ms(), offsets);
  answer.lags = lag_.lags();
}

LoadAnswer LoadSource::scrape(const LoadSettings& settings,
                              const std::map<std::string, std::string>& brokers) {
  size_t reached = 0;
  std::string last_error;
  LoadAnswer answer;
  autoscale::StreamRates hot_keys;
  autoscale::Offsets offsets;
  for (const auto& [name, address] : brokers) {
    auto page = fetch("http://" + address, "/metrics");
    if (!page.ok()) {
      scrape_rates_.forget(name);
      latency_.forget(name);
      last_error = name + ": " + page.status().message();
      continue;
    }
    reached++;
    auto samples = autoscale::parse_exposition(*page, "sluice_");
    std::erase_if(samples, [&](const auto& sample) {
      return autoscale::add_hot_key(sample, hot_keys) || autoscale::add_offset(sample, offsets);
    });
    latency_.add(name, clock_.mono_ms(), samples);
    scrape_rates_.add(name, clock_.mono_ms(), samples);
  }
  if (brokers.empty()) return failed("BrokerMetricsMissing", "no broker is ready");
  if (reached < brokers.size()) {
    return failed("BrokerMetricsMissing", "a broker's metrics are missing (" + last_error + ")");
  }
  int64_t now = clock_.mono_ms();
  if (scrape_rates_.fresh_brokers(now, settings.window_ms) < brokers.size()) {
    return failed("Starting", "a second look at the metrics is needed for rates");
  }
  answer.rates = scrape_rates_.rates(now, settings.window_ms);
  for (const auto& [stream, shards] : hot_keys) {
    for (const auto& [shard, figures] : shards) answer.rates[stream][shard].hot_key = figures.hot_key;
  }
  for (const auto& [name, address] : brokers) {
    auto& load = answer.brokers[name];
    load = autoscale::broker_load(scrape_rates_, name, settings.network_bytes_per_s,
                                  settings.disk_bytes_per_s);
    if (auto p99 = latency_.p99_seconds(name)) load.produce_p99_ms = *p99 * 1000;
  }
  if (settings.prometheus_url.empty()) note_lag(offsets, answer);
  return answer;
}

}  // namespace sluice_operator::reconcile
