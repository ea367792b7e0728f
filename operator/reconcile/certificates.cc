#include "operator/reconcile/certificates.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "broker/security/tls.h"
#include "operator/apply/apply.h"
#include "operator/plan/stream_cluster.h"

namespace sluice_operator::reconcile {

using broker::Code;
using broker::Result;
using broker::Status;
using broker::security::sha256_hex;
using kube::Json;

// The content of NAME-client-tls, and what issues users' certificates.
struct Certificates::ListenerTls {
  certs::KeyPair shown;
  std::string server_ca;   // verifies `shown`
  std::string clients_ca;  // verifies clients
  certs::KeyPair ca;       // of users; no key: none can be issued
  std::optional<certs::KeyPair> their_ca;  // spec.tls.caSecret
  std::string their_root;
};

namespace {

Json owner_of(const api::StreamCluster& cluster) {
  return {{"apiVersion", api::kApiVersion}, {"kind", "StreamCluster"},
          {"name", cluster.metadata.name},  {"uid", cluster.metadata.uid},
          {"controller", true},             {"blockOwnerDeletion", true}};
}

// The Secret as it is, null when there is none, kAlreadyExists when it is somebody else's.
Result<Json> own_secret(kube::Client& client, const api::StreamCluster& cluster,
                        const std::string& name) {
  auto live = client.get(kube::secrets(), cluster.metadata.ns, name);
  if (live.code() == Code::kNotFound) return Json();
  if (!live.ok()) return live;
  RETURN_IF_ERROR(
      apply::check_owner(*live, "Secret", cluster.metadata.uid, cluster.metadata.name));
  return live;
}

// One that was orphaned is to be owned again.
bool owned(const Json& live, const api::StreamCluster& cluster) {
  return !live.is_null() && owned_by(live, cluster.metadata.uid);
}

void add_view(ClusterCertificates& out, const char* name, const std::string& cert) {
  auto life = certs::validity(cert);
  if (life.ok()) out.list.push_back({name, life->ends_s});
}

void say(ClusterCertificates& out, std::string reason, std::string problem) {
  if (!out.problem.empty()) return;  // the first is told
  out.reason = std::move(reason);
  out.problem = std::move(problem);
}

// None of a bundle's CAs is in the other: who has the one refuses whom the other has issued for.
bool strangers(const std::string& bundle, const std::string& other) {
  const auto ours = certs::split(bundle), theirs = certs::split(other);
  return !ours.empty() && !theirs.empty() &&
         std::none_of(ours.begin(), ours.end(), [&](const auto& cert) {
           return std::find(theirs.begin(), theirs.end(), cert) != theirs.end();
         });
}

// `wanted` and, while they may still be in use, the CAs that `live` has beside.
std::string bundle_of(const std::string& wanted, const std::string& live, bool drop_old) {
  auto out = certs::split(wanted);
  for (const auto& cert : drop_old ? std::vector<std::string>() : certs::split(live)) {
    if (std::find(out.begin(), out.end(), cert) == out.end()) out.push_back(cert);
  }
  std::string text;
  std::vector<std::string> seen;
  for (const auto& cert : out) {
    if (std::find(seen.begin(), seen.end(), cert) != seen.end()) continue;
    seen.push_back(cert);
    text += cert;
  }
  return text;
}

}  // namespace

Status Certificates::load() {
  const certs::Authority before = authority().authority;
  ASSIGN_OR_RETURN(auto state,
                   load_authority(client_, authority_key(), Json(), now_s(), before));
  std::lock_guard lock(mutex_);
  authority_ = std::move(state);
  return {};
}

Status Certificates::advance(certs::RotationStep step) {
  ASSIGN_OR_RETURN(auto state,
                   advance_authority(client_, authority_key(), authority(), step, now_s()));
  std::lock_guard lock(mutex_);
  authority_ = std::move(state);
  return {};
}

AuthorityState Certificates::authority() const {
  std::lock_guard lock(mutex_);
  return authority_;
}

Result<certs::KeyPair> Certificates::issue(const std::vector<std::string>& hosts) const {
  return certs::issue(authority().authority.ca, certs::for_hosts(hosts), now_s());
}

Result<ClusterCertificates> Certificates::ensure(const api::StreamCluster& cluster,
                                                 const std::vector<std::string>& hosts,
                                                 const UsersReissued& users_reissued) {
  const AuthorityState from = authority();
  ClusterCertificates out;
  out.authority_version = from.version;
  RETURN_IF_ERROR(keep_broker_secret(cluster, from, out));
  {
    std::lock_guard lock(mutex_);
    if (left_behind_.contains({cluster.metadata.ns, cluster.metadata.name})) {
      say(out, "CaReplaced",
          "another CA was made, since Secret " + authority_key().to_string() +
              " with the one that brokers have is lost: until each has the new files, within a minute or two, "
              "they and the operator refuse each other's new connections; nothing needs to be restarted");
    }
  }
  if (api::has_tls_listener(cluster.spec)) {
    RETURN_IF_ERROR(keep_listener_secret(cluster, from, hosts, users_reissued, out));
  } else {
    std::lock_guard lock(mutex_);
    issuers_[{cluster.metadata.ns, cluster.metadata.name}] = {
        from.authority.bundle(), {}, false,
        "the StreamCluster has no listener with tls: true, where a certificate could be shown"};
  }
  for (const auto& view : out.list) {
    if (view.ends_s <= now_s()) say(out, "Expired", "the certificate '" + view.name + "' has expired");
  }
  return out;
}

std::optional<Certificates::Kept> Certificates::kept(const api::StreamCluster& cluster,
                                                     const AuthorityState& from) const {
  std::lock_guard lock(mutex_);
  auto it = kept_.find({cluster.metadata.ns, cluster.metadata.name});
  if (it == kept_.end() || it->second.uid != cluster.metadata.uid ||
      it->second.authority_version != from.version || it->second.good_until_ms <= clock_.mono_ms()) {
    return std::nullopt;
  }
  return it->second;
}

Status Certificates::keep_broker_secret(const api::StreamCluster& cluster,
                                        const AuthorityState& from, ClusterCertificates& out) {
  if (auto before = kept(cluster, from)) {
    out.files = before->files;
    out.list.push_back({"brokers", before->ends_s});
    return {};
  }
  const auto names =
      certs::for_hosts(plan::tls_dns_names(cluster.metadata.ns, cluster.metadata.name));
  ASSIGN_OR_RETURN(Json live,
                   own_secret(client_, cluster, plan::tls_secret_name(cluster.metadata.name)));
  certs::KeyPair leaf{data_of(live, "tls.crt"), data_of(live, "tls.key")};
  const std::string bundle = from.authority.bundle();
  const bool worn = certs::needs_issue(leaf, from.authority.ca.cert, names, now_s());
  if (worn) {
    ASSIGN_OR_RETURN(leaf, certs::issue(from.authority.ca, names, now_s()));
  }
  if (worn || data_of(live, "ca.crt") != bundle || !owned(live, cluster)) {
    auto written = client_.apply(kube::secrets(),
                                 plan::tls_secret(cluster, bundle, leaf.cert, leaf.key));
    RETURN_IF_ERROR(written.status());
    out.ca_replaced = strangers(data_of(live, "ca.crt"), bundle);
  }
  out.files.ca = sha256_hex(bundle);
  out.files.cert = sha256_hex(leaf.cert);
  add_view(out, "brokers", leaf.cert);
  const kube::ObjectKey key{cluster.metadata.ns, cluster.metadata.name};
  // Spread, so that a fleet's Secrets are not all read at one time.
  const int64_t spread_ms =
      static_cast<int64_t>(std::hash<std::string>()(key.to_string()) % 1024) * look_again_ms_ / 2048;
  std::lock_guard lock(mutex_);
  if (out.ca_replaced) left_behind_.insert(key);
  kept_[key] = {cluster.metadata.uid, from.version, out.files,
                out.list.empty() ? 0 : out.list.back().ends_s, clock_.mono_ms(),
                clock_.mono_ms() + look_again_ms_ - spread_ms};
  return {};
}

// A Secret of cert-manager's shape. Nothing where it cannot be used: `out` says why.
Result<std::optional<certs::KeyPair>> Certificates::theirs(const api::StreamCluster& cluster,
                                                           const char* field,
                                                           const std::string& secret,
                                                           bool authority, std::string& ca,
                                                           ClusterCertificates& out) {
  std::optional<certs::KeyPair> none;
  auto live = client_.get(kube::secrets(), cluster.metadata.ns, secret);
  if (live.code() == Code::kNotFound) {
    say(out, "SecretMissing", std::string(field) + ": there is no Secret '" + secret +
                                  "' in this namespace; what brokers have stays");
    return none;
  }
  if (!live.ok()) return live.status();
  certs::KeyPair pair{data_of(*live, "tls.crt"), data_of(*live, "tls.key")};
  std::string problem = certs::pair_problem(pair, authority, now_s());
  if (!problem.empty()) {
    say(out, "SecretInvalid", std::string(field) + ": Secret '" + secret + "': " + problem +
                                  "; what brokers have stays");
    return none;
  }
  ca = data_of(*live, "ca.crt");
  return std::optional(std::move(pair));
}

certs::Authority Certificates::clients_ca_before(const api::StreamCluster& cluster) const {
  std::lock_guard lock(mutex_);
  auto it = clients_cas_.find({cluster.metadata.ns, cluster.metadata.name});
  const bool known = it != clients_cas_.end() && it->second.uid == cluster.metadata.uid;
  return known ? it->second.authority : certs::Authority();
}

Status Certificates::choose_clients_ca(const api::StreamCluster& cluster,
                                       const UsersReissued& users_reissued, const Json& live,
                                       ListenerTls& tls, ClusterCertificates& out) {
  const std::string& secret = cluster.spec.tls.ca_secret;
  if (secret.empty()) {
    auto made = load_authority(client_,
                               {cluster.metadata.ns, plan::clients_ca_name(cluster.metadata.name)},
                               owner_of(cluster), now_s(), clients_ca_before(cluster));
    RETURN_IF_ERROR(made.status());
    {
      std::lock_guard lock(mutex_);
      clients_cas_[{cluster.metadata.ns, cluster.metadata.name}] = {cluster.metadata.uid,
                                                                    made->authority};
    }
    out.clients = *made;
    tls.ca = made->authority.ca;
    // What an own CA of the user's has issued before is good until it is issued again.
    tls.clients_ca = bundle_of(made->authority.bundle(), "", true);
    add_view(out, "clients-ca", tls.ca.cert);
    return {};
  }
  ASSIGN_OR_RETURN(tls.their_ca,
                   theirs(cluster, "spec.tls.caSecret", secret, true, tls.their_root, out));
  const std::string before = data_of(live, "clients-ca.crt");
  if (!tls.their_ca) {
    tls.clients_ca = before;
    return {};
  }
  tls.ca = *tls.their_ca;
  tls.clients_ca = bundle_of(tls.ca.cert + tls.their_root, before, users_reissued(tls.ca.cert));
  add_view(out, "clients-ca", tls.ca.cert);
  return {};
}

Status Certificates::choose_certificate(const api::StreamCluster& cluster,
                                        const AuthorityState& from,
                                        const std::vector<std::string>& hosts, const Json& live,
                                        ListenerTls& tls, ClusterCertificates& out) {
  const std::string& secret = cluster.spec.tls.certificate_secret;
  const certs::KeyPair before{data_of(live, "tls.crt"), data_of(live, "tls.key")};
  const std::string ca_before = data_of(live, "ca.crt");
  if (!secret.empty()) {
    ASSIGN_OR_RETURN(auto given, theirs(cluster, "spec.tls.certificateSecret", secret, false,
                                        tls.server_ca, out));
    if (given) {
      tls.shown = *given;
      return {};
    }
  }
  const bool lacking = !secret.empty() || (!cluster.spec.tls.ca_secret.empty() && !tls.their_ca);
  if (lacking && !before.cert.empty()) {
    tls.shown = before;
    tls.server_ca = ca_before;
    return {};
  }
  auto names = plan::tls_dns_names(cluster.metadata.ns, cluster.metadata.name);
  names.insert(names.end(), hosts.begin(), hosts.end());
  const auto subject = certs::for_hosts(names);
  const certs::KeyPair& ca = tls.their_ca ? *tls.their_ca : from.authority.ca;
  tls.server_ca = tls.their_ca ? bundle_of(ca.cert + tls.their_root, "", true)
                               : from.authority.bundle();
  tls.shown = before;
  if (!certs::needs_issue(before, ca.cert, subject, now_s())) return {};
  ASSIGN_OR_RETURN(tls.shown, certs::issue(ca, subject, now_s()));
  return {};
}

Status Certificates::keep_listener_secret(const api::StreamCluster& cluster,
                                          const AuthorityState& from,
                                          const std::vector<std::string>& hosts,
                                          const UsersReissued& users_reissued,
                                          ClusterCertificates& out) {
  ASSIGN_OR_RETURN(Json live, own_secret(client_, cluster,
                                         plan::client_tls_secret_name(cluster.metadata.name)));
  ListenerTls tls;
  RETURN_IF_ERROR(choose_clients_ca(cluster, users_reissued, live, tls, out));
  RETURN_IF_ERROR(choose_certificate(cluster, from, hosts, live, tls, out));
  const std::map<std::string, std::string> wanted = {{"ca.crt", tls.server_ca},
                                                     {"tls.crt", tls.shown.cert},
                                                     {"tls.key", tls.shown.key},
                                                     {"clients-ca.crt", tls.clients_ca}};
  const bool same = owned(live, cluster) && std::all_of(wanted.begin(), wanted.end(), [&](const auto& entry) {
    return data_of(live, entry.first) == entry.second;
  });
  if (!same) {
    auto written = client_.apply(kube::secrets(), plan::client_tls_secret(cluster, wanted));
    RETURN_IF_ERROR(written.status());
  }
  out.files.client_ca = sha256_hex(tls.clients_ca);
  out.files.client_cert = sha256_hex(tls.shown.cert);
  add_view(out, "listeners", tls.shown.cert);
  std::lock_guard lock(mutex_);
  auto& issuer = issuers_[{cluster.metadata.ns, cluster.metadata.name}];
  issuer = {tls.server_ca, tls.ca, issuer.trusted && issuer.ca == tls.ca,
            tls.ca.key.empty() ? out.problem : std::string()};
  return {};
}

Status Certificates::advance_clients(const api::StreamCluster& cluster, const AuthorityState& from,
                                     certs::RotationStep step) {
  return advance_authority(client_,
                           {cluster.metadata.ns, plan::clients_ca_name(cluster.metadata.name)},
                           from, step, now_s())
      .status();
}

void Certificates::tell(const kube::ObjectKey& cluster, RotationProgress progress,
                        bool clients_trusted) {
  std::lock_guard lock(mutex_);
  if (progress.trusted) left_behind_.erase(cluster);
  progress_[cluster] = std::move(progress);
  auto issuer = issuers_.find(cluster);
  if (issuer != issuers_.end()) issuer->second.trusted = clients_trusted;
}

std::optional<RotationProgress> Certificates::progress(const kube::ObjectKey& cluster) const {
  std::lock_guard lock(mutex_);
  auto it = progress_.find(cluster);
  return it == progress_.end() ? std::nullopt : std::optional(it->second);
}

std::optional<ClientIssuer> Certificates::issuer(const kube::ObjectKey& cluster) const {
  std::lock_guard lock(mutex_);
  auto it = issuers_.find(cluster);
  return it == issuers_.end() ? std::nullopt : std::optional(it->second);
}

void Certificates::look_soon(const kube::ObjectKey& cluster) {
  constexpr int64_t kAtMostEveryMs = 1000;
  std::lock_guard lock(mutex_);
  auto it = kept_.find(cluster);
  if (it == kept_.end()) return;
  it->second.good_until_ms =
      std::min(it->second.good_until_ms, it->second.read_ms + kAtMostEveryMs);
}

void Certificates::forget(const kube::ObjectKey& cluster) {
  std::lock_guard lock(mutex_);
  progress_.erase(cluster);
  issuers_.erase(cluster);
  kept_.erase(cluster);
  clients_cas_.erase(cluster);
  left_behind_.erase(cluster);
}

}  // namespace sluice_operator::reconcile
