#include "operator/autoscale/load.h"

#include <algorithm>
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
  } else if (metric == kThrottledBytesMetric) {
    figures.throttled_bytes_per_s += rate;
  } else if (metric == kThrottledMetric) {
    figures.throttled_per_s += rate;
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

std::optional<double> ScrapeRates::rate_of(const std::string& broker,
                                           const std::string& counter) const {
  auto it = brokers_.find(broker);
  if (it == brokers_.end() || it->second.last_ms <= it->second.before_ms) return std::nullopt;
  const std::string key = counter + "   ";
  auto last = it->second.last.find(key), before = it->second.before.find(key);
  if (last == it->second.last.end() || before == it->second.before.end()) return std::nullopt;
  if (last->second < before->second) return std::nullopt;  // it began again
  return (last->second - before->second) * 1000 /
         static_cast<double>(it->second.last_ms - it->second.before_ms);
}

std::optional<double> ScrapeRates::value_of(const std::string& broker,
                                            const std::string& gauge) const {
  auto it = brokers_.find(broker);
  if (it == brokers_.end()) return std::nullopt;
  auto last = it->second.last.find(gauge + "   ");
  if (last == it->second.last.end()) return std::nullopt;
  return last->second;
}

BrokerLoad broker_load(const ScrapeRates& scrape, const std::string& broker,
                       double network_bytes_per_s, double disk_bytes_per_s) {
  BrokerLoad load;
  auto set = [&](Resource resource, std::optional<double> used, std::optional<double> capacity) {
    if (used && capacity && *capacity > 0) load.used[static_cast<size_t>(resource)] = *used / *capacity;
  };
  set(Resource::kCpu, scrape.rate_of(broker, "sluice_process_cpu_seconds_total"),
      scrape.value_of(broker, "sluice_process_cpu_cores"));
  set(Resource::kNetwork, scrape.rate_of(broker, "sluice_network_bytes_total"),
      network_bytes_per_s);
  set(Resource::kDisk, scrape.rate_of(broker, "sluice_process_disk_bytes_total"),
      disk_bytes_per_s);
  set(Resource::kSpace, scrape.value_of(broker, "sluice_volume_used_bytes"),
      scrape.value_of(broker, "sluice_volume_capacity_bytes"));
  return load;
}

bool add_hot_key(const Sample& sample, StreamRates& rates) {
  if (sample.name != kHotKeyMetric) return false;
  const auto& labels = sample.labels;
  for (const char* label : {"stream", "shard", "key", "hash_key"}) {
    if (!labels.contains(label)) return false;
  }
  auto at = broker::coordination::parse_hash_key(labels.at("hash_key"));
  if (!at || !(sample.value > 0 && sample.value <= 1)) return false;
  auto& known = rates[labels.at("stream")][std::atoi(labels.at("shard").c_str())].hot_key;
  if (!known || known->share < sample.value) known = HotKey{labels.at("key"), *at, sample.value};
  return true;
}

bool add_offset(const Sample& sample, Offsets& offsets) {
  bool end = sample.name == kEndMetric;
  if (!end && sample.name != kCommittedMetric) return false;
  const auto& labels = sample.labels;
  for (const char* label : {"stream", "shard", "group"}) {
    if (!labels.contains(label) && !(end && std::string_view(label) == "group")) return true;
  }
  if (!std::isfinite(sample.value) || sample.value < 0) return true;
  int32_t shard = std::atoi(labels.at("shard").c_str());
  auto& of = end ? offsets.ends[labels.at("stream")]
                 : offsets.committed[labels.at("stream")][labels.at("group")];
  auto [it, first] = of.emplace(shard, sample.value);
  // A leader, or a coordinator, that has just been followed by another may still tell of it.
  if (!first) it->second = std::max(it->second, sample.value);
  return true;
}

std::string fill_query(std::string query, const std::string& ns, const std::string& cluster,
                       int window_s) {
  for (const auto& [name, value] : {std::pair<std::string, std::string>{"$namespace", ns},
                                    {"$cluster", cluster},
                                    {"$window", std::to_string(window_s) + "s"}}) {
    for (size_t at = 0; (at = query.find(name, at)) != std::string::npos; at += value.size()) {
      query.replace(at, name.size(), value);
    }
  }
  return query;
}

std::string rate_query(const std::string& metric, const std::string& ns,
                       const std::string& cluster, int window_s) {
  const std::string series =
      metric + "{namespace=\"$namespace\",app_kubernetes_io_instance=\"$cluster\"}";
  std::string query;
  if (metric == kHotKeyMetric)
    query = "max by (stream, shard, key, hash_key) (" + series + ")";
  else if (metric == kEndMetric)
    query = "max by (stream, shard) (" + series + ")";
  else if (metric == kCommittedMetric)
    query = "max by (group, stream, shard) (" + series + ")";
  else
    query = std::string("sum by (stream, shard") + (metric == kHeatMetric ? ", part" : "") +
            ") (rate(" + series + "[$window]))";
  return fill_query(std::move(query), ns, cluster, window_s);
}

std::string brokers_query(const std::string& ns, const std::string& cluster, int window_s) {
  return fill_query(
      "count(time() - timestamp(sluice_broker_leaders{namespace=\"$namespace\","
      "app_kubernetes_io_instance=\"$cluster\"}) < " + std::to_string(window_s) + ")",
      ns, cluster, window_s);
}

std::optional<Count> count_from_answer(const std::string& body) {
  auto answer = nlohmann::json::parse(body, nullptr, false);
  auto at = nlohmann::json::json_pointer("/data/result/0/value");
  if (answer.is_discarded() || !answer.contains(at)) return std::nullopt;
  const auto& value = answer[at];
  if (!value.is_array() || value.size() != 2 || !value[0].is_number() || !value[1].is_string()) {
    return std::nullopt;
  }
  return Count{std::strtod(value[1].get_ref<const std::string&>().c_str(), nullptr),
               value[0].get<double>()};
}

std::optional<std::string> add_prometheus_answer(const std::string& metric, const std::string& body,
                                                 StreamRates& rates, Offsets* offsets) {
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
    Sample sample{metric, labels, value};
    if (offsets && add_offset(sample, *offsets)) continue;
    if (metric == kHotKeyMetric)
      add_hot_key(sample, rates);
    else add_rate(metric, labels, value, rates);
  }
  return std::nullopt;
}

}  // namespace sluice_operator::autoscale
