#include "operator/autoscale/load.h"

#include <cmath>
#include <nlohmann/json.hpp>

namespace sluice_operator::autoscale {
namespace {

// Adds one rate to the figure that `metric` and its labels name; false when they name none.
bool add_rate(const std::string& metric, const std::map<std::string, std::string>& labels,
              double rate, StreamRates& rates) {
  auto stream = labels.find("stream"), shard = labels.find("shard");
  if (stream == labels.end() || shard == labels.end()) return false;
  Rates& figures = rates[stream->second][std::atoi(shard->second.c_str())];
  if (metric == kBytesMetric) {
    figures.bytes_per_s += rate;
  } else if (metric == kRecordsMetric) {
    figures.records_per_s += rate;
  } else if (metric == kHeatMetric && labels.contains("part")) {
    int part = std::atoi(labels.at("part").c_str());
    if (part < 0 || part >= static_cast<int>(kHeatParts)) return false;
    figures.heat[static_cast<size_t>(part)] += rate;
  } else {
    return false;
  }
  return true;
}

std::string key_of(const Sample& sample) {
  std::string key = sample.name;
  for (const char* label : {"stream", "shard", "part"}) {
    key += ' ';
    auto it = sample.labels.find(label);
    if (it != sample.labels.end()) key += it->second;
  }
  return key;
}

std::map<std::string, std::string> labels_of(const std::string& key, std::string& metric) {
  std::map<std::string, std::string> labels;
  size_t a = key.find(' '), b = key.find(' ', a + 1), c = key.find(' ', b + 1);
  metric = key.substr(0, a);
  labels["stream"] = key.substr(a + 1, b - a - 1);
  labels["shard"] = key.substr(b + 1, c - b - 1);
  if (c + 1 < key.size()) labels["part"] = key.substr(c + 1);
  return labels;
}

}  // namespace

void ScrapeRates::add(const std::string& broker, int64_t now_ms,
                      const std::vector<Sample>& samples) {
  Broker& known = brokers_[broker];
  known.before = std::move(known.last);
  known.before_ms = known.last_ms;
  known.last.clear();
  known.last_ms = now_ms;
  for (const auto& sample : samples) known.last[key_of(sample)] = sample.value;
}

size_t ScrapeRates::fresh_brokers(int64_t now_ms, int64_t age_ms) const {
  size_t count = 0;
  for (const auto& [name, broker] : brokers_) {
    count += broker.before_ms > 0 && now_ms - broker.before_ms <= age_ms;
  }
  return count;
}

StreamRates ScrapeRates::rates(int64_t now_ms, int64_t age_ms) const {
  StreamRates rates;
  for (const auto& [name, broker] : brokers_) {
    bool fresh = broker.before_ms > 0 && now_ms - broker.before_ms <= age_ms &&
                 broker.last_ms > broker.before_ms;
    if (!fresh) continue;
    double seconds = static_cast<double>(broker.last_ms - broker.before_ms) / 1000;
    for (const auto& [key, value] : broker.last) {
      auto before = broker.before.find(key);
      double from = before == broker.before.end() ? 0 : before->second;
      double grown = value >= from ? value - from : value;  // fell: it began again
      std::string metric;
      auto labels = labels_of(key, metric);
      add_rate(metric, labels, grown / seconds, rates);
    }
  }
  return rates;
}

std::string rate_query(const std::string& metric, const std::string& ns,
                       const std::string& cluster, int window_s) {
  std::string by = metric == kHeatMetric ? "stream, shard, part" : "stream, shard";
  return "sum by (" + by + ") (rate(" + metric + "{namespace=\"" + ns + "\",app_kubernetes_io_instance=\"" + cluster +
         "\"}[" + std::to_string(window_s) + "s]))";
}

std::string brokers_query(const std::string& ns, const std::string& cluster) {
  return "count(sluice_broker_leaders{namespace=\"" + ns + "\",app_kubernetes_io_instance=\"" +
         cluster + "\"})";
}

std::optional<double> count_from_answer(const std::string& body) {
  auto answer = nlohmann::json::parse(body, nullptr, false);
  auto at = nlohmann::json::json_pointer("/data/result/0/value/1");
  if (answer.is_discarded() || !answer.contains(at) || !answer[at].is_string()) return std::nullopt;
  return std::strtod(answer[at].get_ref<const std::string&>().c_str(), nullptr);
}

std::optional<std::string> add_prometheus_answer(const std::string& metric, const std::string& body,
                                                 StreamRates& rates) {
  auto answer = nlohmann::json::parse(body, nullptr, false);
  if (answer.is_discarded() || !answer.is_object()) return "Prometheus did not answer with JSON";
  if (answer.value("status", std::string()) != "success") {
    return "Prometheus refused the query: " + answer.value("error", std::string("no reason given"));
  }
  const auto& data = answer["data"];
  if (!data.is_object() || data.value("resultType", std::string()) != "vector" ||
      !data["result"].is_array()) {
    return "Prometheus answered with something else than a vector";
  }
  for (const auto& series : data["result"]) {
    bool shaped = series.is_object() && series.contains("metric") && series["metric"].is_object() &&
                  series.contains("value") && series["value"].is_array() &&
                  series["value"].size() == 2 && series["value"][1].is_string();
    if (!shaped) return "Prometheus answered with a series without a value";
    double value = std::strtod(series["value"][1].get_ref<const std::string&>().c_str(), nullptr);
    if (!std::isfinite(value) || value < 0) return "Prometheus answered NaN or an absurd value";
    std::map<std::string, std::string> labels;
    for (const auto& [key, label] : series["metric"].items()) {
      if (label.is_string()) labels[key] = label.get<std::string>();
    }
    add_rate(metric, labels, value, rates);
  }
  return std::nullopt;
}

}  // namespace sluice_operator::autoscale
