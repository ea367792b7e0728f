#include "operator/coordinator/metrics_observer.h"

namespace sluice_operator::coordinator {

void MetricsObserver::election_started(std::string_view reason) {
  metrics_
      .counter("sluice_coordinator_elections_total", "Elections of shard leaders, by cause.",
               {{"cluster", cluster_}, {"reason", std::string(reason)}})
      .Increment();
}

void MetricsObserver::election_done(double seconds) {
  metrics_
      .histogram("sluice_coordinator_election_duration_seconds",
                 "Time from the decision to elect to the recorded leader.",
                 {{"cluster", cluster_}}, {0.01, 0.03, 0.1, 0.3, 1, 3, 10})
      .Observe(seconds);
}

void MetricsObserver::metadata_written(std::string_view result) {
  metrics_
      .counter("sluice_coordinator_metadata_writes_total", "Writes of shard maps, by result.",
               {{"cluster", cluster_}, {"result", std::string(result)}})
      .Increment();
}

void MetricsObserver::move_done(std::string_view reason) {
  metrics_
      .counter("sluice_coordinator_moves_total", "Finished moves of replicas, by cause.",
               {{"cluster", cluster_}, {"reason", std::string(reason)}})
      .Increment();
}

}  // namespace sluice_operator::coordinator
