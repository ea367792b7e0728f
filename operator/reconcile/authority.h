#pragma once
// Reconciles the operator's CA: renews the coordinator's own certificate, and takes a rotation from
// phase to phase once every cluster has what the phase gives it (the clusters' passes tell, of the
// brokers' own reports). On a controller's thread; its one key is the CA's Secret.
#include <functional>
#include <string>
#include <vector>

#include "operator/coordinator/session_server.h"
#include "operator/kube/cache/cache.h"
#include "operator/kube/events/recorder.h"
#include "operator/reconcile/certificates.h"
#include "operator/runtime/reconciler.h"

namespace sluice_operator::reconcile {

struct AuthoritySettings {
  std::vector<std::string> hosts;  // of the coordinator's certificate
  int64_t phase_seconds = 3600;    // the least time in a phase of a rotation
};

class AuthorityReconciler : public runtime::Reconciler {
 public:
  AuthorityReconciler(broker::env::Clock& clock, kube::Cache& clusters, Certificates& certificates,
                      coordinator::SessionServer& server, kube::EventRecorder& events,
                      broker::Metrics& metrics, AuthoritySettings settings);
  // What a phase waits for is in clusters: they are to be looked at.
  void on_phase(std::function<void(const kube::ObjectKey& cluster)> look) { look_ = std::move(look); }
  runtime::Outcome reconcile(const runtime::Key& key) override;
  // The coordinator's TLS as it should be now; a new certificate where the last does not do.
  broker::Result<coordinator::ServerTls> server_tls();

 private:
  certs::RotationInput look_around(const AuthorityState& state);

  broker::env::Clock& clock_;
  kube::Cache& clusters_;
  Certificates& certificates_;
  coordinator::SessionServer& server_;
  kube::EventRecorder& events_;
  const AuthoritySettings settings_;
  std::function<void(const kube::ObjectKey&)> look_;
  certs::KeyPair leaf_;
  prometheus::Gauge& ca_left_;
  prometheus::Gauge& leaf_left_;
};

}  // namespace sluice_operator::reconcile
