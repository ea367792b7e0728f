#include "broker/base/metrics.h"

#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <mutex>

namespace broker {

struct Metrics::Impl {
  prometheus::Registry registry;
  std::mutex mutex;
  std::map<std::string, prometheus::Family<prometheus::Counter>*> counters;
  std::map<std::string, prometheus::Family<prometheus::Gauge>*> gauges;
  std::map<std::string, prometheus::Family<prometheus::Histogram>*> histograms;
};

Metrics::Metrics() : impl_(std::make_unique<Impl>()) {}
Metrics::~Metrics() = default;

template <class Families, class Build>
static auto& family(std::mutex& mutex, Families& families, const std::string& name, Build build) {
  std::lock_guard lock(mutex);
  auto& slot = families[name];
  if (!slot) slot = &build();
  return *slot;
}

prometheus::Counter& Metrics::counter(const std::string& name, const std::string& help,
                                      const Labels& labels) {
  return family(impl_->mutex, impl_->counters, name, [&]() -> auto& {
           return prometheus::BuildCounter().Name(name).Help(help).Register(impl_->registry);
         }).Add(labels);
}

prometheus::Gauge& Metrics::gauge(const std::string& name, const std::string& help,
                                  const Labels& labels) {
  return family(impl_->mutex, impl_->gauges, name, [&]() -> auto& {
           return prometheus::BuildGauge().Name(name).Help(help).Register(impl_->registry);
         }).Add(labels);
}

prometheus::Histogram& Metrics::histogram(const std::string& name, const std::string& help,
                                          const Labels& labels,
                                          const std::vector<double>& buckets) {
  return family(impl_->mutex, impl_->histograms, name, [&]() -> auto& {
           return prometheus::BuildHistogram().Name(name).Help(help).Register(impl_->registry);
         }).Add(labels, buckets);
}

void Metrics::remove_counter(const std::string& name, prometheus::Counter& metric) {
  std::lock_guard lock(impl_->mutex);
  if (auto it = impl_->counters.find(name); it != impl_->counters.end()) it->second->Remove(&metric);
}

void Metrics::remove_gauge(const std::string& name, prometheus::Gauge& metric) {
  std::lock_guard lock(impl_->mutex);
  if (auto it = impl_->gauges.find(name); it != impl_->gauges.end()) it->second->Remove(&metric);
}

std::string Metrics::expose() const {
  return prometheus::TextSerializer().Serialize(impl_->registry.Collect());
}

}  // namespace broker
