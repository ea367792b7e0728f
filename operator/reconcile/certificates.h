#pragma once
// The operator's CA and the certificates from it, kept in Secrets: the CA and the coordinator's in
// the operator's namespace, a cluster's brokers' beside the cluster. Blocks; any thread.
#include <string>

#include "operator/api/stream_cluster.h"
#include "operator/certs/certs.h"
#include "operator/kube/client/client.h"

namespace sluice_operator::reconcile {

class Certificates {
 public:
  Certificates(kube::Client& client, broker::env::Clock& clock, std::string operator_namespace)
      : client_(client), clock_(clock), ns_(std::move(operator_namespace)) {}
  // Reads the CA, or makes it. Of two operators that make it at once, one wins and both use that.
  broker::Status load();
  const certs::KeyPair& ca() const { return ca_; }
  broker::Result<certs::KeyPair> issue(const std::vector<std::string>& dns_names) const;
  // Makes or renews the cluster's Secret NAME-tls; true when it was written. A Secret of that name
  // that is not this cluster's is left alone: kConflict.
  broker::Result<bool> ensure(const api::StreamCluster& cluster);

 private:
  kube::Client& client_;
  broker::env::Clock& clock_;
  const std::string ns_;
  certs::KeyPair ca_;
};

}  // namespace sluice_operator::reconcile
