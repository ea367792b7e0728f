// `sluice cluster diff`: the API server says what an edit would be stored as (its defaults, its rules,
// the admission webhook: a dry run), the operator's planner what it would do.
#include <sstream>

#include "broker/cli/cluster_diff.h"
#include "broker/cli/commands.h"
#include "broker/cli/kubectl.h"
#include "broker/cli/output.h"
#include "operator/api/json.h"
#include "operator/plan/stream_cluster.h"

namespace broker::cli {

namespace api = sluice_operator::api;
namespace plan = sluice_operator::plan;
using Json = nlohmann::json;

namespace {

// The StreamClusters among what `kubectl -o json` printed: one object, or a list.
std::vector<Json> clusters_in(const Json& printed) {
  std::vector<Json> out;
  const Json items = printed.contains("items") ? printed["items"] : Json::array({printed});
  for (const auto& item : items) {
    if (item.value("kind", std::string()) == "StreamCluster") out.push_back(item);
  }
  return out;
}

Result<Json> get_if_there(const Kubectl& kubectl, std::vector<std::string> words) {
  words.insert(words.end(), {"--ignore-not-found", "-o", "json"});
  ASSIGN_OR_RETURN(std::string text, kubectl.text(std::move(words)));
  if (text.find_first_not_of(" \n") == std::string::npos) return Json();
  auto object = Json::parse(text, nullptr, false);
  if (object.is_object()) return object;
  return Status(Code::kUnavailable, "kubectl did not print a JSON object");
}

Result<ClusterDiff> diff_one(const Kubectl& kubectl, const Json& edited) {
  DiffInput input;
  ASSIGN_OR_RETURN(input.edited, api::read_stream_cluster(edited));
  const std::string& ns = input.edited.metadata.ns;
  const std::string& name = input.edited.metadata.name;
  ASSIGN_OR_RETURN(Json live,
                   get_if_there(kubectl, {"get", "streamclusters.sluice.dev", name, "-n", ns}));
  if (live.is_null()) {
    return Status(Code::kNotFound, "there is no StreamCluster " + ns + "/" + name +
                                       " yet: everything of it would be new");
  }
  ASSIGN_OR_RETURN(input.live, api::read_stream_cluster(live));
  ASSIGN_OR_RETURN(input.stateful_set, get_if_there(kubectl, {"get", "statefulset", name, "-n", ns}));
  ASSIGN_OR_RETURN(auto pods, kubectl.json({"get", "pods", "-n", ns, "-l", plan::broker_selector(name)}));
  for (auto& pod : pods["items"]) input.pods.push_back(std::move(pod));
  ASSIGN_OR_RETURN(auto streams, kubectl.json({"get", "streams.sluice.dev", "-n", ns}));
  for (const auto& object : streams["items"]) {
    auto stream = api::read_stream(object);
    if (stream.ok()) input.streams.push_back(std::move(*stream));
  }
  return diff_clusters(input);
}

// What the API server answers to an edit that it would not take, without kubectl's own remarks.
std::string refusal_of(const std::string& complaints) {
  std::string out, line;
  for (std::istringstream lines(complaints); std::getline(lines, line);) {
    if (line.starts_with("Warning: resource ")) continue;
    out += (out.empty() ? "" : "\n") + line;
  }
  return out;
}

Result<int> diff(const Arguments& arguments) {
  if (!arguments.has("file")) {
    return Status(Code::kInvalidArgument, "-f FILE is missing: the edited StreamCluster");
  }
  Kubectl kubectl(arguments);
  ASSIGN_OR_RETURN(auto tried, kubectl.run({"apply", "--dry-run=server", "-f", arguments.get("file"),
                                            "-o", "json"}));
  if (tried.exit_status != 0) {
    ClusterDiff refused;
    refused.refusals.push_back(refusal_of(tried.complaints));
    if (arguments.json()) {
      print_json(to_json(refused));
    } else {
      print("✘ refused: " + refused.refusals[0] + "\n");
    }
    return 1;
  }
  auto printed = Json::parse(tried.text, nullptr, false);
  auto clusters = printed.is_object() ? clusters_in(printed) : std::vector<Json>();
  if (clusters.empty()) {
    return Status(Code::kInvalidArgument,
                  "there is no StreamCluster in '" + arguments.get("file") + "'");
  }
  bool refused = false;
  for (const auto& edited : clusters) {
    ASSIGN_OR_RETURN(ClusterDiff difference, diff_one(kubectl, edited));
    refused = refused || !difference.refusals.empty();
    if (arguments.json()) {
      print_json(to_json(difference));
    } else {
      if (clusters.size() > 1) print(edited["metadata"].value("name", std::string()) + "\n");
      print(diff_text(difference));
    }
  }
  return refused ? 1 : 0;
}

}  // namespace

std::vector<Command> diff_commands() {
  auto options = Kubectl::options();
  options.insert(options.begin(), {"file", "FILE", "-f for short: the edited StreamCluster, as for "
                                                   "kubectl apply; - for standard input"});
  return {{"cluster diff",
           {},
           "Show what an edit of a StreamCluster would change, restart, or be refused; status 1 if refused",
           options,
           {"kubectl sluice cluster diff -f cluster.yaml"},
           diff}};
}

}  // namespace broker::cli
