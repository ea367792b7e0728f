#include "operator/reconcile/observe.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace sluice_operator::reconcile {

using kube::Json;

namespace {

int32_t index_of(const std::string& pod, const std::string& cluster) {
  if (pod.rfind(cluster + "-", 0) != 0) return -1;
  char* end = nullptr;
  const char* digits = pod.c_str() + cluster.size() + 1;
  long index = std::strtol(digits, &end, 10);
  return end != digits && *end == 0 && index >= 0 ? static_cast<int32_t>(index) : -1;
}

const Json* condition(const Json& pod, const char* type) {
  static const Json none = Json::array();
  auto at = "/status/conditions"_json_pointer;
  const Json& conditions = pod.contains(at) ? pod.at(at) : none;
  for (const auto& entry : conditions) {
    if (entry.value("type", std::string()) == type) return &entry;
  }
  return nullptr;
}

bool holds(const Json* entry) { return entry && entry->value("status", std::string()) == "True"; }

std::string with_message(const std::string& reason, const std::string& message) {
  return message.empty() ? reason : reason + ": " + message.substr(0, 300);
}

std::string waiting_reason(const Json& pod) {
  for (const auto& container : pod.value("/status/containerStatuses"_json_pointer, Json::array())) {
    auto reason = container.value("/state/waiting/reason"_json_pointer, std::string());
    if (!reason.empty() && reason != "ContainerCreating" && reason != "PodInitializing") {
      return with_message(reason,
                          container.value("/state/waiting/message"_json_pointer, std::string()));
    }
  }
  const Json* scheduled = condition(pod, "PodScheduled");
  if (scheduled && !holds(scheduled)) {
    return with_message(scheduled->value("reason", std::string("Unschedulable")),
                        scheduled->value("message", std::string()));
  }
  return {};
}

// The kubelet has the pod and cannot begin with its container yet.
bool is_being_created(const Json& pod) {
  const auto all = pod.value("/status/containerStatuses"_json_pointer, Json::array());
  return std::any_of(all.begin(), all.end(), [](const Json& container) {
    return container.value("/state/waiting/reason"_json_pointer, std::string()) == "ContainerCreating";
  });
}

// A container that has ended before is starting again or waits to: it says the same at both times.
std::string restart_reason(const Json& pod) {
  for (const auto& container : pod.value("/status/containerStatuses"_json_pointer, Json::array())) {
    if (container.value("restartCount", 0) == 0) continue;
    auto ended = container.value("/lastState/terminated"_json_pointer, Json::object());
    return "its container has ended " + std::to_string(container.value("restartCount", 0)) +
           " times, last with exit code " + std::to_string(ended.value("exitCode", 0)) + " (" +
           ended.value("reason", std::string("unknown")) + ")";
  }
  return {};
}

std::string annotation(const Json& object, const char* name) {
  return object.value("/metadata/annotations"_json_pointer, Json::object())
      .value(name, std::string());
}

PodView view_of(const Json& pod) {
  PodView view;
  view.name = kube::metadata_text(pod, "name");
  view.uid = kube::metadata_text(pod, "uid");
  view.node = pod.value("/spec/nodeName"_json_pointer, std::string());
  view.terminating = !kube::metadata_text(pod, "deletionTimestamp").empty();
  view.ready = holds(condition(pod, "Ready")) && !view.terminating;
  view.hash = annotation(pod, plan::kSpecHashAnnotation);
  view.waiting = waiting_reason(pod);
  view.creating = is_being_created(pod);
  if (!view.ready) {
    std::string restarts = restart_reason(pod);
    view.broken = restarts.empty() ? view.waiting : restarts;
  }
  return view;
}

std::string node_address(const Json& node) {
  std::string found;
  const auto addresses = node.value("/status/addresses"_json_pointer, Json::array());
  for (const char* type : {"ExternalIP", "InternalIP", "Hostname"}) {
    for (const auto& entry : addresses) {
      if (found.empty() && entry.value("type", std::string()) == type) {
        found = entry.value("address", std::string());
      }
    }
  }
  return found;
}

// Empty where it is ready, or where nobody says anything of it.
std::string trouble_of_node(const std::string& name, const kube::JsonPtr& node) {
  if (!node) return "its node '" + name + "' does not exist any more";
  const Json* ready = condition(*node, "Ready");
  return !ready || holds(ready) ? "" : "its node '" + name + "' is not ready";
}

std::string instance_of(const Json& object) {
  return object.value("/metadata/labels"_json_pointer / "app.kubernetes.io/instance", std::string());
}

std::string cluster_named_by(const Json& object) {
  return object.value("/spec/cluster"_json_pointer, std::string());
}

void keep_what_is_observed_of_pod(Json& pod) {
  Json spec{{"nodeName", pod.value("/spec/nodeName"_json_pointer, std::string())}};
  Json status = Json::object();
  for (const char* field : {"conditions", "containerStatuses", "podIP"}) {
    auto at = Json::json_pointer("/status") / field;
    if (pod.contains(at)) status[field] = std::move(pod.at(at));
  }
  pod["spec"] = std::move(spec);
  pod["status"] = std::move(status);
}

void keep_what_is_observed_of_claim(Json& claim) {
  Json resources = claim.value("/spec/resources"_json_pointer, Json::object());
  Json phase = claim.value("/status/phase"_json_pointer, std::string());
  claim["spec"] = {{"resources", std::move(resources)}};
  claim["status"] = {{"phase", std::move(phase)}};
}

void keep_what_is_observed_of_set(Json& set) {
  Json seen = set.value("/status/observedGeneration"_json_pointer, int64_t{0});
  set["status"] = {{"observedGeneration", std::move(seen)}};
}

void keep_what_is_observed_of_node(Json& node) {
  Json addresses = node.value("/status/addresses"_json_pointer, Json::array());
  Json conditions = Json::array();
  if (const Json* ready = condition(node, "Ready")) {
    conditions.push_back({{"type", "Ready"}, {"status", ready->value("status", std::string())}});
  }
  node["status"] = {{"addresses", std::move(addresses)}, {"conditions", std::move(conditions)}};
  node.erase("spec");
}

std::string target_of(const Json& autoscaler) { return cluster_scaled_by(autoscaler).name; }

// Its metrics change with each of its controller's looks.
void keep_what_is_observed_of_autoscaler(Json& autoscaler) {
  Json target = autoscaler.value("/spec/scaleTargetRef"_json_pointer, Json::object());
  autoscaler["spec"] = {{"scaleTargetRef", std::move(target)}};
  autoscaler.erase("status");
}

}  // namespace

kube::CacheOptions cache_of(const kube::ResourceType& type) {
  struct Kept {
    kube::Store::Grouping grouping;
    std::function<void(Json&)> transform;
    bool optional = false;  // a chart of before did not ask for the right to read it
  };
  static const std::map<std::string, Kept> kinds{
      {"Stream", {cluster_named_by, nullptr}},
      {"StreamUser", {cluster_named_by, nullptr}},
      {"Service", {instance_of, nullptr}},
      {"Pod", {instance_of, keep_what_is_observed_of_pod}},
      {"PersistentVolumeClaim", {instance_of, keep_what_is_observed_of_claim}},
      {"StatefulSet", {nullptr, keep_what_is_observed_of_set}},
      {"Node", {nullptr, keep_what_is_observed_of_node}},
      {"HorizontalPodAutoscaler", {target_of, keep_what_is_observed_of_autoscaler, true}},
      {"PodDisruptionBudget", {nullptr, [](Json& object) { object.erase("status"); }}},
      {"NetworkPolicy", {nullptr, [](Json& object) { object.erase("status"); }}}};
  kube::CacheOptions options;
  options.type = type;
  if (auto it = kinds.find(type.kind); it != kinds.end()) {
    options.grouping = it->second.grouping;
    options.optional = it->second.optional;
    options.transform = it->second.transform;
  }
  return options;
}

std::vector<PodView> observe_pods(const api::StreamCluster& cluster, const kube::Cache& pods,
                                  const kube::Cache& nodes) {
  std::vector<PodView> out;
  for (const auto& pod : pods.grouped(cluster.metadata.ns, cluster.metadata.name)) {
    PodView view = view_of(*pod);
    view.broker = index_of(view.name, cluster.metadata.name);
    if (view.broker < 0) continue;
    const auto node = view.node.empty() ? nullptr : nodes.get("", view.node);
    if (!view.node.empty() && !view.ready) view.lost = trouble_of_node(view.node, node);
    if (node) {
      view.zone = node->value("/metadata/labels"_json_pointer, Json::object())
                      .value(cluster.spec.zone_key, std::string());
      view.node_address = node_address(*node);
    }
    out.push_back(std::move(view));
  }
  std::sort(out.begin(), out.end(),
            [](const auto& a, const auto& b) { return a.broker < b.broker; });
  return out;
}

plan::Outside observe_outside(const api::StreamCluster& cluster, const kube::Cache& services,
                              const std::vector<PodView>& pods) {
  plan::Outside out;
  for (const auto& pod : pods) {
    if (!pod.node_address.empty()) out.node_addresses[pod.broker] = pod.node_address;
  }
  for (const auto& service : services.grouped(cluster.metadata.ns, cluster.metadata.name)) {
    const auto labels = service->value("/metadata/labels"_json_pointer, Json::object());
    if (!labels.contains(plan::kListenerLabel)) continue;
    plan::ServiceView view;
    for (const auto& port : service->value("/spec/ports"_json_pointer, Json::array())) {
      view.node_port = port.value("nodePort", 0);
    }
    for (const auto& ingress :
         service->value("/status/loadBalancer/ingress"_json_pointer, Json::array())) {
      view.load_balancer = ingress.value("hostname", ingress.value("ip", std::string()));
    }
    out.services[kube::metadata_text(*service, "name")] = view;
  }
  return out;
}

StatefulSetView observe_stateful_set(const kube::JsonPtr& object) {
  StatefulSetView view;
  if (!object) return view;
  view.exists = kube::metadata_text(*object, "deletionTimestamp").empty();
  view.going = !view.exists;
  view.uid = kube::metadata_text(*object, "uid");
  view.replicas = object->value("/spec/replicas"_json_pointer, 0);
  view.template_hash = object->value("/spec/template/metadata/annotations"_json_pointer,
                                     Json::object())
                           .value(plan::kSpecHashAnnotation, std::string());
  view.template_seen =
      object->value("/status/observedGeneration"_json_pointer, int64_t{0}) >=
      object->value("/metadata/generation"_json_pointer, int64_t{0});
  view.settings = plan::read_pod_settings(annotation(*object, plan::kSettingsAnnotation));
  view.good = plan::read_pod_settings(annotation(*object, plan::kGoodSettingsAnnotation));
  view.default_image = annotation(*object, plan::kDefaultImageAnnotation);
  for (const auto& claim :
       object->value("/spec/volumeClaimTemplates"_json_pointer, Json::array())) {
    view.claim_size =
        claim.value("/spec/resources/requests/storage"_json_pointer, std::string());
  }
  return view;
}

kube::ObjectKey cluster_scaled_by(const kube::Json& autoscaler) {
  const auto target = autoscaler.value("/spec/scaleTargetRef"_json_pointer, Json::object());
  const std::string version = target.value("apiVersion", std::string());
  if (target.value("kind", std::string()) != "StreamCluster" ||
      version.substr(0, version.find('/')) != api::kGroup) {
    return {};
  }
  return {kube::metadata_text(autoscaler, "namespace"), target.value("name", std::string())};
}

std::string observe_scaler(const kube::ObjectKey& cluster, const kube::Cache& autoscalers) {
  for (const auto& object : autoscalers.grouped(cluster.ns, cluster.name)) {
    return "HorizontalPodAutoscaler " + kube::metadata_text(*object, "name");
  }
  return {};
}

std::vector<plan::Claim> observe_claims(const api::StreamCluster& cluster,
                                        const kube::Cache& claims) {
  std::vector<plan::Claim> out;
  for (const auto& object : claims.grouped(cluster.metadata.ns, cluster.metadata.name)) {
    plan::Claim claim;
    claim.name = kube::metadata_text(*object, "name");
    claim.broker = plan::broker_of_claim(claim.name, cluster.metadata.name);
    if (claim.broker < 0) continue;
    claim.uid = kube::metadata_text(*object, "uid");
    claim.resource_version = kube::metadata_text(*object, "resourceVersion");
    claim.deleting = !kube::metadata_text(*object, "deletionTimestamp").empty();
    claim.size = object->value("/spec/resources/requests/storage"_json_pointer, std::string());
    claim.phase = object->value("/status/phase"_json_pointer, std::string());
    const Json annotations = object->value("/metadata/annotations"_json_pointer, Json::object());
    for (const auto& [name, value] : annotations.items()) {
      if (value.is_string()) claim.annotations[name] = value.get<std::string>();
    }
    out.push_back(std::move(claim));
  }
  return out;
}

}  // namespace sluice_operator::reconcile
