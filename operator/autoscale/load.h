#pragma once
// From counters to rates: samples of the brokers' metrics, taken by the operator itself or asked of
// a Prometheus, as each shard's load. Pure but for what it remembers of the last scrape.
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "operator/autoscale/brokers.h"
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
  double bytes_per_s = 0, records_per_s = 0;  // taken
  double throttled_bytes_per_s = 0, throttled_per_s = 0;  // refused
  std::array<double, kHeatParts> heat{};
  std::optional<HotKey> hot_key;
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
  // A metric of the broker itself: a counter's growth per second, a gauge's last value.
  std::optional<double> rate_of(const std::string& broker, const std::string& counter) const;
  std::optional<double> value_of(const std::string& broker, const std::string& gauge) const;

 private:
  using Counters = std::map<std::string, double>;  // "name stream shard part"
  struct Broker {
    int64_t before_ms = 0, last_ms = 0;
    Counters before, last;
  };
  std::map<std::string, Broker> brokers_;
};

// Takes a shard's hottest key from its gauge; false when the sample is none.
bool add_hot_key(const Sample& sample, StreamRates& rates);

// Takes a shard's end or a group's committed offset; false when the sample is neither.
bool add_offset(const Sample& sample, Offsets& offsets);

// A query with $namespace, $cluster and $window filled in.
std::string fill_query(std::string query, const std::string& ns, const std::string& cluster,
                       int window_s);
// PromQL for a cluster's rates over `window_s`, by the metric's name.
std::string rate_query(const std::string& metric, const std::string& ns,
                       const std::string& cluster, int window_s);
// How many brokers Prometheus has fresh metrics of, and that figure from its answer.
std::string brokers_query(const std::string& ns, const std::string& cluster, int window_s);
struct Count {
  double value = 0;
  double at_s = 0;  // by Prometheus' clock
};
std::optional<Count> count_from_answer(const std::string& body);
// The load of a broker from its own metrics; limits of 0 are not known and not looked at.
BrokerLoad broker_load(const ScrapeRates& scrape, const std::string& broker,
                       double network_bytes_per_s, double disk_bytes_per_s);
// Adds the answer of /api/v1/query for `metric` to `rates`; an error text when it is no good
// (an error status, NaN, not a vector).
std::optional<std::string> add_prometheus_answer(const std::string& metric, const std::string& body,
                                                 StreamRates& rates, Offsets* offsets = nullptr);

inline constexpr const char* kBytesMetric = "sluice_shard_bytes_in_total";
inline constexpr const char* kRecordsMetric = "sluice_shard_records_in_total";
inline constexpr const char* kThrottledBytesMetric = "sluice_shard_throttled_bytes_total";
inline constexpr const char* kThrottledMetric = "sluice_shard_throttled_records_total";
inline constexpr const char* kHeatMetric = "sluice_shard_heat_bytes_total";
inline constexpr const char* kHotKeyMetric = "sluice_shard_hot_key_share";
inline constexpr const char* kEndMetric = "sluice_shard_end_offset";
inline constexpr const char* kCommittedMetric = "sluice_group_committed_offset";

}  // namespace sluice_operator::autoscale
