#pragma once
// Brings one object to what plan wants by server-side apply, and writes nothing when it is so
// already. Called by reconcile, on its thread.
#include "operator/kube/client/client.h"

namespace sluice_operator::apply {

// Whether `live` has everything that `wanted` says: every field of a map, lists element by element
// where maps are matched by "name" if they have one. What the server added is not ours to compare.
bool holds(const kube::Json& wanted, const kube::Json& live);

// kAlreadyExists, which names the holder, where `live` is not for the StreamCluster (by its uid and name) to
// change. What was the operator's for a cluster of that name and has no owner any more
// (`kubectl delete --cascade=orphan`) is taken up again.
broker::Status check_owner(const kube::Json& live, const std::string& kind, const std::string& uid,
                           const std::string& cluster);

// True when something was written. kAlreadyExists where an object of that name is somebody else's, which
// is left alone. `live` is what a cache has: without it the server is asked, since caches of children
// do not show what is not the operator's.
broker::Result<bool> apply_object(kube::Client& client, const kube::ResourceType& type,
                                  const kube::Json& wanted, const kube::JsonPtr& live);

// The merge patch that makes `after` of `before`: fields that are gone become null.
kube::Json merge_difference(const kube::Json& before, const kube::Json& after);

}  // namespace sluice_operator::apply
