#pragma once
// Which Kubernetes resource is meant: its kind, its place in the API's paths, the name of one
// object. Pure.
#include <compare>
#include <string>
#include <string_view>

#include "operator/kube/client/json.h"

namespace sluice_operator::kube {

struct ResourceType {
  std::string group;  // empty for the core group
  std::string version;
  std::string plural;
  std::string kind;
  bool namespaced = true;
  // "apps/v1", "v1": the object's apiVersion.
  std::string api_version() const;
};

// "namespace/name"; the namespace is empty for cluster-wide objects.
struct ObjectKey {
  std::string ns;
  std::string name;
  auto operator<=>(const ObjectKey&) const = default;
  std::string to_string() const { return ns.empty() ? name : ns + "/" + name; }
};

// metadata.namespace and metadata.name; empty strings where they are missing.
ObjectKey key_of(const Json& object);
// The text at metadata.FIELD, empty when it is missing or no text.
std::string metadata_text(const Json& object, std::string_view field);

// The path of a collection (no name), an object, or an object's subresource. An empty namespace
// means all of them.
std::string resource_path(const ResourceType& type, std::string_view ns, std::string_view name = {},
                          std::string_view subresource = {});
// Percent-encodes everything but unreserved characters.
std::string url_encode(std::string_view text);

// The kinds of Kubernetes itself that the operator touches.
const ResourceType& pods();
const ResourceType& services();
const ResourceType& config_maps();
const ResourceType& secrets();
const ResourceType& service_accounts();
const ResourceType& nodes();
const ResourceType& namespaces();
const ResourceType& core_events();
const ResourceType& persistent_volume_claims();
const ResourceType& stateful_sets();
const ResourceType& deployments();
const ResourceType& pod_disruption_budgets();
const ResourceType& network_policies();
const ResourceType& horizontal_pod_autoscalers();
const ResourceType& leases();

}  // namespace sluice_operator::kube
