#include "operator/plan/stream_cluster.h"

#include <nlohmann/json.hpp>

#include "operator/plan/listeners.h"
#include "operator/plan/objects.h"

namespace sluice_operator::plan {

using Json = nlohmann::json;

std::string brokers_service_name(const std::string& cluster) { return cluster + "-brokers"; }
std::string config_name(const std::string& cluster) { return cluster + "-config"; }
std::string tls_secret_name(const std::string& cluster) { return cluster + "-tls"; }
std::string client_tls_secret_name(const std::string& cluster) { return cluster + "-client-tls"; }
std::string clients_ca_name(const std::string& cluster) { return cluster + "-clients-ca"; }
std::string broker_pod_name(const std::string& cluster, int32_t broker) {
  return cluster + "-" + std::to_string(broker);
}
std::string broker_host(const std::string& ns, const std::string& cluster, int32_t broker) {
  return broker_pod_name(cluster, broker) + "." + brokers_service_name(cluster) + "." + ns + ".svc";
}

std::map<std::string, std::string> broker_labels(const std::string& cluster) {
  return {{"app.kubernetes.io/name", "sluice"},
          {"app.kubernetes.io/component", "broker"},
          {"app.kubernetes.io/instance", cluster}};
}

std::string broker_selector(const std::string& cluster) {
  std::string text;
  for (const auto& [key, value] : broker_labels(cluster)) {
    text += (text.empty() ? "" : ",") + key + "=" + value;
  }
  return text;
}

std::vector<std::string> tls_dns_names(const std::string& ns, const std::string& cluster) {
  const std::string brokers = "*." + brokers_service_name(cluster) + "." + ns + ".svc";
  const std::string clients = cluster + "." + ns + ".svc";
  return {clients, clients + ".cluster.local", brokers, brokers + ".cluster.local", "localhost"};
}

namespace {

// What only pods of this cluster may reach is closed to others; the front doors and the metrics are
// open to the whole Kubernetes cluster.
Json network_policy(const api::StreamCluster& cluster) {
  Json object = child(cluster, "networking.k8s.io/v1", "NetworkPolicy", cluster.metadata.name);
  const Json selector = {{"matchLabels", broker_labels(cluster.metadata.name)}};
  auto port = [](int number) { return Json{{"protocol", "TCP"}, {"port", number}}; };
  Json open = {port(kKafkaPort), port(kGrpcPort), port(kKinesisPort), port(kMetricsPort)};
  for (const auto& listener : cluster.spec.listeners) open.push_back(port(listener.port));
  object["spec"] = {
      {"podSelector", selector},
      {"policyTypes", {"Ingress"}},
      {"ingress",
       {{{"ports", open}},
        {{"from", {{{"podSelector", selector}}}}, {"ports", {port(kReplicationPort)}}}}}};
  return object;
}

Json disruption_budget(const api::StreamCluster& cluster, bool may_evict) {
  Json object = child(cluster, "policy/v1", "PodDisruptionBudget", cluster.metadata.name);
  // Ready pods are no proof: a broker that is back must catch up before the next one may go. While
  // the coordinator says that a stop would cost some shard its majority, nobody is evicted. An
  // unready pod may be evicted only while the others are enough; AlwaysAllow would let a node's
  // drain take a second copy of a shard while the first one recovers.
  object["spec"] = {{"maxUnavailable", may_evict ? 1 : 0},
                    {"selector", {{"matchLabels", broker_labels(cluster.metadata.name)}}}};
  return object;
}

Json service(const api::StreamCluster& cluster, const std::string& name,
             std::initializer_list<std::pair<const char*, int>> ports) {
  Json object = child(cluster, "v1", "Service", name);
  Json list = Json::array();
  for (const auto& [port_name, number] : ports) {
    list.push_back({{"name", port_name}, {"port", number}, {"protocol", "TCP"},
                    {"targetPort", port_name}});
  }
  for (const auto& listener : cluster.spec.listeners) {
    list.push_back({{"name", listener.name}, {"port", listener.port}, {"protocol", "TCP"},
                    {"targetPort", listener.port}});
  }
  object["spec"] = {{"selector", broker_labels(cluster.metadata.name)}, {"ports", list}};
  return object;
}

// Brokers find each other through it before they are ready.
Json headless_service(const api::StreamCluster& cluster) {
  Json object = service(cluster, brokers_service_name(cluster.metadata.name),
                        {{"kafka", kKafkaPort},
                         {"grpc", kGrpcPort},
                         {"kinesis", kKinesisPort},
                         {"replication", kReplicationPort},
                         {"metrics", kMetricsPort}});
  object["spec"]["clusterIP"] = "None";
  object["spec"]["publishNotReadyAddresses"] = true;
  return object;
}

Json client_service(const api::StreamCluster& cluster) {
  Json object = service(cluster, cluster.metadata.name,
                        {{"kafka", kKafkaPort}, {"grpc", kGrpcPort}, {"kinesis", kKinesisPort}});
  object["spec"]["type"] = "ClusterIP";
  return object;
}

Json service_account(const api::StreamCluster& cluster) {
  Json object = child(cluster, "v1", "ServiceAccount", cluster.metadata.name);
  object["automountServiceAccountToken"] = false;
  return object;
}

}  // namespace

std::vector<Json> desired_objects(const PlanInput& input) {
  std::vector<Json> objects = {service_account(input.cluster),   config_map(input),
                               headless_service(input.cluster),  client_service(input.cluster),
                               network_policy(input.cluster),    disruption_budget(input.cluster, input.may_evict)};
  for (auto& object : listener_objects(input.cluster, input.replicas)) {
    objects.push_back(std::move(object));
  }
  objects.push_back(stateful_set(input));
  for (auto& object : objects) seal(object);
  return objects;
}

Json tls_secret(const api::StreamCluster& cluster, const std::string& ca_pem,
                const std::string& cert_pem, const std::string& key_pem) {
  Json object = child(cluster, "v1", "Secret", tls_secret_name(cluster.metadata.name));
  object["type"] = "kubernetes.io/tls";
  object["stringData"] = {{"ca.crt", ca_pem}, {"tls.crt", cert_pem}, {"tls.key", key_pem}};
  return object;
}

Json client_tls_secret(const api::StreamCluster& cluster,
                       const std::map<std::string, std::string>& files) {
  Json object = child(cluster, "v1", "Secret", client_tls_secret_name(cluster.metadata.name));
  object["type"] = "kubernetes.io/tls";
  object["stringData"] = files;
  return object;
}

}  // namespace sluice_operator::plan
