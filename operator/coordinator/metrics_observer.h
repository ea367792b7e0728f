#pragma once
// The coordinator's events as metrics. On the coordinator's thread.
#include "broker/base/metrics.h"
#include "broker/coordination/coordinator.h"

namespace sluice_operator::coordinator {

class MetricsObserver : public broker::coordination::Observer {
 public:
  MetricsObserver(broker::Metrics& metrics, std::string cluster)
      : metrics_(metrics), cluster_(std::move(cluster)) {}
  void election_started(std::string_view reason) override;
  void election_done(double seconds) override;
  void metadata_written(std::string_view result) override;
  void move_done(std::string_view reason) override;

 private:
  broker::Metrics& metrics_;
  const std::string cluster_;
};

}  // namespace sluice_operator::coordinator
