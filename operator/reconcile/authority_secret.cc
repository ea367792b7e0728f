#include "operator/reconcile/authority_secret.h"

#include <nlohmann/json.hpp>

#include "broker/base/log.h"
#include "operator/api/metadata.h"
#include "operator/apply/apply.h"
#include "operator/kube/client/base64.h"

namespace sluice_operator::reconcile {

using broker::Code;
using broker::Result;
using broker::Status;
using kube::Json;

namespace {

constexpr int kAttempts = 3;

Result<AuthorityState> read_state(const Json& secret) {
  const Json annotations = secret.at("metadata").value("annotations", Json::object());
  const int64_t since_ms =
      api::rfc3339_ms(annotations.value(kPhaseSinceAnnotation, std::string()));
  std::map<std::string, std::string> data;
  for (const char* key : {"ca.crt", "ca.key", "next-ca.crt", "next-ca.key", "old-ca.crt"}) {
    data[key] = data_of(secret, key);
  }
  auto authority = certs::read_authority(data, since_ms < 0 ? 0 : since_ms / 1000);
  if (!authority.ok()) {
    return authority.status().with_context("Secret " + kube::key_of(secret).to_string());
  }
  return AuthorityState{std::move(*authority), kube::metadata_text(secret, "resourceVersion"),
                        annotations.contains(kRotateAnnotation)};
}

// The begin is in the name: two CAs of the same name are hard to tell apart for people.
Result<certs::KeyPair> fresh_ca(const kube::ObjectKey& secret, int64_t now_s) {
  return certs::make_ca("sluice " + api::rfc3339(now_s * 1000) + " " + secret.to_string(), now_s);
}

Json annotations_of(const certs::Authority& authority) {
  return {{kPhaseAnnotation, certs::to_string(authority.phase())},
          {kPhaseSinceAnnotation, api::rfc3339(authority.since_s * 1000)}};
}

// A new CA, or the one that was known before somebody deleted its Secret.
Result<Json> make(kube::Client& client, const kube::ObjectKey& secret, const Json& owner,
                  int64_t now_s, const certs::Authority& before) {
  certs::Authority authority = before;
  if (before.ca.cert.empty()) {
    ASSIGN_OR_RETURN(authority.ca, fresh_ca(secret, now_s));
    authority.since_s = now_s;
  }
  Json object{{"apiVersion", "v1"},
              {"kind", "Secret"},
              {"metadata",
               {{"name", secret.name},
                {"namespace", secret.ns},
                {"labels", {{"app.kubernetes.io/managed-by", "sluice-operator"}}},
                {"annotations", annotations_of(authority)}}},
              {"type", "Opaque"}};
  for (const auto& [key, value] : certs::to_data(authority)) {
    if (!value.empty()) object["data"][key] = kube::base64_encode(value);
  }
  if (!owner.is_null()) object["metadata"]["ownerReferences"] = Json::array({owner});
  auto written = client.create(kube::secrets(), object);
  if (written.ok()) {
    broker::log_info("certificates", before.ca.cert.empty() ? "made a CA" : "wrote a CA back",
                     {{"secret", secret.to_string()}});
  }
  return written;
}

// Of the cluster that owns it, which it is given back to where it was orphaned.
Result<Json> owned_secret(kube::Client& client, const kube::ObjectKey& secret, const Json& owner) {
  auto live = client.get(kube::secrets(), secret.ns, secret.name);
  if (!live.ok() || owner.is_null()) return live;
  const std::string uid = owner.value("uid", std::string());
  if (owned_by(*live, uid)) return live;
  RETURN_IF_ERROR(apply::check_owner(*live, "Secret", uid, owner.value("name", std::string())));
  return client.merge_patch(kube::secrets(), secret,
                            {{"metadata",
                              {{"resourceVersion", kube::metadata_text(*live, "resourceVersion")},
                               {"ownerReferences", Json::array({owner})}}}});
}

}  // namespace

Result<AuthorityState> load_authority(kube::Client& client, const kube::ObjectKey& secret,
                                      const Json& owner, int64_t now_s,
                                      const certs::Authority& before) {
  for (int attempt = 0; attempt < kAttempts; attempt++) {
    auto live = owned_secret(client, secret, owner);
    if (live.ok()) return read_state(*live);
    if (live.code() != Code::kNotFound) return live.status();
    auto made = make(client, secret, owner, now_s, before);
    // Another was faster, or the outcome is unknown: what is there now counts.
    if (!made.ok() && made.code() != Code::kAlreadyExists && made.code() != Code::kTimeout) {
      return made.status();
    }
  }
  return Status(Code::kUnavailable, "the CA's Secret " + secret.to_string() + " cannot be read back");
}

Result<AuthorityState> advance_authority(kube::Client& client, const kube::ObjectKey& secret,
                                         const AuthorityState& from, certs::RotationStep step,
                                         int64_t now_s) {
  certs::KeyPair fresh;
  if (step == certs::RotationStep::kBegin) {
    ASSIGN_OR_RETURN(fresh, fresh_ca(secret, now_s));
  }
  const auto next = certs::after(from.authority, step, fresh, now_s);
  Json annotations = annotations_of(next);
  if (step == certs::RotationStep::kBegin) annotations[kRotateAnnotation] = nullptr;
  Json data;
  for (const auto& [key, value] : certs::to_data(next)) {
    data[key] = value.empty() ? Json() : Json(kube::base64_encode(value));
  }
  // The version makes it a compare-and-swap: a phase is entered once, from the one before.
  Json patch{{"metadata", {{"resourceVersion", from.version}, {"annotations", annotations}}},
             {"data", data}};
  auto written = client.merge_patch(kube::secrets(), secret, patch);
  if (!written.ok()) return written.status();
  broker::log_info("certificates", "the rotation of a CA goes on",
                   {{"secret", secret.to_string()}, {"phase", certs::to_string(next.phase())}});
  return read_state(*written);
}

}  // namespace sluice_operator::reconcile
