// The Autoscaler's other half: how many brokers a cluster has. It writes spec.brokers, the field
// that `kubectl scale` and a HorizontalPodAutoscaler write; the rest of the operator adds and drains.
#include <nlohmann/json.hpp>

#include "broker/base/log.h"
#include "operator/reconcile/autoscaler.h"
#include "operator/api/json.h"
#include "operator/reconcile/observe.h"
#include "operator/reconcile/scaling_input.h"

namespace sluice_operator::reconcile {

namespace {
constexpr int64_t kBrokerLookMs = 5000;
}

void Autoscaler::decide_brokers(const kube::ObjectKey& key, Clusters::Cluster& cluster,
                                const LoadAnswer& answer) {
  if (clock_.mono_ms() < cluster.next_broker_look_ms) return;
  cluster.next_broker_look_ms = clock_.mono_ms() + kBrokerLookMs;
  // The resource as it is now: the number of brokers may just have been set by somebody else.
  auto object = cluster_objects_.get(key.ns, key.name);
  if (!object) return;
  auto resource = api::read_stream_cluster(*object);
  if (!resource.ok() || !resource->spec.autoscaling.brokers) return;
  if (cluster.broker_scaling.wanted_before < 0 && cluster.broker_decisions.empty()) {
    cluster.broker_decisions = resource->status.decisions;
    cluster.broker_scaling = broker_memory_of(resource->status, clock_.mono_ms(), clock_.wall_ms());
  }
  int32_t copies = 1;
  for (const auto& [name, stream] : cluster.streams) {
    copies = std::max(copies, api::effective_replication(stream->spec, resource->spec));
  }
  auto decision = autoscale::decide_brokers(
      broker_policy_of(*resource->spec.autoscaling.brokers),
      broker_snapshot_of(*resource, answer, copies, observe_scaler(key, autoscalers_),
                         clock_.mono_ms()),
      cluster.broker_scaling);
  bool acts = decision.action != autoscale::BrokerAction::kNone && !decision.recommended_only;
  std::string action(autoscale::to_string(acts ? decision.action : autoscale::BrokerAction::kNone));
  metrics_
      .counter("sluice_autoscale_broker_decisions_total", "Looks at the brokers, by what followed.",
               {{"namespace", key.ns},
                {"cluster", key.name},
                {"action", action},
                {"reason", decision.reason}})
      .Increment();
  measure_brokers(key, resource->spec, decision);
  auto& known = cluster.broker_decisions;
  if (!acts && !known.empty() && known.front().action == action &&
      known.front().reason == decision.reason) {
    return;
  }
  api::Decision entry{api::rfc3339(clock_.wall_ms()), action, {}, decision.reason,
                      decision.message, decision.inputs};
  if (decision.next_allowed_ms > clock_.mono_ms()) {
    entry.inputs["nextAllowed"] = when(decision.next_allowed_ms);
  }
  add_broker_decision(known, std::move(entry));
  broker::log_info("autoscaler", "decision about brokers",
                   {{"cluster", key.to_string()},
                    {"action", action},
                    {"reason", decision.reason},
                    {"message", decision.message}});
  bool warns = decision.reason == autoscale::kContended || decision.reason == "BudgetReached" ||
               decision.reason == "AtMaximum" || decision.reason == "LatencyNotHelped";
  if (acts || warns) {
    events_.record(*object, acts ? kube::EventType::kNormal : kube::EventType::kWarning,
                   acts ? action : decision.reason, decision.message);
  }
  if (acts) set_brokers(key, decision.brokers);
  clusters_.changed(key);
}

void Autoscaler::measure_brokers(const kube::ObjectKey& key, const api::StreamClusterSpec& spec,
                                 const autoscale::BrokerDecision& decision) {
  broker::Metrics::Labels labels{{"namespace", key.ns}, {"cluster", key.name}};
  metrics_.gauge("sluice_autoscale_brokers", "Brokers that a cluster is to have.", labels)
      .Set(decision.brokers);
  if (decision.needed <= 0) return;  // nothing is known
  metrics_
      .gauge("sluice_autoscale_needed_brokers",
             "Brokers that the load will ask for by the time that one more could help.", labels)
      .Set(decision.needed);
  if (spec.autoscaling.brokers->produce_p99_milliseconds == 0) return;
  metrics_
      .gauge("sluice_autoscale_produce_p99_seconds",
             "What producers wait at most brokers, 99th percentile of a minute.", labels)
      .Set(decision.produce_p99_ms / 1000);
}

void Autoscaler::set_brokers(const kube::ObjectKey& key, int32_t brokers) {
  auto failure = std::make_shared<std::string>();
  io_.submit(
      [this, key, brokers, failure] {
        auto written = client_.merge_patch(metadata::stream_clusters(), key,
                                           kube::Json{{"spec", {{"brokers", brokers}}}});
        if (!written.ok()) *failure = written.status().message();
        return broker::Status();
      },
      [key, failure](broker::Status) {
        if (failure->empty()) return;
        broker::log_warn("autoscaler", "the number of brokers could not be written",
                         {{"cluster", key.to_string()}, {"error", *failure}});
      });
}

}  // namespace sluice_operator::reconcile
