#pragma once
// Which changes concern a controller, and which keys they mean. Pure.
#include <functional>
#include <string>

#include "operator/kube/client/json.h"
#include "operator/runtime/reconciler.h"

namespace sluice_operator::runtime {

using Enqueue = std::function<void(const Key&)>;
// Hands the keys that a change concerns to `enqueue`; either state may be null.
using Mapper = std::function<void(const kube::JsonPtr& before, const kube::JsonPtr& after,
                                  const Enqueue& enqueue)>;
using Predicate = std::function<bool(const kube::JsonPtr& before, const kube::JsonPtr& after)>;

// The object itself.
Mapper map_to_self();
// The owner (metadata.ownerReferences with controller: true) of this kind and API group, before
// and after the change, in the object's namespace.
Mapper map_to_owner(const kube::ResourceType& owner);
// The name in a label, before and after, in the object's namespace.
Mapper map_to_label(const std::string& label);

// Created, deleted, being deleted, or its generation, labels, annotations or finalizers changed:
// not the echo of our own status writes.
bool asks_for_something_new(const kube::JsonPtr& before, const kube::JsonPtr& after);

}  // namespace sluice_operator::runtime
