#pragma once
// PURE but for World: an AdmissionReview of the API server (admission.k8s.io/v1) in, its answer out.
// Called by the webhook for every StreamCluster, Stream and StreamUser that is created or updated.
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "broker/base/status.h"
#include "operator/admission/decide.h"

namespace sluice_operator::admission {

// The other resources that a decision needs, as they are now.
class World {
 public:
  virtual ~World() = default;
  virtual broker::Result<std::optional<api::StreamCluster>> cluster(const std::string& ns,
                                                                    const std::string& name) = 0;
  // Of one cluster at least; there may be others among them.
  virtual broker::Result<std::vector<api::Stream>> streams(const std::string& ns,
                                                           const std::string& cluster) = 0;
  virtual broker::Result<std::vector<api::StreamUser>> users(const std::string& ns) = 0;
  virtual broker::Result<SecretOwner> secret(const std::string& ns, const std::string& name) = 0;
};

// kInvalidArgument: it is no review that we understand. Anything else that fails is a world that could
// not be asked: nothing has been decided, and the configuration's failurePolicy says what that means.
broker::Result<nlohmann::json> review(const nlohmann::json& request, World& world);

}  // namespace sluice_operator::admission
