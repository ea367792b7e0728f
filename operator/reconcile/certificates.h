#pragma once
// The operator's CA, and the certificates of each cluster, kept in Secrets:
//   sluice-ca         (the operator's namespace) the CA of brokers and operator, and its rotation
//   NAME-tls          what a cluster's brokers show each other, the operator, and clients by default
//   NAME-client-tls   with a TLS listener: what they show clients, and whose certificates they take
//   NAME-clients-ca   the CA of StreamUsers' certificates, where the cluster names none of its own
// It is another CA than the operator's: a user's certificate opens no door between brokers.
// Blocks; any thread.
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>

#include "operator/api/stream_cluster.h"
#include "operator/reconcile/authority_secret.h"

namespace sluice_operator::reconcile {

struct CertificateView {
  std::string name;  // brokers | listeners | clients-ca
  int64_t ends_s = 0;
};

// What brokers are to have: SHA-256 of each file, as they report them.
struct BrokerFiles {
  std::string ca, cert, client_ca, client_cert;
};

struct ClusterCertificates {
  std::vector<CertificateView> list;
  std::string reason, problem;  // what is wrong with one; empty: nothing
  BrokerFiles files;
  std::string authority_version;          // of the operator's CA that they come from
  bool ca_replaced = false;               // now, by another that brokers have never heard of
  std::optional<AuthorityState> clients;  // the clients' CA, where the operator made it
};

// What a StreamUser's certificate comes from, and what its client is to trust.
struct ClientIssuer {
  std::string server_ca;    // PEM; empty: a public authority
  certs::KeyPair ca;        // empty key: nothing can be issued, and `problem` says why
  bool trusted = false;     // every broker takes certificates of it
  std::string problem;
};

// How far a cluster is with the operator's CA of `version`.
struct RotationProgress {
  std::string version;
  bool trusted = false, reissued = false;
  std::string waits_for;
};

// No StreamUser of the cluster has a certificate of another CA than this one (PEM).
using UsersReissued = std::function<bool(const std::string& ca)>;

class Certificates {
 public:
  // The brokers' Secret of a cluster is read again after so long, or when something else of it changes:
  // to watch Secrets would take the right to read all of a namespace.
  static constexpr int64_t kLookAgainMs = 300'000;
  Certificates(kube::Client& client, broker::env::Clock& clock, std::string operator_namespace,
               int64_t look_again_ms = kLookAgainMs)
      : client_(client), clock_(clock), ns_(std::move(operator_namespace)),
        look_again_ms_(look_again_ms) {}
  // Reads the CA, or makes it; again whenever it may have changed.
  broker::Status load();
  broker::Status advance(certs::RotationStep step);
  AuthorityState authority() const;
  kube::ObjectKey authority_key() const { return {ns_, "sluice-ca"}; }
  broker::Result<certs::KeyPair> issue(const std::vector<std::string>& hosts) const;

  // Makes or renews the cluster's Secrets. `hosts`: what clients reach the brokers by from outside.
  // A Secret of such a name that is not this cluster's is left alone: kAlreadyExists.
  broker::Result<ClusterCertificates> ensure(const api::StreamCluster& cluster,
                                             const std::vector<std::string>& hosts,
                                             const UsersReissued& users_reissued);
  // Takes the clients' CA further.
  broker::Status advance_clients(const api::StreamCluster& cluster, const AuthorityState& from,
                                 certs::RotationStep step);

  // From the cluster's pass: whether every broker has what it is to have.
  void tell(const kube::ObjectKey& cluster, RotationProgress progress, bool clients_trusted);
  std::optional<RotationProgress> progress(const kube::ObjectKey& cluster) const;
  // Nothing before the cluster's first pass.
  std::optional<ClientIssuer> issuer(const kube::ObjectKey& cluster) const;
  void forget(const kube::ObjectKey& cluster);
  // A pod of the cluster cannot start yet, perhaps since somebody deleted its Secret: that is read again
  // at the next pass, at most once a second.
  void look_soon(const kube::ObjectKey& cluster);

 private:
  struct ListenerTls;
  // What a cluster's Secret for brokers was when it was last looked at.
  struct Kept {
    std::string uid, authority_version;
    BrokerFiles files;
    int64_t ends_s = 0;
    int64_t read_ms = 0, good_until_ms = 0;
  };
  // The CA of a cluster's clients when it was last read: written back where its Secret is deleted.
  struct ClientsCa {
    std::string uid;
    certs::Authority authority;
  };
  std::optional<Kept> kept(const api::StreamCluster& cluster, const AuthorityState& from) const;
  int64_t now_s() const { return clock_.wall_ms() / 1000; }
  broker::Status keep_broker_secret(const api::StreamCluster& cluster, const AuthorityState& from,
                                    ClusterCertificates& out);
  broker::Status keep_listener_secret(const api::StreamCluster& cluster,
                                      const AuthorityState& from,
                                      const std::vector<std::string>& hosts,
                                      const UsersReissued& users_reissued,
                                      ClusterCertificates& out);
  certs::Authority clients_ca_before(const api::StreamCluster& cluster) const;
  broker::Status choose_clients_ca(const api::StreamCluster& cluster,
                                   const UsersReissued& users_reissued, const kube::Json& live,
                                   ListenerTls& tls, ClusterCertificates& out);
  broker::Status choose_certificate(const api::StreamCluster& cluster, const AuthorityState& from,
                                    const std::vector<std::string>& hosts, const kube::Json& live,
                                    ListenerTls& tls, ClusterCertificates& out);
  broker::Result<std::optional<certs::KeyPair>> theirs(const api::StreamCluster& cluster,
                                                       const char* field,
                                                       const std::string& secret, bool authority,
                                                       std::string& ca,
                                                       ClusterCertificates& out);

  kube::Client& client_;
  broker::env::Clock& clock_;
  const std::string ns_;
  const int64_t look_again_ms_;
  mutable std::mutex mutex_;
  AuthorityState authority_;
  std::map<kube::ObjectKey, RotationProgress> progress_;
  std::map<kube::ObjectKey, ClientIssuer> issuers_;
  std::map<kube::ObjectKey, Kept> kept_;
  std::map<kube::ObjectKey, ClientsCa> clients_cas_;
  // Clusters whose brokers were left with a CA that is lost, until all of them have the other.
  std::set<kube::ObjectKey> left_behind_;
};

}  // namespace sluice_operator::reconcile
