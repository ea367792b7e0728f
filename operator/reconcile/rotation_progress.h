#pragma once
// PURE: which brokers and users have the certificates that they are to have, of what they report.
// Called by the StreamCluster's reconciler; rotations wait for it.
#include <memory>
#include <string>
#include <vector>

#include "operator/api/stream_user.h"
#include "operator/reconcile/certificates.h"
#include "operator/reconcile/clusters.h"
#include "operator/reconcile/observe.h"

namespace sluice_operator::reconcile {

// Whether every broker has loaded each file. A broker that is down may start from an old copy of a
// Secret: all must be here. `waits_for` names the first that is behind.
struct LoadedFiles {
  bool ca = true, cert = true, client_ca = true, client_cert = true;
  std::string waits_for;
};
LoadedFiles loaded_files(const BrokerFiles& wanted, int32_t brokers,
                         const std::vector<PodView>& pods, const ClusterView& view);

// Every user who is served by a certificate has one of this CA (PEM).
bool users_reissued(const std::vector<api::StreamUser>& users, const std::string& ca);

}  // namespace sluice_operator::reconcile
