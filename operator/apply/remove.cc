#include "operator/apply/remove.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "broker/base/log.h"

namespace sluice_operator::apply {

using broker::Code;
using broker::Result;
using broker::Status;
using kube::Json;

Status set_finalizer(kube::Client& client, const kube::ResourceType& type,
                     const api::Metadata& metadata, bool present) {
  if (metadata.has_finalizer(api::kFinalizer) == present) return {};
  Json finalizers = Json::array();
  for (const auto& name : metadata.finalizers) {
    if (name != api::kFinalizer) finalizers.push_back(name);
  }
  if (present) finalizers.push_back(api::kFinalizer);
  Json patch = {{"metadata",
                 {{"finalizers", finalizers}, {"resourceVersion", metadata.resource_version}}}};
  return client.merge_patch(type, {metadata.ns, metadata.name}, patch).status();
}

Status patch_claim(kube::Client& client, const kube::ObjectKey& claim, const std::string& size,
                   const std::map<std::string, std::string>& annotations) {
  Json patch = Json::object();
  for (const auto& [name, value] : annotations) {
    patch["metadata"]["annotations"][name] = value.empty() ? Json(nullptr) : Json(value);
  }
  if (!size.empty()) patch["spec"]["resources"]["requests"]["storage"] = size;
  Status status = client.merge_patch(kube::persistent_volume_claims(), claim, patch).status();
  if (status.code() == Code::kNotFound) return {};
  if (!status.ok()) return status.with_context("volume claim " + claim.name);
  broker::log_info("apply", "volume claim changed",
                   {{"claim", claim.to_string()}, {"patch", patch.dump()}});
  return {};
}

Status remove_claim(kube::Client& client, const kube::ObjectKey& claim, const std::string& uid,
                    const std::string& resource_version) {
  Status status = client.remove(kube::persistent_volume_claims(), claim,
                                {.uid = uid, .resource_version = resource_version});
  if (!status.ok() && status.code() != Code::kNotFound) return status;
  broker::log_info("apply", "volume claim deleted", {{"claim", claim.to_string()}});
  return {};
}

// The prefix and a number: labels alone can be put on anything.
static bool is_numbered(const std::string& name, const std::string& prefix) {
  return name.size() > prefix.size() && name.starts_with(prefix) &&
         std::all_of(name.begin() + static_cast<std::ptrdiff_t>(prefix.size()), name.end(),
                     [](unsigned char c) { return c >= '0' && c <= '9'; });
}

Result<int> remove_volume_claims(kube::Client& client, const api::Metadata& cluster,
                                 const std::string& selector) {
  ASSIGN_OR_RETURN(auto claims,
                   client.list(kube::persistent_volume_claims(), {cluster.ns, selector}));
  int removed = 0;
  for (const auto& claim : claims.items) {
    auto key = kube::key_of(claim);
    if (!is_numbered(key.name, "data-" + cluster.name + "-")) continue;
    if (!kube::metadata_text(claim, "deletionTimestamp").empty()) continue;
    const auto notes = claim.value("/metadata/annotations"_json_pointer, Json::object());
    // One without a note never had a broker register from it; one of an earlier cluster that this
    // cluster's brokers took over carries this cluster's.
    if (notes.value("sluice.dev/cluster-uid", cluster.uid) != cluster.uid) continue;
    if (notes.value("sluice.dev/keep", std::string()) == "true") continue;
    Status status = client.remove(kube::persistent_volume_claims(), key,
                                  {.uid = kube::metadata_text(claim, "uid")});
    if (!status.ok() && status.code() != Code::kNotFound) return status;
    ++removed;
    broker::log_info("apply", "volume claim deleted", {{"claim", key.to_string()}});
  }
  return removed;
}

Status remove_pods_without_owner(kube::Client& client, const api::Metadata& cluster,
                                 const std::string& selector) {
  ASSIGN_OR_RETURN(auto pods, client.list(kube::pods(), {cluster.ns, selector}));
  for (const auto& pod : pods.items) {
    auto key = kube::key_of(pod);
    if (!is_numbered(key.name, cluster.name + "-")) continue;
    if (!pod.value("/metadata/ownerReferences"_json_pointer, Json::array()).empty()) continue;
    Status status = client.remove(kube::pods(), key, {.uid = kube::metadata_text(pod, "uid")});
    if (!status.ok() && status.code() != Code::kNotFound) return status;
    broker::log_info("apply", "pod without an owner deleted", {{"pod", key.to_string()}});
  }
  return {};
}

}  // namespace sluice_operator::apply
