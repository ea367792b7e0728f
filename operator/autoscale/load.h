#pragma once
// From counters to rates: samples of the brokers' metrics, taken by the operator itself or asked of
// a Prometheus, as each shard's load. Pure but for what it remembers of the last scrape.
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "operator/autoscale/decide.h"

namespace sluice_operator::autoscale {

// One line of Prometheus' text format, with its labels.
struct Sample {
  std::string name;
  std::map<std::string, std::string> labels;
  double value = 0;
};
// The samples of a /metrics page whose names begin with `prefix`; lines that are not samples are
// skipped.
std::vector<Sample> parse_exposition(const std::string& text, const std::string& prefix);

// The rates of one stream's shards, by shard.
struct Rates {
  double bytes_per_s = 0, records_per_s = 0;
  std::array<double, kHeatParts> heat{};
};
using StreamRates = std::map<std::string, std::map<int32_t, Rates>>;  // by stream

// Turns successive scrapes of several brokers into rates. A counter that fell was reset: it began
// again from 0. A shard's rate is the sum over the brokers (its leader may have moved).
class ScrapeRates {
 public:
  void add(const std::string& broker, int64_t now_ms, const std::vector<Sample>& samples);
  // A broker that was not reached: its old figures must not be used.
  void forget(const std::string& broker) { brokers_.erase(broker); }
  // Brokers whose two last scrapes are not older than `age_ms`.
  StreamRates rates(int64_t now_ms, int64_t age_ms) const;
  size_t fresh_brokers(int64_t now_ms, int64_t age_ms) const;

 private:
  using Counters = std::map<std::string, double>;  // "name stream shard part"
  struct Broker {
    int64_t before_ms = 0, last_ms = 0;
    Counters before, last;
  };
  std::map<std::string, Broker> brokers_;
};

// PromQL for a cluster's rates over `window_s`, by the metric's name.
std::string rate_query(const std::string& metric, const std::string& ns,
                       const std::string& cluster, int window_s);
// How many brokers Prometheus has fresh metrics of, and that figure from its answer.
std::string brokers_query(const std::string& ns, const std::string& cluster);
std::optional<double> count_from_answer(const std::string& body);
// Adds the answer of /api/v1/query for `metric` to `rates`; an error text when it is no good
// (an error status, NaN, not a vector).
std::optional<std::string> add_prometheus_answer(const std::string& metric, const std::string& body,
                                                 StreamRates& rates);

inline constexpr const char* kBytesMetric = "sluice_shard_bytes_in_total";
inline constexpr const char* kRecordsMetric = "sluice_shard_records_in_total";
inline constexpr const char* kHeatMetric = "sluice_shard_heat_bytes_total";

}  // namespace sluice_operator::autoscale
