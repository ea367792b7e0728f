#pragma once
// PURE: what of a StreamCluster decides how its brokers' pods run. Only a change of these restarts
// brokers: whatever else a newer operator writes into the pod template waits for the pods' next
// start. Kept as JSON in annotations of the StatefulSet. Used by plan and reconcile.
#include <map>
#include <optional>
#include <string>

#include <nlohmann/json_fwd.hpp>

#include "operator/api/stream_cluster.h"

namespace sluice_operator::plan {

// On the StatefulSet: the settings of its template, and the last that a broker was ready with.
inline constexpr const char* kSettingsAnnotation = "sluice.dev/pod-settings";
inline constexpr const char* kGoodSettingsAnnotation = "sluice.dev/proven-pod-settings";
// On the StatefulSet: the image of brokers whose StreamCluster names none. An upgraded operator has
// another default, which must not restart them.
inline constexpr const char* kDefaultImageAnnotation = "sluice.dev/default-image";
// On pods: which settings they run with.
inline constexpr const char* kSpecHashAnnotation = "sluice.dev/spec-hash";

struct PodSettings {
  std::string image;
  std::string image_pull_policy;
  std::map<std::string, std::string> requests, limits;
  std::string zone_key;
  std::string coordinator_address;
  std::string kinesis_secret;  // with the access keys; empty: none
  std::string listeners;       // as --kafka-listeners takes them; empty: none
  std::string pod;             // spec.pod, as JSON; empty: none
  std::map<std::string, std::string> broker;  // more of the brokers' settings, where not the default
  bool operator==(const PodSettings&) const = default;

  // Some listener speaks TLS: the brokers need NAME-client-tls.
  bool tls_for_clients() const;
  // The pull policy is not in it: it says nothing about a pod that runs.
  std::string hash() const;
  std::string to_text() const;
};

PodSettings pod_settings(const api::StreamClusterSpec& spec, const std::string& default_image,
                         const std::string& coordinator_address);
// Nothing when the text is not what to_text() wrote.
std::optional<PodSettings> read_pod_settings(const std::string& text);

}  // namespace sluice_operator::plan
