#include "operator/kube/client/resource.h"

#include <nlohmann/json.hpp>

namespace sluice_operator::kube {

std::string ResourceType::api_version() const { return group.empty() ? version : group + "/" + version; }

std::string metadata_text(const Json& object, std::string_view field) {
  if (!object.is_object()) return {};
  auto metadata = object.find("metadata");
  if (metadata == object.end() || !metadata->is_object()) return {};
  auto value = metadata->find(std::string(field));
  if (value == metadata->end() || !value->is_string()) return {};
  return value->get<std::string>();
}

ObjectKey key_of(const Json& object) {
  return {metadata_text(object, "namespace"), metadata_text(object, "name")};
}

std::string url_encode(std::string_view text) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  for (unsigned char c : text) {
    if (isalnum(c) || c == '-' || c == '_' || c == '.' || c == '~') {
      out += static_cast<char>(c);
    } else {
      out += '%';
      out += kHex[c >> 4];
      out += kHex[c & 15];
    }
  }
  return out;
}

std::string resource_path(const ResourceType& type, std::string_view ns, std::string_view name,
                          std::string_view subresource) {
  std::string path = (type.group.empty() ? "/api/" : "/apis/") + type.api_version();
  if (type.namespaced && !ns.empty()) path += "/namespaces/" + url_encode(ns);
  path += "/" + type.plural;
  if (!name.empty()) path += "/" + url_encode(name);
  if (!subresource.empty()) path += "/" + std::string(subresource);
  return path;
}

#define SL_RESOURCE(function, ...)              \
  const ResourceType& function() {              \
    static const ResourceType type{__VA_ARGS__}; \
    return type;                                \
  }
SL_RESOURCE(pods, "", "v1", "pods", "Pod")
SL_RESOURCE(services, "", "v1", "services", "Service")
SL_RESOURCE(config_maps, "", "v1", "configmaps", "ConfigMap")
SL_RESOURCE(secrets, "", "v1", "secrets", "Secret")
SL_RESOURCE(service_accounts, "", "v1", "serviceaccounts", "ServiceAccount")
SL_RESOURCE(nodes, "", "v1", "nodes", "Node", false)
SL_RESOURCE(namespaces, "", "v1", "namespaces", "Namespace", false)
SL_RESOURCE(core_events, "", "v1", "events", "Event")
SL_RESOURCE(persistent_volume_claims, "", "v1", "persistentvolumeclaims", "PersistentVolumeClaim")
SL_RESOURCE(stateful_sets, "apps", "v1", "statefulsets", "StatefulSet")
SL_RESOURCE(deployments, "apps", "v1", "deployments", "Deployment")
SL_RESOURCE(pod_disruption_budgets, "policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget")
SL_RESOURCE(network_policies, "networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy")
SL_RESOURCE(horizontal_pod_autoscalers, "autoscaling", "v2", "horizontalpodautoscalers",
            "HorizontalPodAutoscaler")
SL_RESOURCE(leases, "coordination.k8s.io", "v1", "leases", "Lease")
#undef SL_RESOURCE

}  // namespace sluice_operator::kube
