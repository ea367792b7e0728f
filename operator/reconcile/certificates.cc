#include "operator/reconcile/certificates.h"

#include <nlohmann/json.hpp>

#include "broker/base/log.h"
#include "operator/kube/client/base64.h"
#include "operator/plan/stream_cluster.h"

namespace sluice_operator::reconcile {

using broker::Code;
using broker::Result;
using broker::Status;
using kube::Json;

namespace {

constexpr const char* kCaSecret = "sluice-ca";

std::string data_of(const Json& secret, const char* key) {
  auto data = secret.find("data");
  if (data == secret.end() || !data->is_object() || !data->contains(key)) return {};
  const auto& text = (*data)[key];
  return text.is_string() ? kube::base64_decode(text.get<std::string>()).value_or("") : "";
}

}  // namespace

Status Certificates::load() {
  for (int attempt = 0; attempt < 3; attempt++) {
    auto secret = client_.get(kube::secrets(), ns_, kCaSecret);
    if (secret.ok()) {
      ca_ = {data_of(*secret, "ca.crt"), data_of(*secret, "ca.key")};
      if (!ca_.cert.empty() && !ca_.key.empty()) return {};
      return Status(Code::kCorruption, std::string("Secret ") + ns_ + "/" + kCaSecret +
                                           " lacks ca.crt or ca.key; mend or delete it");
    }
    if (secret.code() != Code::kNotFound) return secret.status();
    ASSIGN_OR_RETURN(auto made, certs::make_ca("sluice-operator " + ns_, clock_.wall_ms() / 1000));
    Json object{{"apiVersion", "v1"},
                {"kind", "Secret"},
                {"metadata",
                 {{"name", kCaSecret},
                  {"namespace", ns_},
                  {"labels", {{"app.kubernetes.io/managed-by", "sluice-operator"}}}}},
                {"type", "Opaque"},
                {"data",
                 {{"ca.crt", kube::base64_encode(made.cert)},
                  {"ca.key", kube::base64_encode(made.key)}}}};
    auto written = client_.create(kube::secrets(), object);
    if (written.ok()) broker::log_info("certificates", "made the CA", {{"secret", kCaSecret}});
    if (!written.ok() && written.code() != Code::kAlreadyExists &&
        written.code() != Code::kTimeout) {
      return written.status();
    }
  }
  return Status(Code::kUnavailable, "the CA's Secret cannot be read back");
}

Result<certs::KeyPair> Certificates::issue(const std::vector<std::string>& dns_names) const {
  return certs::issue(ca_, dns_names, clock_.wall_ms() / 1000);
}

Result<bool> Certificates::ensure(const api::StreamCluster& cluster) {
  const std::string name = plan::tls_secret_name(cluster.metadata.name);
  auto names = plan::tls_dns_names(cluster.metadata.ns, cluster.metadata.name);
  auto live = client_.get(kube::secrets(), cluster.metadata.ns, name);
  if (!live.ok() && live.code() != Code::kNotFound) return live.status();
  if (live.ok()) {
    const auto& metadata = live->at("metadata");
    bool ours = false;
    for (const auto& owner : metadata.value("ownerReferences", Json::array())) {
      ours |= owner.value("uid", std::string()) == cluster.metadata.uid;
    }
    if (!ours) {
      return Status(Code::kConflict, "Secret " + name + " belongs to something else; rename the "
                                                        "StreamCluster or remove the Secret");
    }
    if (!certs::needs_issue(data_of(*live, "tls.crt"), ca_.cert, names,
                            clock_.wall_ms() / 1000)) {
      return false;
    }
  }
  ASSIGN_OR_RETURN(auto leaf, issue(names));
  auto wanted = plan::tls_secret(cluster, ca_.cert, leaf.cert, leaf.key);
  auto written = client_.apply(kube::secrets(), wanted);
  if (!written.ok()) return written.status();
  return true;
}

}  // namespace sluice_operator::reconcile
