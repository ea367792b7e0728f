#pragma once
// What the process and its volume use, as metrics: processor time, disk and network traffic, space.
// The autoscaler of brokers decides on them. Refreshed by the /metrics page, on its thread.
#include <string>

#include "broker/base/metrics.h"

namespace broker::app {

class ProcessMetrics {
 public:
  ProcessMetrics(Metrics& metrics, std::string data_directory);
  void refresh();

 private:
  const std::string data_directory_;
  prometheus::Counter& cpu_seconds_;
  prometheus::Counter& disk_bytes_;
  prometheus::Counter& network_bytes_;
  prometheus::Gauge& cpu_cores_;
  prometheus::Gauge& memory_bytes_;
  prometheus::Gauge& volume_used_;
  prometheus::Gauge& volume_capacity_;
};

// The processors that this process may use: its control group's quota, else all.
double usable_cores();

}  // namespace broker::app
