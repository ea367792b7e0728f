#pragma once
// Reconciles StreamUsers: keeps each one's credentials in a Secret of its own, hands the cluster's
// coordinator the verifiers, rights and quotas, writes status. A password is read from Secrets and
// goes no further than this file: brokers get verifiers. A password that a Kafka client has set
// (metadata/user_scram.h) is the client's until the Secret is deleted or spec.passwordFrom names
// another; none is made meanwhile. Access keys go to the brokers, which cannot check a signature
// without. On the controller's threads.
#include <map>
#include <mutex>
#include <string>

#include "operator/api/stream_user.h"
#include "operator/kube/cache/cache.h"
#include "operator/reconcile/certificates.h"
#include "operator/reconcile/clusters.h"
#include "operator/runtime/reconciler.h"

namespace sluice_operator::reconcile {

class StreamUserReconciler : public runtime::Reconciler {
 public:
  StreamUserReconciler(kube::Client& client, broker::env::Clock& clock, kube::Cache& users,
                       kube::Cache& clusters, Clusters& coordinators, Certificates& certificates)
      : client_(client),
        clock_(clock),
        users_(users),
        clusters_(clusters),
        coordinators_(coordinators),
        certificates_(certificates) {}
  runtime::Outcome reconcile(const runtime::Key& key) override;

 private:
  struct Credentials {
    std::string password;                         // of SCRAM
    std::optional<std::vector<sluice::v1::ScramCredential>> of_clients;  // or what clients have set
    std::string access_key_id, secret_access_key;  // or these; neither with a certificate
    std::string version;  // of the Secret that they come from
  };
  using Entries = std::map<std::string, std::string>;  // of a Secret
  struct Problem {
    std::string reason, message;
  };
  // What a pass finds out.
  struct Served {
    Problem problem;
    bool settled = true;  // else there is something to wait for
    std::string certificate_expires_at, certificate_issuer;
  };
  // What keeps the user from being served; empty when nothing does.
  Problem check(const api::StreamUser& user) const;
  // A certificate's part is what serve_certificate() keeps.
  broker::Result<Credentials> credentials_of(const api::StreamUser& user);
  broker::Result<Credentials> given_password(const api::StreamUser& user);
  broker::Result<Credentials> own_password(const api::StreamUser& user);
  broker::Result<Credentials> own_access_key(const api::StreamUser& user);
  // The user's Secret as it is, null when there is none; kAlreadyExists when it is another's.
  broker::Result<nlohmann::json> own_secret(const api::StreamUser& user);
  // Without a password: of a user whose password nobody here knows.
  Entries password_entries(const api::StreamUser& user, const std::string& password,
                           const nlohmann::json& live) const;
  // Takes what there is under the keys out of the user's Secret; kConflict: it has changed.
  broker::Status drop_entries(const api::StreamUser& user, const nlohmann::json& live,
                              const std::vector<const char*>& keys);
  // Makes or renews the user's certificate.
  broker::Status serve_certificate(const api::StreamUser& user, Served& served);
  broker::Status serve(const api::StreamUser& user, Served& served);
  // Of kube's codes: what the user must hear of; empty: the pass is to be tried again.
  static Problem problem_of(const broker::Status& status);
  broker::Status keep_secret(const api::StreamUser& user, const nlohmann::json& live,
                             const Entries& wanted);
  void add_verifiers(const api::StreamUser& user, const Credentials& credentials,
                     sluice::v1::User& out);
  sluice::v1::User message_of(const api::StreamUser& user, const Credentials& credentials);
  broker::Status write_status(const api::StreamUser& user, const nlohmann::json& object,
                              const Served& served);

  kube::Client& client_;
  broker::env::Clock& clock_;
  kube::Cache& users_;
  kube::Cache& clusters_;
  Clusters& coordinators_;
  Certificates& certificates_;
  std::mutex mutex_;
  // Verifiers cost milliseconds: kept by the user's uid while the password's Secret stays.
  struct Verifiers {
    std::string version;
    std::vector<sluice::v1::ScramCredential> list;
  };
  std::map<std::string, Verifiers> verifiers_;
};

}  // namespace sluice_operator::reconcile
