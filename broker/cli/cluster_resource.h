#pragma once
// The StreamCluster that a command is about, and how it is edited and watched. Used by the commands
// that act through Kubernetes; blocks.
#include <functional>

#include <nlohmann/json.hpp>

#include "broker/cli/kubectl.h"
#include "operator/api/stream_cluster.h"

namespace broker::cli {

// --cluster, and the options of Kubectl.
std::vector<Option> cluster_options();

class ClusterResource {
 public:
  // The one that --cluster names, else the only one of the namespace.
  static Result<ClusterResource> find(const Arguments& arguments);

  const nlohmann::json& object() const { return object_; }
  const sluice_operator::api::StreamCluster& cluster() const { return cluster_; }
  const Kubectl& kubectl() const { return kubectl_; }

  // A merge patch of what was read last: kConflict when somebody has edited it since.
  Status patch(nlohmann::json patch);
  Status reload();

  // Until `done` says so, or fails, a look a second; what changes in its line is printed. kTimeout
  // after --timeout. Nothing is waited for with --no-wait.
  struct Look {
    bool done = false;
    std::string line;
  };
  Status wait(const Arguments& arguments,
              const std::function<Result<Look>(const sluice_operator::api::StreamCluster&)>& look);

 private:
  ClusterResource(Kubectl kubectl, nlohmann::json object,
                  sluice_operator::api::StreamCluster cluster)
      : kubectl_(std::move(kubectl)), object_(std::move(object)), cluster_(std::move(cluster)) {}
  Kubectl kubectl_;
  nlohmann::json object_;
  sluice_operator::api::StreamCluster cluster_;
};

// --no-wait, --wait, --timeout
std::vector<Option> waiting_options();
bool waits(const Arguments& arguments);

}  // namespace broker::cli
