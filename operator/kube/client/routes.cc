#include "operator/kube/client/routes.h"

namespace sluice_operator::kube {

const ResourceType& ingresses() {
  static const ResourceType type{"networking.k8s.io", "v1", "ingresses", "Ingress"};
  return type;
}

const ResourceType& tls_routes() {
  static const ResourceType type{"gateway.networking.k8s.io", "v1alpha2", "tlsroutes", "TLSRoute"};
  return type;
}

}  // namespace sluice_operator::kube
