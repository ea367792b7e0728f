#include "operator/plan/listeners.h"

#include <nlohmann/json.hpp>

#include "operator/plan/objects.h"

namespace sluice_operator::plan {

using Json = nlohmann::json;
using Listener = api::StreamClusterSpec::Listener;
using api::ListenerType;

namespace {

constexpr int32_t kRoutedPort = 443;

const char* word(ListenerType type) {
  switch (type) {
    case ListenerType::kInternal: return "Internal";
    case ListenerType::kNodePort: return "NodePort";
    case ListenerType::kLoadBalancer: return "LoadBalancer";
    case ListenerType::kIngress: return "Ingress";
    case ListenerType::kTlsRoute: return "TLSRoute";
  }
  return "";
}

bool routed(const Listener& listener) {
  return listener.type == ListenerType::kIngress || listener.type == ListenerType::kTlsRoute;
}

std::string host_of(const Listener& listener, std::optional<int32_t> broker) {
  if (!broker) return listener.bootstrap_host;
  std::string host = listener.host_template;
  for (size_t at = host.find("{id}"); at != std::string::npos; at = host.find("{id}")) {
    host.replace(at, 4, std::to_string(*broker));
  }
  return host;
}

Json labelled(const api::StreamCluster& cluster, const Listener& listener,
              std::optional<int32_t> broker, const char* api_version, const char* kind) {
  Json object = child(cluster, api_version, kind,
                      listener_service_name(cluster.metadata.name, listener.name, broker));
  object["metadata"]["labels"][kListenerLabel] = listener.name;
  object["metadata"]["labels"][kListenerTypeLabel] = word(listener.type);
  return object;
}

Json service(const api::StreamCluster& cluster, const Listener& listener,
             std::optional<int32_t> broker) {
  Json object = labelled(cluster, listener, broker, "v1", "Service");
  if (!routed(listener) && !listener.annotations.empty()) {
    object["metadata"]["annotations"] = listener.annotations;
  }
  Json selector = broker_labels(cluster.metadata.name);
  if (broker) {
    selector["statefulset.kubernetes.io/pod-name"] =
        broker_pod_name(cluster.metadata.name, *broker);
  }
  auto& spec = object["spec"];
  spec = {{"selector", selector},
          {"type", routed(listener) ? "ClusterIP" : word(listener.type)},
          {"ports", {{{"name", listener.name}, {"port", listener.port}, {"protocol", "TCP"},
                      {"targetPort", listener.port}}}}};
  // Clients are sent to the broker's own node: no second hop, and brokers see whose address it is.
  if (listener.type == ListenerType::kNodePort) {
    spec["externalTrafficPolicy"] = broker ? "Local" : "Cluster";
  }
  return object;
}

Json ingress(const api::StreamCluster& cluster, const Listener& listener,
             std::optional<int32_t> broker) {
  Json object = labelled(cluster, listener, broker, "networking.k8s.io/v1", "Ingress");
  auto& annotations = object["metadata"]["annotations"];
  for (const char* controller : {"nginx.ingress.kubernetes.io", "haproxy.org",
                                 "ingress.kubernetes.io"}) {
    annotations[std::string(controller) + "/ssl-passthrough"] = "true";
  }
  for (const auto& [name, value] : listener.annotations) annotations[name] = value;
  const std::string host = host_of(listener, broker);
  const std::string backend =
      listener_service_name(cluster.metadata.name, listener.name, broker);
  auto& spec = object["spec"];
  spec = {{"tls", {{{"hosts", {host}}}}},
          {"rules",
           {{{"host", host},
             {"http",
              {{"paths",
                {{{"path", "/"},
                  {"pathType", "Prefix"},
                  {"backend",
                   {{"service", {{"name", backend}, {"port", {{"number", listener.port}}}}}}}}}}}}}}}};
  if (!listener.ingress_class.empty()) spec["ingressClassName"] = listener.ingress_class;
  return object;
}

Json tls_route(const api::StreamCluster& cluster, const Listener& listener,
               std::optional<int32_t> broker) {
  Json object =
      labelled(cluster, listener, broker, "gateway.networking.k8s.io/v1alpha2", "TLSRoute");
  if (!listener.annotations.empty()) object["metadata"]["annotations"] = listener.annotations;
  Json parent = {{"group", "gateway.networking.k8s.io"},
                 {"kind", "Gateway"},
                 {"name", listener.gateway.name}};
  if (!listener.gateway.ns.empty()) parent["namespace"] = listener.gateway.ns;
  if (!listener.gateway.section.empty()) parent["sectionName"] = listener.gateway.section;
  const std::string backend =
      listener_service_name(cluster.metadata.name, listener.name, broker);
  object["spec"] = {
      {"parentRefs", Json::array({parent})},
      {"hostnames", Json::array({host_of(listener, broker)})},
      {"rules",
       Json::array({{{"backendRefs",
                      Json::array({{{"name", backend}, {"port", listener.port}}})}}})}};
  return object;
}

std::string load_balancer_of(const Outside& outside, const std::string& service) {
  auto it = outside.services.find(service);
  return it == outside.services.end() ? std::string() : it->second.load_balancer;
}

int32_t node_port_of(const Outside& outside, const std::string& service) {
  auto it = outside.services.find(service);
  return it == outside.services.end() ? 0 : it->second.node_port;
}

}  // namespace

std::string listener_service_name(const std::string& cluster, const std::string& listener,
                                  std::optional<int32_t> broker) {
  return cluster + "-" + listener + "-" + (broker ? std::to_string(*broker) : "all");
}

std::vector<Json> listener_objects(const api::StreamCluster& cluster, int32_t brokers) {
  std::vector<Json> objects;
  for (const auto& listener : cluster.spec.listeners) {
    if (listener.type == ListenerType::kInternal) continue;
    std::vector<std::optional<int32_t>> whom = {std::nullopt};
    for (int32_t id = 0; id < brokers; id++) whom.emplace_back(id);
    for (const auto& broker : whom) {
      objects.push_back(service(cluster, listener, broker));
      if (listener.type == ListenerType::kIngress) {
        objects.push_back(ingress(cluster, listener, broker));
      } else if (listener.type == ListenerType::kTlsRoute) {
        objects.push_back(tls_route(cluster, listener, broker));
      }
    }
  }
  return objects;
}

std::optional<Address> advertised_address(const std::string& cluster, const Listener& listener,
                                          int32_t broker, const Outside& outside) {
  const std::string service = listener_service_name(cluster, listener.name, broker);
  Address address{host_of(listener, broker), listener.advertised_port};
  switch (listener.type) {
    case ListenerType::kInternal: return std::nullopt;
    case ListenerType::kNodePort: {
      auto node = outside.node_addresses.find(broker);
      if (address.host.empty() && node != outside.node_addresses.end()) address.host = node->second;
      if (address.port == 0) address.port = node_port_of(outside, service);
      break;
    }
    case ListenerType::kLoadBalancer:
      if (address.host.empty()) address.host = load_balancer_of(outside, service);
      if (address.port == 0) address.port = listener.port;
      break;
    case ListenerType::kIngress:
    case ListenerType::kTlsRoute:
      if (address.port == 0) address.port = kRoutedPort;
      break;
  }
  if (address.host.empty() || address.port == 0) return std::nullopt;
  return address;
}

std::string bootstrap_servers(const api::StreamCluster& cluster, const Listener& listener,
                              int32_t brokers, const Outside& outside) {
  const std::string& name = cluster.metadata.name;
  const std::string all = listener_service_name(name, listener.name, std::nullopt);
  if (listener.type == ListenerType::kInternal) {
    return name + "." + cluster.metadata.ns + ".svc:" + std::to_string(listener.port);
  }
  std::string host = listener.bootstrap_host;
  int32_t port = listener.advertised_port;
  if (listener.type == ListenerType::kLoadBalancer && host.empty()) {
    host = load_balancer_of(outside, all);
  }
  if (port == 0 && routed(listener)) port = kRoutedPort;
  if (port == 0 && listener.type == ListenerType::kLoadBalancer) port = listener.port;
  // Every node serves this port, be there a broker on it or not.
  if (port == 0 && !host.empty()) port = node_port_of(outside, all);
  if (!host.empty()) return port == 0 ? "" : Address{host, port}.to_string();
  std::string text;
  for (int32_t id = 0; id < brokers; id++) {
    auto address = advertised_address(name, listener, id, outside);
    if (address) text += (text.empty() ? "" : ",") + address->to_string();
  }
  return text;
}

std::vector<std::string> outside_hosts(const api::StreamCluster& cluster, int32_t brokers,
                                       const Outside& outside) {
  std::set<std::string> hosts;
  for (const auto& listener : cluster.spec.listeners) {
    if (listener.type == ListenerType::kInternal || !listener.tls) continue;
    if (!listener.bootstrap_host.empty()) hosts.insert(listener.bootstrap_host);
    const std::string all =
        load_balancer_of(outside, listener_service_name(cluster.metadata.name, listener.name,
                                                        std::nullopt));
    if (!all.empty()) hosts.insert(all);
    for (int32_t id = 0; id < brokers; id++) {
      auto address = advertised_address(cluster.metadata.name, listener, id, outside);
      if (address) hosts.insert(address->host);
    }
  }
  return {hosts.begin(), hosts.end()};
}

}  // namespace sluice_operator::plan
