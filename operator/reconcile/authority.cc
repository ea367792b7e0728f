#include "operator/reconcile/authority.h"

#include <nlohmann/json.hpp>

#include "broker/base/log.h"

namespace sluice_operator::reconcile {

using broker::Result;
using runtime::Outcome;

namespace {

constexpr int64_t kRotatingMs = 1000, kSteadyMs = 30'000;
constexpr const char* kLeft = "sluice_operator_certificate_seconds_left";
constexpr const char* kLeftHelp = "Seconds until a certificate that the operator keeps ends.";

double left(const std::string& cert, int64_t now_s) {
  auto life = certs::validity(cert);
  return life.ok() ? static_cast<double>(life->ends_s - now_s) : 0;
}

const char* told_as(certs::CaPhase phase) {
  switch (phase) {
    case certs::CaPhase::kTrusting: return "the new CA is being made known everywhere";
    case certs::CaPhase::kReissuing: return "certificates are issued again by the new CA";
    case certs::CaPhase::kStable: return "the old CA is dropped";
  }
  return "";
}

}  // namespace

AuthorityReconciler::AuthorityReconciler(broker::env::Clock& clock, kube::Cache& clusters,
                                         Certificates& certificates,
                                         coordinator::SessionServer& server,
                                         kube::EventRecorder& events, broker::Metrics& metrics,
                                         AuthoritySettings settings)
    : clock_(clock),
      clusters_(clusters),
      certificates_(certificates),
      server_(server),
      events_(events),
      settings_(std::move(settings)),
      ca_left_(metrics.gauge(kLeft, kLeftHelp, {{"cluster", ""}, {"certificate", "operator-ca"}})),
      leaf_left_(metrics.gauge(kLeft, kLeftHelp, {{"cluster", ""}, {"certificate", "operator"}})) {}

Result<coordinator::ServerTls> AuthorityReconciler::server_tls() {
  const auto authority = certificates_.authority().authority;
  const int64_t now_s = clock_.wall_ms() / 1000;
  if (certs::needs_issue(leaf_, authority.ca.cert, certs::for_hosts(settings_.hosts), now_s)) {
    ASSIGN_OR_RETURN(leaf_, certificates_.issue(settings_.hosts));
  }
  ca_left_.Set(left(authority.ca.cert, now_s));
  leaf_left_.Set(left(leaf_.cert, now_s));
  return coordinator::ServerTls{authority.bundle(), leaf_.cert, leaf_.key};
}

certs::RotationInput AuthorityReconciler::look_around(const AuthorityState& state) {
  certs::RotationInput input{state.asked, true, true, clock_.wall_ms() / 1000,
                             settings_.phase_seconds};
  for (const auto& cluster : clusters_.keys()) {
    auto progress = certificates_.progress(cluster);
    const bool present = progress && progress->version == state.version;
    input.trusted_everywhere &= present && progress->trusted;
    input.reissued_everywhere &= present && progress->reissued;
  }
  return input;
}

Outcome AuthorityReconciler::reconcile(const runtime::Key& key) {
  auto loaded = certificates_.load();
  if (!loaded.ok()) return Outcome::retry(loaded);
  // Before anything else: what this phase promises of the coordinator holds.
  auto tls = server_tls();
  if (!tls.ok()) return Outcome::retry(tls.status());
  server_.renew(std::move(*tls));
  const auto state = certificates_.authority();
  const auto step = certs::next_step(state.authority, look_around(state));
  if (step == certs::RotationStep::kNone) {
    const bool rotating = state.authority.phase() != certs::CaPhase::kStable;
    return Outcome::requeue_after(rotating ? kRotatingMs : kSteadyMs);
  }
  auto advanced = certificates_.advance(step);
  if (!advanced.ok()) return Outcome::retry(advanced);
  const auto phase = certificates_.authority().authority.phase();
  events_.record({{"apiVersion", "v1"},
                  {"kind", "Secret"},
                  {"metadata", {{"namespace", key.ns}, {"name", key.name}}}},
                 kube::EventType::kNormal, "CaRotation",
                 std::string(certs::to_string(phase)) + ": " + told_as(phase));
  for (const auto& cluster : clusters_.keys()) {
    if (look_) look_(cluster);
  }
  return Outcome::requeue_after(1);
}

}  // namespace sluice_operator::reconcile
