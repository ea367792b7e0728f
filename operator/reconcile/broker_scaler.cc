// The Autoscaler's other half: how many brokers a cluster has. It writes spec.brokers, the field
// that `kubectl scale` and a HorizontalPodAutoscaler write; the rest of the operator adds and drains.
#include <nlohmann/json.hpp>

#include "broker/base/log.h"
#include "operator/reconcile/autoscaler.h"
#include "operator/api/json.h"
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
  int32_t copies = 1;
  for (const auto& [name, stream] : cluster.streams) {
    copies = std::max(copies, api::effective_replication(stream->spec, resource->spec));
  }
  auto decision = autoscale::decide_brokers(
      broker_policy_of(*resource->spec.autoscaling.brokers),
      broker_snapshot_of(*resource, answer, copies, clock_.mono_ms()), cluster.broker_scaling);
  bool acts = decision.action != autoscale::BrokerAction::kNone && !decision.recommended_only;
  std::string action(autoscale::to_string(acts ? decision.action : autoscale::BrokerAction::kNone));
  metrics_
      .counter("sluice_autoscale_broker_decisions_total", "Looks at the brokers, by what followed.",
               {{"namespace", key.ns},
                {"cluster", key.name},
                {"action", action},
                {"reason", decision.reason}})
      .Increment();
  auto& last = cluster.broker_decision;
  if (!acts && last && last->action == action && last->reason == decision.reason) return;
  api::Decision entry{api::rfc3339(clock_.wall_ms()), action, {}, decision.reason,
                      decision.message, decision.inputs};
  if (decision.next_allowed_ms > clock_.mono_ms()) {
    entry.inputs["nextAllowed"] = when(decision.next_allowed_ms);
  }
  last = entry;
  broker::log_info("autoscaler", "decision about brokers",
                   {{"cluster", key.to_string()},
                    {"action", action},
                    {"reason", decision.reason},
                    {"message", decision.message}});
  bool warns = decision.reason == "Contended" || decision.reason == "BudgetReached" ||
               decision.reason == "AtMaximum";
  if (acts || warns) {
    events_.record(*object, acts ? kube::EventType::kNormal : kube::EventType::kWarning,
                   acts ? action : decision.reason, decision.message);
  }
  if (acts) set_brokers(key, decision.brokers);
  clusters_.changed(key);
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
