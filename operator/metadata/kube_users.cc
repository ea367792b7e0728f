// What Kafka's clients change of users: ACLs in StreamUser resources, SCRAM credentials in their
// Secrets. Read, edited, and written back by compare-and-swap, again when somebody else was faster.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "broker/security/acls/acls.h"
#include "operator/api/json.h"
#include "operator/metadata/kube_requests.h"
#include "operator/metadata/secrets.h"
#include "operator/metadata/user_acls.h"
#include "operator/metadata/user_scram.h"

namespace sluice_operator::metadata {

namespace v1 = ::sluice::v1;
namespace acls = broker::security::acls;
using broker::Code;
using broker::Result;
using broker::Status;
using kube::Json;

namespace {

constexpr int kAttempts = 5;
constexpr const char* kSecretVersion = "sluice.dev/secret-version";

// Read again and decided anew; after kTimeout the write may be there already.
bool is_worth_another(const Status& status) {
  return status.code() == Code::kConflict || status.code() == Code::kTimeout;
}

std::string called(const Json& object) {
  return "StreamUser " + kube::key_of(object).to_string();
}

bool is_matched(const v1::DeleteAcls& change, const std::string& user, const v1::Acl& acl) {
  return std::any_of(change.filters().begin(), change.filters().end(),
                     [&](const auto& filter) { return acls::matches(filter, user, acl); });
}

void add_once(std::vector<v1::Acl>& list, const v1::Acl& acl) {
  if (std::none_of(list.begin(), list.end(),
                   [&](const v1::Acl& other) { return acls::same(acl, other); })) {
    list.push_back(acl);
  }
}

}  // namespace

struct KubeRequests::KnownUser {
  Json object;
  api::StreamUserSpec spec;
};

Result<std::map<std::string, KubeRequests::KnownUser>> KubeRequests::read_users() const {
  kube::Selection everything;
  everything.ns = cluster_.ns;
  ASSIGN_OR_RETURN(auto objects, client_.list(stream_users(), everything));
  std::map<std::string, KnownUser> out;
  for (auto& object : objects.items) {
    auto user = api::read_stream_user(object);
    if (!user.ok() || user->spec.cluster != cluster_.name || user->metadata.deleting) continue;
    const std::string name = user->spec.name;
    auto known = out.find(name);
    if (known != out.end() &&
        kube::metadata_text(known->second.object, "name") < user->metadata.name) {
      continue;
    }
    out[name] = {std::move(object), std::move(user->spec)};
  }
  return out;
}

Result<KubeRequests::KnownUser> KubeRequests::find_user(const std::string& name) const {
  ASSIGN_OR_RETURN(auto users, read_users());
  auto user = users.find(name);
  if (user != users.end()) return std::move(user->second);
  return Status(Code::kNotFound, "no StreamUser of cluster '" + cluster_.name + "' is the user '" +
                                     name + "': make one first");
}

Status KubeRequests::create_acls(const v1::CreateAcls& change) const {
  Status last;
  for (int attempt = 0; attempt < kAttempts; attempt++) {
    ASSIGN_OR_RETURN(KnownUser user, find_user(change.user()));
    Json& object = user.object;
    if (!add_acls(object, user.spec, {change.acls().begin(), change.acls().end()})) return {};
    last = client_.replace(stream_users(), object).status();
    if (last.ok()) return last;
    if (!is_worth_another(last)) return last.with_context(called(object));
  }
  return last;
}

// `gone`: what was taken away, or was to be when it fails.
Status KubeRequests::delete_acls_of(KnownUser user, const v1::DeleteAcls& change,
                                    std::vector<v1::Acl>& gone) const {
  const std::string resource = kube::metadata_text(user.object, "name");
  std::vector<v1::Acl> maybe_gone;  // by writes of unknown outcome: they are not matched again
  Status last;
  for (int attempt = 0; attempt < kAttempts; attempt++) {
    auto leaves = [&](const v1::Acl& acl) { return is_matched(change, user.spec.name, acl); };
    gone = maybe_gone;
    for (const v1::Acl& acl : acls_of(user.spec)) {
      if (leaves(acl)) add_once(gone, acl);
    }
    if (!remove_acls(user.object, user.spec, leaves)) return {};
    last = client_.replace(stream_users(), user.object).status();
    if (last.ok() || last.code() == Code::kNotFound) return {};
    if (!is_worth_another(last)) return last.with_context(called(user.object));
    if (last.code() == Code::kTimeout) maybe_gone = gone;
    auto again = client_.get(stream_users(), cluster_.ns, resource);
    if (again.code() == Code::kNotFound) return {};
    if (!again.ok()) return again.status().with_context(called(user.object));
    auto read = api::read_stream_user(*again);
    if (!read.ok()) return read.status().with_context(called(user.object));
    user = {std::move(*again), std::move(read->spec)};
  }
  return last;
}

Result<std::vector<v1::DeletedAcls>> KubeRequests::delete_acls(const v1::DeleteAcls& change) const {
  ASSIGN_OR_RETURN(auto users, read_users());
  std::vector<v1::DeletedAcls> out(static_cast<size_t>(change.filters_size()));
  for (auto& [name, user] : users) {
    std::vector<v1::Acl> gone;
    const Status status = delete_acls_of(std::move(user), change, gone);
    for (const v1::Acl& acl : gone) {
      for (int i = 0; i < change.filters_size(); i++) {
        if (!acls::matches(change.filters(i), name, acl)) continue;
        auto& deleted = *out[static_cast<size_t>(i)].add_acls();
        deleted.set_user(name);
        *deleted.mutable_acl() = acl;
        deleted.set_code(std::string(to_string(status.code())));
        deleted.set_message(status.message());
      }
    }
  }
  return out;
}

Status KubeRequests::alter_scram(const v1::AlterScram& change) const {
  ASSIGN_OR_RETURN(KnownUser user, find_user(change.user()));
  const std::string whose = called(user.object);
  if (user.spec.authentication != api::StreamUserSpec::Authentication::kScram) {
    return Status(
        Code::kPolicyViolation,
        whose + " does not log in with a password: its spec.authentication.type says how");
  }
  if (const auto& from = user.spec.password_from) {
    return Status(Code::kPolicyViolation, whose + " has the password of Secret '" + from->secret +
                                              "' (spec.passwordFrom): change it there");
  }
  ASSIGN_OR_RETURN(const std::string version, write_scram(user, change));
  return note_secret(std::move(user), version).with_context(whose);
}

Result<std::string> KubeRequests::write_scram(const KnownUser& user,
                                              const v1::AlterScram& change) const {
  const kube::ObjectKey key{cluster_.ns, user.spec.secret_name};
  Status last;
  bool maybe_written = false;
  for (int attempt = 0; attempt < kAttempts; attempt++) {
    auto secret = client_.get(kube::secrets(), key.ns, key.name);
    if (secret.code() == Code::kNotFound) {
      return Status(Code::kUnavailable, "Secret '" + key.name + "' is still to be made");
    }
    if (!secret.ok()) return secret.status();
    if (!owned_by(*secret, kube::metadata_text(user.object, "uid"))) {
      return Status(Code::kPolicyViolation, "Secret '" + key.name +
                                                "' belongs to something else; name another in "
                                                "spec.secretName of the StreamUser");
    }
    auto patch = scram_patch(*secret, change);
    const bool gone = patch.code() == Code::kNotFound && maybe_written;
    if (gone || (patch.ok() && patch->is_null())) {
      return kube::metadata_text(*secret, "resourceVersion");
    }
    if (!patch.ok()) return patch.status();
    auto written = client_.merge_patch(kube::secrets(), key, *patch);
    if (written.ok()) return kube::metadata_text(*written, "resourceVersion");
    last = written.status();
    if (!is_worth_another(last)) return last;
    maybe_written |= last.code() == Code::kTimeout;
  }
  return last;
}

Status KubeRequests::note_secret(KnownUser user, const std::string& version) const {
  const std::string resource = kube::metadata_text(user.object, "name");
  Status last;
  for (int attempt = 0; attempt < kAttempts; attempt++) {
    if (attempt > 0) {
      ASSIGN_OR_RETURN(user.object, client_.get(stream_users(), cluster_.ns, resource));
    }
    Json& noted = user.object["metadata"]["annotations"][kSecretVersion];
    if (noted == version) return {};
    noted = version;
    last = client_.replace(stream_users(), user.object).status();
    if (!is_worth_another(last)) return last;
  }
  return last;
}

}  // namespace sluice_operator::metadata
