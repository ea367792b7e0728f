#pragma once
// The kinds by which TLS from outside is routed to Services: Kubernetes' Ingress, and the Gateway API's
// TLSRoute, where its definitions are installed. Used by reconcile.
#include "operator/kube/client/resource.h"

namespace sluice_operator::kube {

const ResourceType& ingresses();
const ResourceType& tls_routes();

}  // namespace sluice_operator::kube
