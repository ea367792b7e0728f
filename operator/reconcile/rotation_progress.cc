#include "operator/reconcile/rotation_progress.h"

#include <algorithm>

#include "broker/security/tls.h"

namespace sluice_operator::reconcile {

LoadedFiles loaded_files(const BrokerFiles& wanted, int32_t brokers,
                         const std::vector<PodView>& pods, const ClusterView& view) {
  LoadedFiles out;
  auto behind = [&](int32_t id, const std::string& why) {
    if (out.waits_for.empty()) out.waits_for = "broker " + std::to_string(id) + ": " + why;
  };
  for (int32_t id = 0; id < brokers; id++) {
    const bool pod = std::any_of(pods.begin(), pods.end(),
                                 [&](const auto& p) { return p.broker == id && !p.terminating; });
    auto seen = std::find_if(view.brokers.begin(), view.brokers.end(),
                             [&](const auto& b) { return b.broker.id() == id; });
    if (!pod || seen == view.brokers.end() || !seen->broker.alive()) {
      out.ca = out.cert = out.client_ca = out.client_cert = false;
      behind(id, "it is not here to ask");
      continue;
    }
    const auto& told = seen->certificates;
    if (told.ca().empty()) behind(id, "it does not tell which certificates it has");
    out.ca &= told.ca() == wanted.ca;
    out.cert &= told.cert() == wanted.cert;
    out.client_ca &= told.client_ca() == wanted.client_ca;
    out.client_cert &= told.client_cert() == wanted.client_cert;
    if (told.ca() != wanted.ca || told.cert() != wanted.cert ||
        told.client_ca() != wanted.client_ca || told.client_cert() != wanted.client_cert) {
      behind(id, "it has not loaded the new files yet");
    }
  }
  return out;
}

bool users_reissued(const std::vector<api::StreamUser>& users, const std::string& ca) {
  const std::string wanted = broker::security::sha256_hex(ca);
  return std::all_of(users.begin(), users.end(), [&](const auto& user) {
    const auto* ready = api::find_condition(user.status.conditions, "Ready");
    const bool served = ready && ready->status == "True";
    const bool certificate = user.spec.authentication == api::StreamUserSpec::Authentication::kTls;
    return !certificate || !served || user.status.certificate_issuer == wanted;
  });
}

}  // namespace sluice_operator::reconcile
