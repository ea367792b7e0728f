// The brokers' StatefulSet. Its controller only starts pods (OnDelete); which broker is restarted
// when, roll.h decides by the hash of PodSettings. Whatever else a newer operator writes into the
// template waits for a pod's next start.
#include <nlohmann/json.hpp>

#include "operator/plan/objects.h"

namespace sluice_operator::plan {

using Json = nlohmann::json;

namespace {

constexpr int kUser = 65532;
constexpr int kDrainSeconds = 60;

Json from_field(const char* name, const char* path) {
  return {{"name", name}, {"valueFrom", {{"fieldRef", {{"apiVersion", "v1"}, {"fieldPath", path}}}}}};
}

Json probe(const char* path, int period_s, int timeout_s, int failures) {
  return {{"httpGet", {{"path", path}, {"port", "metrics"}, {"scheme", "HTTP"}}},
          {"periodSeconds", period_s},
          {"timeoutSeconds", timeout_s},
          {"failureThreshold", failures}};
}

Json spread(const std::string& key, const std::string& cluster) {
  return {{"maxSkew", 1},
          {"topologyKey", key},
          // A hard rule would leave pods pending where nodes have no zones, or while one is lost.
          {"whenUnsatisfiable", "ScheduleAnyway"},
          {"labelSelector", {{"matchLabels", broker_labels(cluster)}}}};
}

Json container(const PlanInput& input) {
  const auto& settings = input.settings;
  Json out = {
      {"name", "broker"},
      {"image", settings.image},
      {"imagePullPolicy", settings.image_pull_policy},
      {"command", {"/usr/local/bin/sluice-broker"}},
      {"args",
       {"--config=/etc/sluice/broker.yaml", "--broker-id=$(BROKER_ID)",
        "--advertise=$(POD_NAME)." + brokers_service_name(input.cluster.metadata.name) +
            ".$(POD_NAMESPACE).svc"}},
      {"env",
       {from_field("BROKER_ID", "metadata.labels['apps.kubernetes.io/pod-index']"),
        from_field("POD_NAME", "metadata.name"),
        from_field("POD_NAMESPACE", "metadata.namespace")}},
      {"ports", Json::array()},
      {"resources", Json::object()},
      // A broker that recovers a long log is alive all the while: the start may take 10 minutes.
      {"startupProbe", probe("/livez", 1, 2, 600)},
      {"livenessProbe", probe("/livez", 10, 5, 6)},
      {"readinessProbe", probe("/readyz", 1, 2, 3)},
      {"securityContext",
       {{"allowPrivilegeEscalation", false},
        {"readOnlyRootFilesystem", true},
        {"capabilities", {{"drop", {"ALL"}}}}}},
      {"volumeMounts",
       {{{"name", "data"}, {"mountPath", "/var/lib/sluice"}},
        {{"name", "config"}, {"mountPath", "/etc/sluice/broker.yaml"}, {"subPath", "broker.yaml"},
         {"readOnly", true}},
        {{"name", "tls"}, {"mountPath", "/etc/sluice/tls"}, {"readOnly", true}}}}};
  // Arguments, not settings of broker.yaml: a pod that begins right after a change may still be given
  // the ConfigMap of before, and nobody would restart it again.
  if (!settings.listeners.empty()) {
    out["args"].push_back("--kafka-listeners=" + settings.listeners);
  }
  for (const auto& [name, value] : settings.broker) {
    out["args"].push_back("--" + name + "=" + value);
  }
  if (!settings.kinesis_secret.empty()) {
    // A directory, not a subPath: the kubelet renews it when the Secret changes.
    out["args"].push_back("--kinesis-credentials=/etc/sluice/kinesis/credentials.yaml");
    out["volumeMounts"].push_back(
        {{"name", "kinesis"}, {"mountPath", "/etc/sluice/kinesis"}, {"readOnly", true}});
  }
  if (settings.tls_for_clients()) {
    // Arguments, not settings of broker.yaml: a container that starts again in a pod of an earlier
    // operator reads the file of today, without these volumes.
    for (const auto& [flag, file] : {std::pair{"cert", "tls.crt"}, {"key", "tls.key"},
                                     {"ca", "clients-ca.crt"}}) {
      out["args"].push_back(std::string("--client-tls-") + flag + "=/etc/sluice/client-tls/" + file);
    }
    out["volumeMounts"].push_back(
        {{"name", "client-tls"}, {"mountPath", "/etc/sluice/client-tls"}, {"readOnly", true}});
  }
  for (const auto& [name, port] : {std::pair{"kafka", kKafkaPort}, {"grpc", kGrpcPort},
                                   {"kinesis", kKinesisPort}, {"replication", kReplicationPort},
                                   {"metrics", kMetricsPort}}) {
    out["ports"].push_back({{"name", name}, {"containerPort", port}, {"protocol", "TCP"}});
  }
  if (!settings.requests.empty()) out["resources"]["requests"] = settings.requests;
  if (!settings.limits.empty()) out["resources"]["limits"] = settings.limits;
  return out;
}

Json volumes(const PlanInput& input) {
  const std::string& name = input.cluster.metadata.name;
  Json out = {{{"name", "config"}, {"configMap", {{"name", config_name(name)}}}},
              {{"name", "tls"},
               {"secret", {{"secretName", tls_secret_name(name)}, {"defaultMode", 0440}}}}};
  if (input.settings.tls_for_clients()) {
    out.push_back({{"name", "client-tls"},
                   {"secret", {{"secretName", client_tls_secret_name(name)}, {"defaultMode", 0440}}}});
  }
  if (!input.settings.kinesis_secret.empty()) {
    // Optional: a Secret that is missing closes one door, not the broker.
    out.push_back({{"name", "kinesis"},
                   {"secret", {{"secretName", input.settings.kinesis_secret},
                               {"optional", true},
                               {"defaultMode", 0440}}}});
  }
  return out;
}

// What spec.pod adds to a pod's spec; its labels and annotations are metadata.
void add_placement(const Json& pod, Json& spec) {
  for (const char* field :
       {"nodeSelector", "tolerations", "affinity", "priorityClassName", "imagePullSecrets"}) {
    if (pod.contains(field)) spec[field] = pod[field];
  }
}

// The operator's own labels and annotations are what finds and judges a pod: nobody's go before them.
Json pod_metadata(const PlanInput& input, const Json& pod) {
  Json labels = pod.value("labels", Json::object());
  for (const auto& [name, value] : broker_labels(input.cluster.metadata.name)) labels[name] = value;
  Json annotations = pod.value("annotations", Json::object());
  annotations[kSpecHashAnnotation] = input.settings.hash();
  annotations["kubectl.kubernetes.io/default-container"] = "broker";
  return {{"labels", labels}, {"annotations", annotations}};
}

Json pod_spec(const PlanInput& input) {
  const std::string& name = input.cluster.metadata.name;
  return {{"serviceAccountName", name},
          {"automountServiceAccountToken", false},
          {"enableServiceLinks", false},
          // SIGTERM drains: leaders are handed over before the process ends.
          {"terminationGracePeriodSeconds", kDrainSeconds},
          {"securityContext",
           {{"runAsNonRoot", true},
            {"runAsUser", kUser},
            {"runAsGroup", kUser},
            {"fsGroup", kUser},
            {"fsGroupChangePolicy", "OnRootMismatch"},
            {"seccompProfile", {{"type", "RuntimeDefault"}}}}},
          {"topologySpreadConstraints",
           {spread(input.settings.zone_key, name), spread("kubernetes.io/hostname", name)}},
          {"containers", Json::array({container(input)})},
          {"volumes", volumes(input)}};
}

Json volume_claim(const PlanInput& input) {
  const auto& storage = input.cluster.spec.storage;
  Json claim = {{"apiVersion", "v1"},
                {"kind", "PersistentVolumeClaim"},
                {"metadata",
                 {{"name", "data"}, {"labels", broker_labels(input.cluster.metadata.name)}}},
                {"spec",
                 {{"accessModes", {"ReadWriteOnce"}},
                  {"resources", {{"requests",
                      {{"storage", input.claim_size.empty() ? storage.size : input.claim_size}}}}}}}};
  if (!storage.storage_class.empty()) claim["spec"]["storageClassName"] = storage.storage_class;
  return claim;
}

}  // namespace

Json stateful_set(const PlanInput& input) {
  const std::string& name = input.cluster.metadata.name;
  Json object = child(input.cluster, "apps/v1", "StatefulSet", name);
  Json labels = broker_labels(name);
  const Json pod = input.settings.pod.empty() ? Json::object() : Json::parse(input.settings.pod);
  auto& annotations = object["metadata"]["annotations"];
  annotations[kSettingsAnnotation] = input.settings.to_text();
  annotations[kDefaultImageAnnotation] = input.default_image;
  if (input.good) annotations[kGoodSettingsAnnotation] = input.good->to_text();
  object["spec"] = {
      {"replicas", input.replicas},
      {"serviceName", brokers_service_name(name)},
      {"podManagementPolicy", "Parallel"},
      {"revisionHistoryLimit", 3},
      {"selector", {{"matchLabels", labels}}},
      // The volumes must outlive a StatefulSet that somebody deletes by mistake, and a scale-in that
      // was not drained: with deletionPolicy Delete it is the operator that removes them, when the
      // StreamCluster itself goes.
      {"persistentVolumeClaimRetentionPolicy", {{"whenDeleted", "Retain"}, {"whenScaled", "Retain"}}},
      {"updateStrategy", {{"type", "OnDelete"}}},
      {"volumeClaimTemplates", Json::array({volume_claim(input)})},
      {"template",
       {{"metadata", pod_metadata(input, pod)}, {"spec", pod_spec(input)}}}};
  add_placement(pod, object["spec"]["template"]["spec"]);
  return object;
}

}  // namespace sluice_operator::plan
