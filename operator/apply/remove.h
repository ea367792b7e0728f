#pragma once
// The steps that cannot be undone, and what guards them: finalizers, and the removal of a deleted
// cluster's volumes. Called by reconcile.
#include <map>
#include <string>

#include "operator/api/stream_cluster.h"
#include "operator/kube/client/client.h"

namespace sluice_operator::apply {

// Adds our finalizer to the object, or takes it away; nothing is written when it is so already.
// kConflict when the object has changed since `metadata` was read.
broker::Status set_finalizer(kube::Client& client, const kube::ResourceType& type,
                             const api::Metadata& metadata, bool present);

// Makes a claim larger (empty: leaves it) and sets annotations on it (empty text: takes them away).
broker::Status patch_claim(kube::Client& client, const kube::ObjectKey& claim,
                           const std::string& size,
                           const std::map<std::string, std::string>& annotations);

// Deletes a claim if it is still the very object that was looked at; kNotFound is success.
broker::Status remove_claim(kube::Client& client, const kube::ObjectKey& claim,
                            const std::string& uid, const std::string& resource_version);

// For a StreamCluster that is being deleted with deletionPolicy Delete: deletes the claims of its
// brokers ("data-NAME-N" with `selector`'s labels), each by its uid, but none that was noted to be
// another cluster's or to be kept. Returns how many; deleting again is harmless. The volumes go once
// no pod uses them.
broker::Result<int> remove_volume_claims(kube::Client& client, const api::Metadata& cluster,
                                         const std::string& selector);

// Deletes the pods of its brokers ("NAME-N" with `selector`'s labels) that nothing owns, each by its uid.
broker::Status remove_pods_without_owner(kube::Client& client, const api::Metadata& cluster,
                                         const std::string& selector);

}  // namespace sluice_operator::apply
