#include "operator/reconcile/stream_user.h"

#include <nlohmann/json.hpp>

#include "broker/base/log.h"
#include "broker/quotas/entity.h"
#include "broker/security/authorizer.h"
#include "broker/security/scram.h"
#include "broker/security/tls.h"
#include "broker/security/users_file.h"
#include "operator/api/json.h"
#include "operator/apply/apply.h"
#include "operator/kube/client/base64.h"
#include "operator/metadata/user_acls.h"
#include "operator/metadata/user_scram.h"
#include "operator/plan/stream_cluster.h"

namespace sluice_operator::reconcile {

using broker::Code;
using broker::Result;
using broker::Status;
using kube::Json;
using runtime::Outcome;
namespace quotas = broker::quotas;
namespace security = broker::security;

namespace {

// A password in somebody else's Secret may change: nobody tells us.
constexpr int64_t kLookAgainMs = 60'000;
constexpr int64_t kBusyMs = 1000;
constexpr size_t kPasswordBytes = 24;
constexpr const char* kAccessKeyId = "accessKeyId";
constexpr const char* kSecretAccessKey = "secretAccessKey";

// Letters and digits only: it is pasted into properties files.
std::string new_password() {
  std::string text = kube::base64_encode(security::random_bytes(kPasswordBytes));
  for (char& c : text) {
    if (c == '+') c = 'p';
    if (c == '/') c = 's';
  }
  return text;
}

// As AWS's look: twenty capitals and digits.
std::string new_access_key_id() {
  constexpr char kLetters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
  std::string id = "AKIA";
  for (char byte : security::random_bytes(16)) id += kLetters[static_cast<unsigned char>(byte) % 32];
  return id;
}

std::string service_host(const api::StreamUser& user) {
  return user.spec.cluster + "." + user.metadata.ns + ".svc";
}

std::string jaas_of(const std::string& user, const std::string& password) {
  auto quoted = [](const std::string& text) {
    std::string out;
    for (char c : text) {
      if (c == '"' || c == '\\') out += '\\';
      out += c;
    }
    return "\"" + out + "\"";
  };
  return "org.apache.kafka.common.security.scram.ScramLoginModule required username=" +
         quoted(user) + " password=" + quoted(password) + ";";
}

}  // namespace

StreamUserReconciler::Problem StreamUserReconciler::check(const api::StreamUser& user) const {
  for (const auto& object : users_.grouped(user.metadata.ns, user.spec.cluster)) {
    auto other = api::read_stream_user(*object);
    if (other.ok() && other->spec.cluster == user.spec.cluster &&
        other->spec.name == user.spec.name && other->metadata.name < user.metadata.name) {
      return {"NameTaken", "StreamUser '" + other->metadata.name + "' is the user '" +
                               user.spec.name + "' of this cluster already"};
    }
  }
  const bool access_key = user.spec.authentication == api::StreamUserSpec::Authentication::kAccessKey;
  const bool certificate = user.spec.authentication == api::StreamUserSpec::Authentication::kTls;
  if (certificate && user.spec.name.size() > certs::kCommonNameMax) {
    return {"Invalid", "spec.name: a name in a certificate has at most 64 characters"};
  }
  if ((access_key || certificate) && user.spec.password_from) {
    return {"Invalid", "spec.passwordFrom is for users with authentication.type Scram"};
  }
  const auto& wanted = user.spec.quotas;
  for (const auto& [field, value] : std::map<std::string, std::optional<double>>{
           {"producerByteRate", wanted.producer_byte_rate},
           {"consumerByteRate", wanted.consumer_byte_rate},
           {"requestPercentage", wanted.request_percentage},
           {"controllerMutationRate", wanted.controller_mutation_rate}}) {
    if (value && !(*value > 0)) {
      return {"Invalid", "spec.quotas." + field + " must be above 0; leave it out to lift it"};
    }
  }
  for (const auto& rule : user.spec.acls) {
    auto resource = security::parse_resource(rule.resource);
    if (!resource.ok()) return {"Invalid", "spec.acls: " + resource.status().message()};
    for (const auto& operation : rule.operations) {
      auto parsed = security::parse_operation(operation);
      if (!parsed.ok()) return {"Invalid", "spec.acls: " + parsed.status().message()};
    }
  }
  if (!clusters_.get(user.metadata.ns, user.spec.cluster)) {
    return {"NoCluster", "there is no StreamCluster '" + user.spec.cluster + "' in this namespace"};
  }
  return {};
}

Result<StreamUserReconciler::Credentials> StreamUserReconciler::credentials_of(
    const api::StreamUser& user) {
  if (user.spec.authentication == api::StreamUserSpec::Authentication::kAccessKey) {
    return own_access_key(user);
  }
  return user.spec.password_from ? given_password(user) : own_password(user);
}

Result<StreamUserReconciler::Credentials> StreamUserReconciler::given_password(
    const api::StreamUser& user) {
  const auto& from = *user.spec.password_from;
  auto secret = client_.get(kube::secrets(), user.metadata.ns, from.secret);
  if (secret.code() == Code::kNotFound) {
    return Status(Code::kInvalidArgument, "spec.passwordFrom: there is no Secret '" + from.secret + "'");
  }
  if (!secret.ok()) return secret.status();
  Credentials given;
  given.password = data_of(*secret, from.key);
  given.version = kube::metadata_text(*secret, "resourceVersion");
  if (given.password.empty()) {
    return Status(Code::kInvalidArgument, "spec.passwordFrom: Secret '" + from.secret +
                                              "' has nothing under '" + from.key + "'");
  }
  ASSIGN_OR_RETURN(Json before, own_secret(user));
  RETURN_IF_ERROR(drop_entries(user, before, {metadata::kScramCredentials}));
  auto own = own_password(user);  // the Secret to hand out, with the same password
  if (!own.ok()) return own.status();
  if (own->password == given.password) return given;
  auto live = client_.get(kube::secrets(), user.metadata.ns, user.spec.secret_name);
  if (!live.ok()) return live.status();
  RETURN_IF_ERROR(keep_secret(user, *live, password_entries(user, given.password, *live)));
  return given;
}

Result<Json> StreamUserReconciler::own_secret(const api::StreamUser& user) {
  auto live = client_.get(kube::secrets(), user.metadata.ns, user.spec.secret_name);
  if (live.code() == Code::kNotFound) return Json();
  if (!live.ok()) return live.status();
  if (!owned_by(*live, user.metadata.uid)) {
    return Status(Code::kAlreadyExists,
                  "Secret '" + user.spec.secret_name +
                      "' belongs to something else and is left alone; name another in "
                      "spec.secretName");
  }
  return live;
}

Result<StreamUserReconciler::Credentials> StreamUserReconciler::own_password(
    const api::StreamUser& user) {
  ASSIGN_OR_RETURN(Json live, own_secret(user));
  ASSIGN_OR_RETURN(auto of_clients, metadata::client_credentials(live));
  std::string password;
  if (of_clients) {
    // One that was written while the client's came, or by somebody who takes it for the user's.
    RETURN_IF_ERROR(drop_entries(user, live, {metadata::kPassword, metadata::kJaasConfig}));
  } else {
    password = data_of(live, metadata::kPassword);
    if (password.empty()) password = new_password();
  }
  RETURN_IF_ERROR(keep_secret(user, live, password_entries(user, password, live)));
  // Read back: its version stands for the password, and a client may have set one meanwhile.
  auto kept = client_.get(kube::secrets(), user.metadata.ns, user.spec.secret_name);
  if (!kept.ok()) return kept.status();
  Credentials own;
  ASSIGN_OR_RETURN(own.of_clients, metadata::client_credentials(*kept));
  if (!own.of_clients) own.password = data_of(*kept, metadata::kPassword);
  own.version = kube::metadata_text(*kept, "resourceVersion");
  return own;
}

Status StreamUserReconciler::drop_entries(const api::StreamUser& user, const Json& live,
                                          const std::vector<const char*>& keys) {
  Json data;
  for (const char* key : keys) {
    if (!data_of(live, key).empty()) data[key] = nullptr;
  }
  if (data.is_null()) return {};
  Json patch{{"metadata", {{"resourceVersion", kube::metadata_text(live, "resourceVersion")}}},
             {"data", data}};
  return client_.merge_patch(kube::secrets(), {user.metadata.ns, user.spec.secret_name}, patch)
      .status();
}

Result<StreamUserReconciler::Credentials> StreamUserReconciler::own_access_key(
    const api::StreamUser& user) {
  ASSIGN_OR_RETURN(Json live, own_secret(user));
  Credentials own;
  own.access_key_id = data_of(live, kAccessKeyId);
  own.secret_access_key = data_of(live, kSecretAccessKey);
  if (own.access_key_id.empty() || own.secret_access_key.empty()) {
    own.access_key_id = new_access_key_id();
    own.secret_access_key = new_password();
  }
  RETURN_IF_ERROR(keep_secret(user, live,
                              {{"username", user.spec.name},
                               {kAccessKeyId, own.access_key_id},
                               {kSecretAccessKey, own.secret_access_key},
                               {"endpoint", "http://" + service_host(user) + ":4567"}}));
  // Of two that were made at once one is kept.
  auto kept = client_.get(kube::secrets(), user.metadata.ns, user.spec.secret_name);
  if (!kept.ok()) return kept.status();
  own.access_key_id = data_of(*kept, kAccessKeyId);
  own.secret_access_key = data_of(*kept, kSecretAccessKey);
  own.version = kube::metadata_text(*kept, "resourceVersion");
  return own;
}

StreamUserReconciler::Entries StreamUserReconciler::password_entries(
    const api::StreamUser& user, const std::string& password, const Json& live) const {
  // Before the cluster's first pass, what is there stays.
  auto issuer = certificates_.issuer({user.metadata.ns, user.spec.cluster});
  std::string ca = issuer ? issuer->server_ca : data_of(live, "ca.crt");
  if (!issuer && ca.empty()) ca = certificates_.authority().authority.bundle();
  Entries entries{
      {"username", user.spec.name}, {"bootstrap.host", service_host(user)}, {"ca.crt", ca}};
  if (!password.empty()) {
    entries[metadata::kPassword] = password;
    entries[metadata::kJaasConfig] = jaas_of(user.spec.name, password);
  }
  return entries;
}

Status StreamUserReconciler::serve_certificate(const api::StreamUser& user, Served& served) {
  const int64_t now_s = clock_.wall_ms() / 1000;
  const auto subject = certs::for_user(user.spec.name);
  ASSIGN_OR_RETURN(Json live, own_secret(user));
  certs::KeyPair leaf{data_of(live, "user.crt"), data_of(live, "user.key")};
  auto issuer = certificates_.issuer({user.metadata.ns, user.spec.cluster});
  served.settled = issuer.has_value();
  if (!issuer || issuer->ca.key.empty()) {
    // Nobody to issue; one that is good is good.
    if (auto life = certs::validity(leaf.cert); life.ok() && life->ends_s > now_s) {
      served.certificate_expires_at = api::rfc3339(life->ends_s * 1000);
      served.certificate_issuer = user.status.certificate_issuer;
      return {};
    }
    served.problem = {"NoIssuer", issuer ? issuer->problem : "the StreamCluster is not looked after yet"};
    return {};
  }
  const bool own = certs::issued_by(leaf.cert, issuer->ca.cert);
  bool fresh = certs::needs_issue(leaf, issuer->ca.cert, subject, now_s);
  // One of the CA before is better than one that brokers do not take yet.
  if (fresh && !own && !issuer->trusted && certs::pair_problem(leaf, false, now_s).empty()) {
    fresh = served.settled = false;
  }
  if (fresh) {
    ASSIGN_OR_RETURN(leaf, certs::issue(issuer->ca, subject, now_s));
  }
  RETURN_IF_ERROR(keep_secret(user, live,
                              {{"username", user.spec.name},
                               {"user.crt", leaf.cert},
                               {"user.key", leaf.key},
                               {"ca.crt", issuer->server_ca},
                               {"bootstrap.host", service_host(user)}}));
  served.certificate_expires_at = api::rfc3339(certs::validity(leaf.cert)->ends_s * 1000);
  served.certificate_issuer = certs::issued_by(leaf.cert, issuer->ca.cert)
                                  ? security::sha256_hex(issuer->ca.cert)
                                  : user.status.certificate_issuer;
  return {};
}

Status StreamUserReconciler::serve(const api::StreamUser& user, Served& served) {
  Credentials credentials;
  if (user.spec.authentication == api::StreamUserSpec::Authentication::kTls) {
    RETURN_IF_ERROR(serve_certificate(user, served));
    if (!served.problem.reason.empty()) return {};
  } else {
    ASSIGN_OR_RETURN(credentials, credentials_of(user));
  }
  served.settled &= coordinators_.user_seen({user.metadata.ns, user.spec.cluster},
                                            user.metadata.name, message_of(user, credentials));
  return {};
}

StreamUserReconciler::Problem StreamUserReconciler::problem_of(const Status& status) {
  if (status.code() == Code::kAlreadyExists) return {"SecretTaken", status.message()};
  if (status.code() == Code::kInvalidArgument) return {"NoPassword", status.message()};
  return {};
}

Status StreamUserReconciler::keep_secret(const api::StreamUser& user, const Json& live,
                                         const Entries& wanted) {
  bool same = !live.is_null();
  Json data;
  for (const auto& [key, value] : wanted) {
    same = same && data_of(live, key) == value;
    data[key] = kube::base64_encode(value);
  }
  if (same) return {};
  Json object{{"apiVersion", "v1"},
              {"kind", "Secret"},
              {"metadata",
               {{"name", user.spec.secret_name},
                {"namespace", user.metadata.ns},
                {"labels",
                 {{"app.kubernetes.io/managed-by", "sluice-operator"},
                  {metadata::kClusterLabel, user.spec.cluster}}},
                {"ownerReferences",
                 {{{"apiVersion", api::kApiVersion},
                   {"kind", "StreamUser"},
                   {"name", user.metadata.name},
                   {"uid", user.metadata.uid},
                   {"controller", true},
                   {"blockOwnerDeletion", true}}}}}},
              {"type", "Opaque"},
              {"data", data}};
  // Of two operators, or an operator and a person, that make it at once, one wins.
  auto written = live.is_null() ? client_.create(kube::secrets(), object)
                                : client_.apply(kube::secrets(), object);
  return written.status();
}

void StreamUserReconciler::add_verifiers(const api::StreamUser& user,
                                         const Credentials& credentials, sluice::v1::User& out) {
  std::lock_guard lock(mutex_);
  auto& kept = verifiers_[user.metadata.uid];
  if (kept.version != credentials.version || kept.list.empty()) {
    kept.version = credentials.version;
    kept.list.clear();
    for (const char* mechanism : {security::kScramSha256, security::kScramSha512}) {
      // The same on every operator and after every restart, so that nothing is pushed anew.
      std::string salt = security::public_salt(user.metadata.uid + mechanism + credentials.version);
      kept.list.push_back(
          security::make_credential(mechanism, credentials.password, std::move(salt)));
    }
  }
  for (const auto& credential : kept.list) *out.add_scram() = credential;
}

sluice::v1::User StreamUserReconciler::message_of(const api::StreamUser& user,
                                                  const Credentials& credentials) {
  sluice::v1::User out;
  out.set_name(user.spec.name);
  if (credentials.of_clients) {
    for (const auto& credential : *credentials.of_clients) *out.add_scram() = credential;
  } else if (!credentials.password.empty()) {
    add_verifiers(user, credentials, out);
  }
  if (!credentials.access_key_id.empty()) {
    auto* key = out.add_access_keys();
    key->set_id(credentials.access_key_id);
    key->set_secret(credentials.secret_access_key);
  }
  auto declare = [&out](quotas::Quota quota, auto value) {
    if (!value) return;
    (*out.mutable_quotas())[std::string(to_string(quota))] = static_cast<double>(*value);
  };
  declare(quotas::Quota::kProducerByteRate, user.spec.quotas.producer_byte_rate);
  declare(quotas::Quota::kConsumerByteRate, user.spec.quotas.consumer_byte_rate);
  declare(quotas::Quota::kRequestPercentage, user.spec.quotas.request_percentage);
  declare(quotas::Quota::kControllerMutationRate, user.spec.quotas.controller_mutation_rate);
  for (auto& acl : metadata::acls_of(user.spec)) *out.add_acls() = std::move(acl);
  return out;
}

Status StreamUserReconciler::write_status(const api::StreamUser& user, const Json& object,
                                          const Served& served) {
  const Problem& problem = served.problem;
  api::StreamUserStatus status = user.status;
  status.observed_generation = user.metadata.generation;
  status.secret = problem.reason.empty() ? user.spec.secret_name : "";
  status.certificate_expires_at = served.certificate_expires_at;
  status.certificate_issuer = served.certificate_issuer;
  const bool ready = problem.reason.empty();
  api::set_condition(status.conditions,
                     {"Ready", ready ? "True" : "False", ready ? "Served" : problem.reason,
                      ready ? "brokers know the user and its rights" : problem.message, "",
                      user.metadata.generation},
                     api::rfc3339(clock_.wall_ms()));
  if (status == user.status) return {};
  Json patch{{"status", apply::merge_difference(object.value("status", Json::object()),
                                                api::status_to_json(status))}};
  return client_
      .merge_patch(metadata::stream_users(), {user.metadata.ns, user.metadata.name}, patch,
                   "status")
      .status();
}

Outcome StreamUserReconciler::reconcile(const runtime::Key& key) {
  auto object = users_.get(key.ns, key.name);
  if (!object) return Outcome::done();  // the cache's handler told the coordinator
  auto read = api::read_stream_user(*object);
  if (!read.ok()) return Outcome::terminal(read.status());
  const api::StreamUser& user = *read;
  runtime::note_generation(user.metadata.generation);
  const kube::ObjectKey cluster{key.ns, user.spec.cluster};
  Served served;
  served.problem = check(user);
  if (served.problem.reason.empty()) {
    Status status = serve(user, served);
    if (!status.ok()) served.problem = problem_of(status);
    if (!status.ok() && served.problem.reason.empty()) return Outcome::retry(status);
  }
  if (!served.problem.reason.empty()) coordinators_.user_seen(cluster, key.name, std::nullopt);
  Status written = write_status(user, *object, served);
  if (!written.ok()) return Outcome::retry(written);
  return Outcome::requeue_after(served.settled ? kLookAgainMs : kBusyMs);
}

}  // namespace sluice_operator::reconcile
