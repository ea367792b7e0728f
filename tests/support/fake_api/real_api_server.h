#pragma once
// A real etcd and kube-apiserver on loopback, from the binaries in $SLUICE_KUBE_BIN, in a temporary
// folder; both end with this object. There are no controllers and no kubelets behind it.
#include <memory>
#include <string>

#include "operator/kube/client/config.h"

namespace sluice_tests {

class RealApiServer {
 public:
  // Null when SLUICE_KUBE_BIN is not set. Aborts when the servers do not come up.
  static std::unique_ptr<RealApiServer> start();
  ~RealApiServer();
  sluice_operator::kube::ClientConfig client_config() const;

 private:
  RealApiServer() = default;
  void wait_until_ready();
  std::string folder_;
  int etcd_ = -1;
  int api_server_ = -1;
  int port_ = 0;
};

}  // namespace sluice_tests
