#pragma once
// PURE: how clients from outside reach each broker: the Services and routes of listeners that are not
// Internal, and the addresses that brokers are told to clients as. A Service for each broker and one
// for all (the bootstrap); a route of the same name where the listener is routed by TLS. Used by plan's
// desired_objects and by reconcile, which hands the addresses to the coordinator.
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "operator/api/stream_cluster.h"

namespace sluice_operator::plan {

// On these Services: the listener's name and type, by which what is no longer wanted is found.
inline constexpr const char* kListenerLabel = "sluice.dev/listener";
inline constexpr const char* kListenerTypeLabel = "sluice.dev/listener-type";

// "orders-external-0"; without a broker "orders-external-all".
std::string listener_service_name(const std::string& cluster, const std::string& listener,
                                  std::optional<int32_t> broker);

// In the order in which they are applied, not sealed yet. `brokers`: how many there are.
std::vector<nlohmann::json> listener_objects(const api::StreamCluster& cluster, int32_t brokers);

// What Kubernetes shows of a listener's Service.
struct ServiceView {
  int32_t node_port = 0;
  std::string load_balancer;  // host name or address; empty: none yet
};
struct Address {
  std::string host;
  int32_t port = 0;
  bool operator==(const Address&) const = default;
  std::string to_string() const { return host + ":" + std::to_string(port); }
};
struct Outside {
  std::map<std::string, ServiceView> services;          // by name
  std::map<int32_t, std::string> node_addresses;        // by broker: of the node that it runs on
};

// What clients of this listener are told for the broker; nothing while it is not known, and for
// listeners that are Internal.
std::optional<Address> advertised_address(const std::string& cluster,
                                          const api::StreamClusterSpec::Listener& listener,
                                          int32_t broker, const Outside& outside);
// "host:port,host:port": what clients connect to first; empty while nothing is known.
std::string bootstrap_servers(const api::StreamCluster& cluster,
                              const api::StreamClusterSpec::Listener& listener, int32_t brokers,
                              const Outside& outside);
// Every host of a listener with TLS that clients from outside name, for the certificate.
std::vector<std::string> outside_hosts(const api::StreamCluster& cluster, int32_t brokers,
                                       const Outside& outside);

}  // namespace sluice_operator::plan
