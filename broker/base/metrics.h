#pragma once
// A process's metrics: counters, gauges and histograms in Prometheus' text form. References stay
// valid until removed; updates are lock-free, look-ups are not: keep the reference. Thread-safe.
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>

namespace prometheus {
class Registry;
}

namespace broker {

class Metrics {
 public:
  using Labels = std::map<std::string, std::string>;
  Metrics();
  ~Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  // The metric with this name and these labels, made when it is new. `help` is used once.
  prometheus::Counter& counter(const std::string& name, const std::string& help,
                               const Labels& labels = {});
  prometheus::Gauge& gauge(const std::string& name, const std::string& help,
                           const Labels& labels = {});
  prometheus::Histogram& histogram(const std::string& name, const std::string& help,
                                   const Labels& labels, const std::vector<double>& buckets);
  // Forgets a metric (a deleted shard's); the reference is dead afterwards.
  void remove_counter(const std::string& name, prometheus::Counter& metric);
  void remove_gauge(const std::string& name, prometheus::Gauge& metric);
  // The text of /metrics.
  std::string expose() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace broker
