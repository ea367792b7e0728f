#include "operator/reconcile/stream_cluster.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "broker/base/log.h"
#include "operator/api/json.h"
#include "operator/apply/apply.h"
#include "operator/apply/remove.h"
#include "operator/plan/stream_cluster.h"

namespace sluice_operator::reconcile {

using broker::Code;
using broker::Status;
using kube::Json;
using runtime::Outcome;

namespace {

constexpr int64_t kBusyMs = 1000, kSteadyMs = 30'000;

int32_t index_of(const std::string& pod, const std::string& cluster) {
  if (pod.rfind(cluster + "-", 0) != 0) return -1;
  char* end = nullptr;
  long index = std::strtol(pod.c_str() + cluster.size() + 1, &end, 10);
  return *end == 0 ? static_cast<int32_t>(index) : -1;
}

bool is_ready(const Json& pod) {
  for (const auto& condition : pod.value("/status/conditions"_json_pointer, Json::array())) {
    if (condition.value("type", std::string()) == "Ready") {
      return condition.value("status", std::string()) == "True";
    }
  }
  return false;
}

std::string waiting_reason(const Json& pod) {
  for (const auto& container : pod.value("/status/containerStatuses"_json_pointer, Json::array())) {
    auto reason = container.value("/state/waiting/reason"_json_pointer, std::string());
    if (!reason.empty() && reason != "ContainerCreating" && reason != "PodInitializing") {
      return reason;
    }
  }
  return {};
}

int32_t replicas_of(const kube::JsonPtr& stateful_set) {
  return stateful_set ? stateful_set->value("/spec/replicas"_json_pointer, 0) : 0;
}

}  // namespace

StreamClusterReconciler::StreamClusterReconciler(kube::Client& client, broker::env::Clock& clock,
                                                 Caches caches, Clusters& clusters,
                                                 Certificates& certificates,
                                                 kube::EventRecorder& events,
                                                 ClusterSettings settings)
    : client_(client),
      clock_(clock),
      caches_(caches),
      clusters_(clusters),
      certificates_(certificates),
      events_(events),
      settings_(std::move(settings)) {}

Outcome StreamClusterReconciler::reconcile(const runtime::Key& key) {
  auto object = caches_.clusters.get(key.ns, key.name);
  if (!object) {
    clusters_.forget(key);
    return Outcome::done();
  }
  auto read = api::read_stream_cluster(*object);
  if (!read.ok()) return Outcome::terminal(read.status());
  const api::StreamCluster& cluster = *read;
  if (cluster.metadata.deleting) return let_go(cluster);
  // A Delete policy needs us at the end: the volumes are not the StatefulSet's to remove.
  bool wipe = cluster.spec.storage.deletion_policy == api::DeletionPolicy::kDelete;
  Status held = apply::set_finalizer(client_, caches_.clusters.type(), cluster.metadata, wipe);
  if (!held.ok()) return Outcome::retry(held);
  auto stateful_set = caches_.stateful_sets.get(key.ns, key.name);
  ClusterSight sight;
  sight.pods = observe_pods(cluster);
  int32_t current = replicas_of(stateful_set);
  for (int32_t id = cluster.spec.brokers; id < current; id++) sight.draining.push_back(id);
  std::vector<broker::coordination::ExpectedBroker> expected;
  for (int32_t id = 0; id < std::max(cluster.spec.brokers, current); id++) {
    auto pod = std::find_if(sight.pods.begin(), sight.pods.end(),
                            [&](const auto& p) { return p.broker == id; });
    expected.push_back({id, pod == sight.pods.end() ? "" : pod->zone});
  }
  auto errors = api::validate(cluster);
  if (!errors.empty()) sight.problem = api::to_string(errors);
  sight.view = clusters_.follow(cluster, expected, sight.draining, streams_of(cluster));

  bool paused = cluster.metadata.paused();
  int32_t replicas = std::max(cluster.spec.brokers, current);
  if (!sight.draining.empty() && drained(sight.view, sight.draining)) {
    replicas = cluster.spec.brokers;
    events_.record(*object, kube::EventType::kNormal, "BrokersRemoved",
                   "drained brokers are removed: " + std::to_string(current) + " -> " +
                       std::to_string(replicas));
  }
  Status applied;
  if (!paused && errors.empty()) {
    auto secret = certificates_.ensure(cluster);
    applied = secret.status();
    if (applied.ok()) applied = apply_all(cluster, replicas);
    if (!applied.ok() && applied.code() != Code::kConflict) sight.problem = applied.message();
    for (const auto& broker : sight.view.brokers) {
      if (broker.broker.id() >= replicas && !broker.broker.alive()) {
        clusters_.forget_broker(key, broker.broker.id());
      }
    }
  }
  sight.replicas = applied.ok() && !paused && errors.empty() ? replicas : current;
  auto status = cluster_status(cluster, sight, api::rfc3339(clock_.wall_ms()));
  if (paused) {
    api::set_condition(status.conditions,
                       {"Progressing", "False", "Paused",
                        "the annotation sluice.dev/paused stops all changes", "",
                        cluster.metadata.generation},
                       api::rfc3339(clock_.wall_ms()));
  }
  Status written = write_status(cluster, status, *object);
  if (!applied.ok()) return Outcome::retry(applied);
  if (!written.ok()) return Outcome::retry(written);
  bool steady = api::find_condition(status.conditions, "Ready")->status == "True" &&
                sight.draining.empty() && status.rebalance.state == "Idle";
  return Outcome::requeue_after(steady ? kSteadyMs : kBusyMs);
}

// Its objects go with it, by their owner references; its volumes only where the user said so.
Outcome StreamClusterReconciler::let_go(const api::StreamCluster& cluster) {
  clusters_.forget({cluster.metadata.ns, cluster.metadata.name});
  bool wipe = cluster.spec.storage.deletion_policy == api::DeletionPolicy::kDelete;
  if (wipe && cluster.metadata.has_finalizer(api::kFinalizer)) {
    auto gone = apply::remove_volume_claims(client_, cluster.metadata,
                                            plan::broker_selector(cluster.metadata.name));
    if (!gone.ok()) return Outcome::retry(gone.status());
  }
  Status released =
      apply::set_finalizer(client_, caches_.clusters.type(), cluster.metadata, false);
  return released.ok() ? Outcome::done() : Outcome::retry(released);
}

std::vector<PodView> StreamClusterReconciler::observe_pods(
    const api::StreamCluster& cluster) const {
  std::vector<PodView> pods;
  auto stateful_set = caches_.stateful_sets.get(cluster.metadata.ns, cluster.metadata.name);
  std::string revision =
      stateful_set ? stateful_set->value("/status/updateRevision"_json_pointer, std::string()) : "";
  for (const auto& pod : caches_.pods.all(cluster.metadata.ns)) {
    const auto labels = pod->value("/metadata/labels"_json_pointer, Json::object());
    if (labels.value("app.kubernetes.io/instance", std::string()) != cluster.metadata.name) continue;
    PodView view;
    view.name = kube::metadata_text(*pod, "name");
    view.broker = index_of(view.name, cluster.metadata.name);
    if (view.broker < 0) continue;
    view.node = pod->value("/spec/nodeName"_json_pointer, std::string());
    if (auto node = caches_.nodes.get("", view.node); node && !view.node.empty()) {
      view.zone = node->value("/metadata/labels"_json_pointer, Json::object())
                      .value(cluster.spec.zone_key, std::string());
    }
    view.ready = is_ready(*pod) && kube::metadata_text(*pod, "deletionTimestamp").empty();
    view.updated = labels.value("controller-revision-hash", std::string()) == revision;
    view.waiting = waiting_reason(*pod);
    pods.push_back(std::move(view));
  }
  std::sort(pods.begin(), pods.end(),
            [](const auto& a, const auto& b) { return a.broker < b.broker; });
  return pods;
}

std::vector<std::shared_ptr<const api::Stream>> StreamClusterReconciler::streams_of(
    const api::StreamCluster& cluster) const {
  std::vector<std::shared_ptr<const api::Stream>> streams;
  for (const auto& object : caches_.streams.all(cluster.metadata.ns)) {
    auto stream = api::read_stream(*object);
    if (!stream.ok() || stream->spec.cluster != cluster.metadata.name) continue;
    streams.push_back(std::make_shared<const api::Stream>(std::move(*stream)));
  }
  return streams;
}

kube::Cache* StreamClusterReconciler::cache_for(const std::string& kind) {
  for (kube::Cache* cache :
       {&caches_.stateful_sets, &caches_.services, &caches_.config_maps, &caches_.service_accounts,
        &caches_.disruption_budgets, &caches_.network_policies}) {
    if (cache->type().kind == kind) return cache;
  }
  return nullptr;
}

Status StreamClusterReconciler::apply_all(const api::StreamCluster& cluster, int32_t replicas) {
  plan::PlanInput input{cluster, settings_.broker_image, settings_.coordinator_address, replicas,
                        settings_.log_level};
  for (const auto& wanted : plan::desired_objects(input)) {
    kube::Cache* cache = cache_for(wanted.value("kind", std::string()));
    CHECK(cache != nullptr);
    auto live = cache->get(cluster.metadata.ns, kube::metadata_text(wanted, "name"));
    auto result = apply::apply_object(client_, cache->type(), wanted, live);
    if (!result.ok()) return result.status();
  }
  return {};
}

Status StreamClusterReconciler::write_status(const api::StreamCluster& cluster,
                                             const api::StreamClusterStatus& status,
                                             const Json& object) {
  if (status == cluster.status) return {};
  const auto* before = api::find_condition(cluster.status.conditions, "Ready");
  const auto* after = api::find_condition(status.conditions, "Ready");
  if (!before || before->status != after->status) {
    bool ready = after->status == "True";
    events_.record(object, ready ? kube::EventType::kNormal : kube::EventType::kWarning,
                   ready ? "Ready" : "NotReady", after->message);
  }
  Json patch{{"status", api::status_to_json(status)}};
  return client_
      .merge_patch(metadata::stream_clusters(), {cluster.metadata.ns, cluster.metadata.name}, patch,
                   "status")
      .status();
}

}  // namespace sluice_operator::reconcile
