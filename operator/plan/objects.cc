#include "operator/plan/objects.h"

#include <nlohmann/json.hpp>

namespace sluice_operator::plan {

using Json = nlohmann::json;

std::string text_hash(const std::string& text) {
  uint64_t hash = 0xcbf29ce484222325ULL;
  for (unsigned char c : text) hash = (hash ^ c) * 0x100000001b3ULL;
  char out[17];
  std::snprintf(out, sizeof out, "%016llx", static_cast<unsigned long long>(hash));
  return out;
}

Json child(const api::StreamCluster& cluster, const std::string& api_version,
           const std::string& kind, const std::string& name) {
  Json labels = broker_labels(cluster.metadata.name);
  labels["app.kubernetes.io/managed-by"] = "sluice-operator";
  labels["app.kubernetes.io/part-of"] = "sluice";
  return {{"apiVersion", api_version},
          {"kind", kind},
          {"metadata",
           {{"namespace", cluster.metadata.ns},
            {"name", name},
            {"labels", labels},
            {"ownerReferences",
             {{{"apiVersion", api::kApiVersion},
               {"kind", "StreamCluster"},
               {"name", cluster.metadata.name},
               {"uid", cluster.metadata.uid},
               {"controller", true},
               {"blockOwnerDeletion", true}}}}}}};
}

void seal(Json& object) {
  std::string hash = text_hash(object.dump());
  object["metadata"]["annotations"][kHashAnnotation] = std::move(hash);
}

// Flat settings, as sluice-broker --config reads them, at its start. What the user can change and
// brokers are restarted for is in PodSettings and goes into the pods' arguments: a kubelet may give a
// new pod the ConfigMap of a moment ago. What changes at run time comes over the coordinator's session.
std::string broker_config(const PlanInput& input) {
  const std::string tls = "/etc/sluice/tls/";
  const std::pair<const char*, std::string> settings[] = {
      // One operator coordinates many clusters: this is the name of the session.
      {"cluster", input.cluster.metadata.ns + "/" + input.cluster.metadata.name},
      {"coordinator", input.settings.coordinator_address},
      {"data", "/var/lib/sluice"},
      {"tls-ca", tls + "ca.crt"},
      {"tls-cert", tls + "tls.crt"},
      {"tls-key", tls + "tls.key"},
      {"log-format", "json"},
      {"log-level", input.log_level},
  };
  std::string text;
  // Quoted as JSON, which is YAML: names like "on" or "1e3" stay text.
  for (const auto& [name, value] : settings) {
    text += std::string(name) + ": " + Json(value).dump() + "\n";
  }
  return text;
}

Json config_map(const PlanInput& input) {
  Json object = child(input.cluster, "v1", "ConfigMap", config_name(input.cluster.metadata.name));
  object["data"] = {{"broker.yaml", broker_config(input)}};
  return object;
}

}  // namespace sluice_operator::plan
