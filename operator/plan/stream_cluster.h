#pragma once
// PURE: the Kubernetes objects that a StreamCluster becomes. The same input gives the same bytes,
// on every replica and after every restart; what is applied is exactly this, and nothing else of
// the objects is ours. Called by reconcile, applied by apply.
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "operator/api/stream_cluster.h"
#include "operator/plan/pod_settings.h"

namespace sluice_operator::plan {

inline constexpr int kKafkaPort = 9092;
inline constexpr int kGrpcPort = 9090;
inline constexpr int kKinesisPort = 4567;
inline constexpr int kReplicationPort = 9095;
inline constexpr int kMetricsPort = 9644;
// Says what we applied last; apply skips an object whose hash and fields are as wanted.
inline constexpr const char* kHashAnnotation = "sluice.dev/applied-hash";

struct PlanInput {
  const api::StreamCluster& cluster;
  PodSettings settings;       // of the pod template
  std::string default_image;  // of brokers whose cluster names none, noted for later
  // How many pods there should be: spec.brokers, or more while surplus brokers are drained.
  int32_t replicas = 0;
  std::optional<PodSettings> good;  // the last settings that a broker was ready with
  std::string claim_size;           // of the volumes of brokers to come; empty: as spec says
  // Whether every broker, alone, may be evicted now without a shard losing its majority.
  bool may_evict = true;
  std::string log_level = "info";
};

// The names of a cluster's objects.
std::string brokers_service_name(const std::string& cluster);  // headless
std::string config_name(const std::string& cluster);
std::string tls_secret_name(const std::string& cluster);
std::string client_tls_secret_name(const std::string& cluster);
std::string clients_ca_name(const std::string& cluster);
std::string broker_pod_name(const std::string& cluster, int32_t broker);
// "NAME-0.NAME-brokers.NS.svc": what broker 0 tells clients and brokers to dial.
std::string broker_host(const std::string& ns, const std::string& cluster, int32_t broker);

// The labels of the brokers' pods and volume claims, and the same as a selector.
std::map<std::string, std::string> broker_labels(const std::string& cluster);
std::string broker_selector(const std::string& cluster);

// The DNS names that the brokers' certificate must hold.
std::vector<std::string> tls_dns_names(const std::string& ns, const std::string& cluster);

// ServiceAccount, ConfigMap, Services, NetworkPolicy, PodDisruptionBudget and, last, StatefulSet:
// in the order in which they are applied. The Secret is made by reconcile, since it holds what only
// the certificate authority knows; tls_secret() shapes it.
std::vector<nlohmann::json> desired_objects(const PlanInput& input);
nlohmann::json tls_secret(const api::StreamCluster& cluster, const std::string& ca_pem,
                          const std::string& cert_pem, const std::string& key_pem);
// What brokers show to clients (tls.crt, tls.key), what verifies that (ca.crt), and what verifies
// clients (clients-ca.crt).
nlohmann::json client_tls_secret(const api::StreamCluster& cluster,
                                 const std::map<std::string, std::string>& files);

}  // namespace sluice_operator::plan
