#pragma once
// admission::World over the Kubernetes API. Blocks; any thread.
#include <atomic>

#include "operator/admission/review.h"
#include "operator/kube/client/client.h"

namespace sluice_operator::webhook {

class LiveWorld : public admission::World {
 public:
  explicit LiveWorld(kube::Client& client) : client_(client) {}
  broker::Result<std::optional<api::StreamCluster>> cluster(const std::string& ns,
                                                            const std::string& name) override;
  broker::Result<std::vector<api::Stream>> streams(const std::string& ns,
                                                   const std::string& cluster) override;
  broker::Result<std::vector<api::StreamUser>> users(const std::string& ns) override;
  broker::Result<admission::SecretOwner> secret(const std::string& ns,
                                                const std::string& name) override;

 private:
  kube::Client& client_;
  std::atomic<bool> selects_ = true;  // the server can look streams up by their cluster
};

}  // namespace sluice_operator::webhook
