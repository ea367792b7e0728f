#pragma once
// Kubernetes through the user's own kubectl: its contexts, its credentials, its plugins for them. Used
// by the commands that look at resources or edit them. Blocks; every process ends with its call, or
// with its PortForward.
#include <sys/types.h>

#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "broker/base/status.h"
#include "broker/cli/arguments.h"

namespace broker::cli {

class Kubectl {
 public:
  struct Output {
    int exit_status = 0;
    std::string text, complaints;  // standard output, standard error
  };

  // --namespace, --all-namespaces, --context and --kubeconfig of the command line, where given.
  explicit Kubectl(const Arguments& arguments);
  static std::vector<Option> options();

  // kUnavailable when kubectl cannot be run at all; whatever it says itself is in the output.
  Result<Output> run(std::vector<std::string> words) const;
  // Its standard output; kUnavailable with kubectl's own words when it fails.
  Result<std::string> text(std::vector<std::string> words) const;
  Result<nlohmann::json> json(std::vector<std::string> words) const;
  // The items of a list; every namespace with --all-namespaces. `kinds` as in "streams,shardmaps".
  Result<std::vector<nlohmann::json>> list(const std::string& kinds) const;

  bool everywhere() const { return everywhere_; }

 private:
  friend class PortForward;
  std::vector<std::string> command(std::vector<std::string> words) const;
  std::vector<std::string> flags_;
  bool everywhere_ = false;
};

// A tunnel to a port of a pod or Service, as long as this lives.
class PortForward {
 public:
  static Result<PortForward> open(const Kubectl& kubectl, const std::string& target, int port);
  PortForward(PortForward&& other) noexcept;
  PortForward& operator=(PortForward&&) = delete;
  ~PortForward();
  // "127.0.0.1:40123"
  const std::string& address() const { return address_; }

 private:
  PortForward(pid_t pid, std::string address) : pid_(pid), address_(std::move(address)) {}
  pid_t pid_;
  std::string address_;
};

}  // namespace broker::cli
