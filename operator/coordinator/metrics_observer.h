#pragma once
// The metrics of one cluster's coordinator: what it does (as its Observer) and how its shards and
// sessions stand (refresh, called now and then). On the executor's thread.
#include <map>
#include <string>

#include "broker/base/metrics.h"
#include "broker/coordination/coordinator.h"

namespace sluice_operator::coordinator {

class MetricsObserver : public broker::coordination::Observer {
 public:
  // Series carry the label `cluster`. `metrics` outlives this.
  MetricsObserver(broker::Metrics& metrics, std::string cluster);
  // The cluster's gauges go with it; what was counted stays.
  ~MetricsObserver() override;
  void refresh(const broker::coordination::Coordinator& coordinator);
  // What streams and brokers used. A stream's series go with it; its usage stays in the total.
  void meter(const sluice::v1::Bill& bill);
  // What its StreamCluster's status says.
  void condition(const std::string& type, bool holds);
  // One of the cluster's: brokers, listeners or clients-ca.
  void certificate(const std::string& name, double seconds_left);

  void election_started(std::string_view reason) override;
  void election_done(double seconds) override;
  void metadata_written(std::string_view result) override;
  void move_done(std::string_view reason) override;

 private:
  void count(const char* name, const char* help, const char* label, std::string_view value);
  void gauge(const char* name, const char* help, double value,
             const broker::Metrics::Labels& labels = {});
  broker::Metrics& metrics_;
  const std::string cluster_;
  void raise(const char* name, const char* help, double value, const broker::Metrics::Labels& labels);
  void meter_line(const sluice::v1::BillLine& line, const std::string& stream);
  // By name, which is a literal, and labels beside the cluster's. Every cluster has some twenty.
  std::map<std::pair<const char*, broker::Metrics::Labels>, prometheus::Gauge*> gauges_;
  struct Count {
    prometheus::Counter* counter;
    int64_t round;
  };
  std::map<std::pair<std::string, broker::Metrics::Labels>, Count> counters_;
  int64_t meter_round_ = 0;
};

}  // namespace sluice_operator::coordinator
