#include "broker/cli/cluster_resource.h"

#include "broker/cli/client.h"
#include "broker/cli/output.h"
#include "operator/api/json.h"

namespace broker::cli {

namespace api = sluice_operator::api;

namespace {

constexpr const char* kKind = "streamclusters.sluice.dev";
constexpr int64_t kLookMs = 1000;

Result<nlohmann::json> fetch(const Kubectl& kubectl, const Arguments& arguments) {
  if (arguments.has("cluster")) return kubectl.json({"get", kKind, arguments.get("cluster")});
  ASSIGN_OR_RETURN(auto all, kubectl.list(kKind));
  if (all.empty()) {
    return Status(Code::kNotFound,
                  "there is no StreamCluster in this namespace; --namespace names another");
  }
  if (all.size() == 1) return std::move(all.front());
  std::string names;
  for (const auto& one : all) {
    names += (names.empty() ? "" : ", ") + one["metadata"].value("name", std::string());
  }
  return Status(Code::kInvalidArgument,
                "there are several StreamClusters: " + names + "; --cluster names one");
}

}  // namespace

std::vector<Option> cluster_options() {
  auto options = Kubectl::options();
  options.insert(options.begin(),
                 {"cluster", "NAME", "the StreamCluster (default: the only one of the namespace)"});
  return options;
}

std::vector<Option> waiting_options() {
  return {{"no-wait", "", "return when the wish is written"},
          {"wait", "", "return when it is done: the default, and stronger than --no-wait"},
          {"timeout", "TIME", "how long to wait (default 1h)"}};
}

bool waits(const Arguments& arguments) {
  return arguments.has("wait") || !arguments.has("no-wait");
}

Result<ClusterResource> ClusterResource::find(const Arguments& arguments) {
  Kubectl kubectl(arguments);
  ASSIGN_OR_RETURN(auto object, fetch(kubectl, arguments));
  ASSIGN_OR_RETURN(auto cluster, api::read_stream_cluster(object));
  return ClusterResource(std::move(kubectl), std::move(object), std::move(cluster));
}

Status ClusterResource::reload() {
  ASSIGN_OR_RETURN(object_, kubectl_.json({"get", kKind, cluster_.metadata.name, "--namespace",
                                           cluster_.metadata.ns}));
  ASSIGN_OR_RETURN(cluster_, api::read_stream_cluster(object_));
  return {};
}

Status ClusterResource::patch(nlohmann::json patch) {
  constexpr int kTries = 20;
  for (int tries = 1;; ++tries) {
    patch["metadata"]["resourceVersion"] = cluster_.metadata.resource_version;
    ASSIGN_OR_RETURN(auto output,
                     kubectl_.run({"patch", kKind, cluster_.metadata.name, "--namespace",
                                   cluster_.metadata.ns, "--type=merge", "-p", patch.dump()}));
    if (output.exit_status == 0) return reload();
    const bool conflict =
        output.complaints.find("Conflict") != std::string::npos ||
        output.complaints.find("the object has been modified") != std::string::npos;
    if (!conflict) return Status(Code::kUnavailable, "kubectl: " + output.complaints);
    // The operator writes the status all the time: what was decided on the spec still holds.
    const int64_t generation = cluster_.metadata.generation;
    RETURN_IF_ERROR(reload());
    if (cluster_.metadata.generation != generation || tries == kTries) {
      return Status(Code::kConflict, "kubectl: " + output.complaints);
    }
  }
}

Status ClusterResource::wait(
    const Arguments& arguments,
    const std::function<Result<Look>(const api::StreamCluster&)>& look) {
  if (!waits(arguments)) return {};
  ASSIGN_OR_RETURN(int64_t timeout_ms, arguments.duration_ms("timeout", 3'600'000));
  const int64_t deadline_ms = mono_ms() + timeout_ms;
  std::string shown;
  while (true) {
    // Until the operator has looked at the edit, its status is about something else.
    if (cluster_.status.observed_generation >= cluster_.metadata.generation) {
      ASSIGN_OR_RETURN(Look now, look(cluster_));
      if (!now.line.empty() && now.line != shown && !arguments.json()) print(now.line + "\n");
      shown = now.line;
      if (now.done) return {};
    }
    if (mono_ms() >= deadline_ms) {
      return Status(Code::kTimeout, "not done after " + std::to_string(timeout_ms / 1000) +
                                        " s; it goes on" + (shown.empty() ? "" : ": " + shown));
    }
    sleep_ms(kLookMs);
    RETURN_IF_ERROR(reload());
  }
}

}  // namespace broker::cli
