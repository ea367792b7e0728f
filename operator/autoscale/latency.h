#pragma once
// PURE: how long producers wait at a broker, from the histograms of its front doors. Told them at
// each look by reconcile/'s load source.
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace sluice_operator::autoscale {

struct Sample;

// Counts of a Prometheus histogram, each of what took at most so many seconds; the last is
// infinity.
using Buckets = std::map<double, double>;

// As PromQL's histogram_quantile: linear within a bucket, the highest finite bound above all.
// Nothing when it counts nothing.
std::optional<double> quantile(const Buckets& buckets, double q);

class ProduceLatency {
 public:
  void add(const std::string& broker, int64_t now_ms, const std::vector<Sample>& samples);
  void forget(const std::string& broker) { brokers_.erase(broker); }
  // The 99th percentile of the last minute's produce requests, of the slowest front door; 0 when no
  // door had the hundred requests that it takes to have one. Nothing before the second look, and of
  // a broker whose page has no such histogram.
  std::optional<double> p99_seconds(const std::string& broker) const;

 private:
  using Doors = std::map<std::string, Buckets>;
  struct Look {
    int64_t at_ms;
    Doors doors;
  };
  std::map<std::string, std::deque<Look>> brokers_;
};

}  // namespace sluice_operator::autoscale
