#include "operator/coordinator/metrics_observer.h"

namespace sluice_operator::coordinator {

MetricsObserver::MetricsObserver(broker::Metrics& metrics, std::string cluster)
    : metrics_(metrics), cluster_(std::move(cluster)) {}

MetricsObserver::~MetricsObserver() {
  for (auto& [key, gauge] : gauges_) metrics_.remove_gauge(key.first, *gauge);
  for (auto& [key, count] : counters_) metrics_.remove_counter(key.first, *count.counter);
}

void MetricsObserver::condition(const std::string& type, bool holds) {
  gauge("sluice_operator_cluster_condition",
        "Conditions of the StreamCluster's status: 1 where one holds, else 0.", holds ? 1 : 0,
        {{"condition", type}});
}

void MetricsObserver::certificate(const std::string& name, double seconds_left) {
  gauge("sluice_operator_certificate_seconds_left",
        "Seconds until a certificate that the operator keeps ends.", seconds_left,
        {{"certificate", name}});
}

void MetricsObserver::count(const char* name, const char* help, const char* label,
                            std::string_view value) {
  metrics_.counter(name, help, {{"cluster", cluster_}, {label, std::string(value)}}).Increment();
}

void MetricsObserver::gauge(const char* name, const char* help, double value,
                            const broker::Metrics::Labels& labels) {
  auto& known = gauges_[{name, labels}];
  if (!known) {
    broker::Metrics::Labels all = labels;
    all["cluster"] = cluster_;
    known = &metrics_.gauge(name, help, all);
  }
  known->Set(value);
}

// Brings a counter up to what is durable: an operator that starts does not count from nothing.
void MetricsObserver::raise(const char* name, const char* help, double value,
                            const broker::Metrics::Labels& labels) {
  broker::Metrics::Labels all = labels;
  all["cluster"] = cluster_;
  auto [it, fresh] = counters_.try_emplace({name, all}, Count{nullptr, meter_round_});
  if (fresh) it->second.counter = &metrics_.counter(name, help, all);
  it->second.round = meter_round_;
  const double now = it->second.counter->Value();
  if (value > now) it->second.counter->Increment(value - now);
}

void MetricsObserver::meter_line(const sluice::v1::BillLine& line, const std::string& stream) {
  const auto& usage = line.usage();
  const broker::Metrics::Labels labels{{"stream", stream}};
  auto hours = [](int64_t ms) { return static_cast<double>(ms) / 3.6e6; };
  raise("sluice_metering_shard_hours_total", "Hours of open shards.", hours(usage.shard_ms()), labels);
  raise("sluice_metering_put_units_total",
        "PUT payload units: 25 KB of a record's data, rounded up per record.",
        static_cast<double>(usage.put_units()), labels);
  raise("sluice_metering_records_total", "Records stored.", static_cast<double>(usage.records()),
        labels);
  raise("sluice_metering_bytes_total", "Bytes of record batches stored.",
        static_cast<double>(usage.bytes()), labels);
  raise("sluice_metering_extended_retention_shard_hours_total",
        "Hours of open shards whose retention was above 24 hours.",
        hours(usage.extended_shard_ms()), labels);
  raise("sluice_metering_long_term_byte_hours_total", "Bytes older than 7 days, times hours.",
        static_cast<double>(usage.long_term_byte_hours()), labels);
  raise("sluice_metering_broker_hours_total", "The stream's share of the brokers' hours.",
        static_cast<double>(usage.broker_us()) / 3.6e9, labels);
  for (const auto& [kind, bytes] : {std::pair{"replicated", usage.replicated_bytes()},
                                    {"forwarded", usage.forwarded_bytes()},
                                    {"fetched", usage.fetched_bytes()}}) {
    raise("sluice_metering_cross_zone_bytes_total", "Bytes between zones.",
          static_cast<double>(bytes), {{"stream", stream}, {"kind", kind}});
  }
}

void MetricsObserver::meter(const sluice::v1::Bill& bill) {
  ++meter_round_;
  for (const auto& line : bill.lines()) {
    if (!line.stream().empty()) meter_line(line, line.stream());
    if (line.gone()) meter_line(line, "(deleted)");
    if (!line.gone() && line.stream().empty()) {
      raise("sluice_metering_broker_hours_total", "The stream's share of the brokers' hours.",
            static_cast<double>(line.usage().broker_us()) / 3.6e9, {{"stream", "(idle)"}});
    }
  }
  for (auto it = counters_.begin(); it != counters_.end();) {
    if (it->second.round == meter_round_) {
      ++it;
      continue;
    }
    metrics_.remove_counter(it->first.first, *it->second.counter);
    it = counters_.erase(it);
  }
}

void MetricsObserver::election_started(std::string_view reason) {
  count("sluice_coordinator_elections_total", "Elections of shard leaders by reason.", "reason",
        reason);
}

void MetricsObserver::election_done(double seconds) {
  metrics_
      .histogram("sluice_coordinator_election_duration_seconds",
                 "Time from a written term to its written leader, in seconds.",
                 {{"cluster", cluster_}}, {0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10})
      .Observe(seconds);
}

void MetricsObserver::metadata_written(std::string_view result) {
  count("sluice_coordinator_metadata_writes_total", "Writes of shard maps by result.", "result",
        result);
}

void MetricsObserver::move_done(std::string_view reason) {
  count("sluice_coordinator_moves_total", "Finished changes of shards' ensembles by reason.",
        "reason", reason);
}

void MetricsObserver::refresh(const broker::coordination::Coordinator& coordinator) {
  std::map<std::string, int> shards = {{"open", 0}, {"sealing", 0}, {"closed", 0}};
  int leaderless = 0;
  for (const auto* map : coordinator.maps()) {
    for (const auto& shard : map->shards()) {
      if (shard.state() == sluice::v1::SHARD_STATE_OPEN) ++shards["open"];
      if (shard.state() == sluice::v1::SHARD_STATE_SEALING) ++shards["sealing"];
      if (shard.state() == sluice::v1::SHARD_STATE_CLOSED) ++shards["closed"];
      if (!shard.has_leader()) ++leaderless;
    }
  }
  for (const auto& [state, value] : shards) {
    gauge("sluice_coordinator_shards", "Shards by state.", value, {{"state", state}});
  }
  gauge("sluice_coordinator_leaderless_shards", "Shards whose term has no leader.", leaderless);
  gauge("sluice_coordinator_sessions", "Brokers that are connected.", coordinator.sessions());
  gauge("sluice_coordinator_moves_in_flight", "Changes of shards' ensembles under way.",
        static_cast<double>(coordinator.moves().size()));
  gauge("sluice_coordinator_moves_planned", "Changes of shards' ensembles still wanted.",
        coordinator.planned_moves());
}

}  // namespace sluice_operator::coordinator
