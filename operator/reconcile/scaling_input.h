#pragma once
// PURE: what the autoscaler's planners are given, from the resources, the coordinator's map and the
// load. Called by the Autoscaler.
#include "operator/api/stream.h"
#include "operator/autoscale/brokers.h"
#include "operator/autoscale/decide.h"
#include "operator/reconcile/load_source.h"

namespace sluice_operator::reconcile {

autoscale::Policy policy_of(const api::StreamClusterSpec& cluster, const api::StreamSpec& stream);
// When partitions were last added, by the status that an earlier operator left; -1: never. A
// restart does not cut a cool-down short.
int64_t last_growth_of(const api::Stream& stream, int64_t now_ms, int64_t wall_ms);
// What an operator that starts is to remember of the brokers: the last step, and what became of one
// that was made because producers waited.
autoscale::BrokerMemory broker_memory_of(const api::StreamClusterStatus& status, int64_t now_ms,
                                         int64_t wall_ms);
// Puts a decision about brokers first. Of too many, looks that did nothing go before steps do: they come
// at any rate, and broker_memory_of() needs the last steps.
void add_broker_decision(std::vector<api::Decision>& decisions, api::Decision decision);
autoscale::BrokerPolicy broker_policy_of(const api::StreamClusterSpec::BrokerScaling& scaling);
autoscale::Snapshot snapshot_of(const sluice::v1::ShardMap& map, const std::string& stream,
                                const LoadAnswer& answer, int64_t now_ms, int64_t wall_ms);
// `replication_max`: copies of the most replicated stream. `scaler`: as observe_scaler() says.
autoscale::BrokerSnapshot broker_snapshot_of(const api::StreamCluster& cluster,
                                             const LoadAnswer& answer, int32_t replication_max,
                                             const std::string& scaler, int64_t now_ms);

}  // namespace sluice_operator::reconcile
