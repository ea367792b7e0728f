// `sluice status`, `drain`, `undrain`, `restart`, `rebalance …`: day two of a cluster on Kubernetes. Each edits
// the StreamCluster and follows what the operator writes into its status; no broker is asked.
#include <algorithm>

#include "broker/cli/client.h"
#include "broker/cli/cluster_resource.h"
#include "broker/cli/commands.h"
#include "broker/cli/health.h"
#include "broker/cli/output.h"
#include "broker/cli/units.h"

namespace broker::cli {

namespace api = sluice_operator::api;
using Json = nlohmann::json;
using Ordered = nlohmann::ordered_json;

namespace {

// Those of the operators, in whatever namespaces they run; none where this user may not list them.
Result<std::vector<Json>> operator_leases(const Kubectl& kubectl) {
  ASSIGN_OR_RETURN(auto found, kubectl.run({"get", "leases.coordination.k8s.io", "--all-namespaces",
                                            "--field-selector=metadata.name=sluice-operator",
                                            "-o=json"}));
  if (found.exit_status != 0) {
    if (found.complaints.find("(Forbidden)") != std::string::npos) return std::vector<Json>();
    return Status(Code::kUnavailable, "kubectl: " + found.complaints);
  }
  const auto list = Json::parse(found.text, nullptr, false);
  if (!list.is_object()) return Status(Code::kUnavailable, "kubectl did not print a JSON object");
  return list.value("items", std::vector<Json>());
}

Result<int> status(const Arguments& arguments) {
  Kubectl kubectl(arguments);
  ASSIGN_OR_RETURN(auto objects,
                   kubectl.list("streamclusters.sluice.dev,streams.sluice.dev,shardmaps.sluice.dev"));
  auto health = health_of(objects);
  if (arguments.has("cluster")) {
    std::erase_if(health, [&](const auto& one) { return one.name != arguments.get("cluster"); });
  }
  if (health.empty()) {
    return Status(Code::kNotFound, arguments.has("cluster")
                                       ? "there is no StreamCluster '" + arguments.get("cluster") + "'"
                                       : "there is no StreamCluster; --all-namespaces looks further");
  }
  ASSIGN_OR_RETURN(auto leases, operator_leases(kubectl));
  tell_of_operators(leases, wall_ms(), health);
  if (arguments.json()) {
    print_json(to_json(health));
  } else {
    print(tree_text(health));
  }
  return std::all_of(health.begin(), health.end(), [](const auto& one) { return one.healthy(); })
             ? 0
             : 1;
}

Result<int32_t> broker_word(const Arguments& arguments, const api::StreamCluster& cluster) {
  auto id = parse_number(arguments.word(0), 0, INT32_MAX);
  if (!id.ok()) return id.status().with_context("the broker");
  if (*id >= cluster.spec.brokers) {
    return Status(Code::kInvalidArgument, "there is no broker " + std::to_string(*id) + ": '" +
                                              cluster.metadata.name + "' has 0 to " +
                                              std::to_string(cluster.spec.brokers - 1));
  }
  return static_cast<int32_t>(*id);
}

const api::BrokerState* state_of(const api::StreamCluster& cluster, int32_t id) {
  for (const auto& state : cluster.status.broker_states) {
    if (state.id == id) return &state;
  }
  return nullptr;
}

// Why the operator does not do what is asked; empty while it does.
std::string refusal(const api::StreamCluster& cluster) {
  const auto* degraded = api::find_condition(cluster.status.conditions, "Degraded");
  const bool refused = degraded && degraded->status == "True" && degraded->reason == "DrainRefused";
  return refused ? degraded->message : "";
}

std::string drain_line(const api::StreamCluster& cluster, int32_t id) {
  const auto* state = state_of(cluster, id);
  std::string line = "broker " + std::to_string(id) + ": " +
                     (state ? state->state + ", " + std::to_string(state->shards) + " replicas, " +
                                  std::to_string(state->leaders) + " leaders"
                            : "has no pod");
  const auto& moves = cluster.status.rebalance;
  return moves.message.empty() ? line : line + "; " + moves.message;
}

Result<int> tell(const Arguments& arguments, const ClusterResource& resource, int32_t id,
                 const std::string& done) {
  const auto* state = state_of(resource.cluster(), id);
  if (!arguments.json()) {
    if (!done.empty()) print(done + "\n");
    return 0;
  }
  print_json({{"cluster", resource.cluster().metadata.name},
              {"broker", id},
              {"drain", resource.cluster().spec.drain},
              {"state", state ? state->state : ""},
              {"replicas", state ? state->shards : 0},
              {"leaders", state ? state->leaders : 0}});
  return 0;
}

Result<int> drain(const Arguments& arguments) {
  ASSIGN_OR_RETURN(auto resource, ClusterResource::find(arguments));
  ASSIGN_OR_RETURN(int32_t id, broker_word(arguments, resource.cluster()));
  auto wanted = resource.cluster().spec.drain;
  if (std::find(wanted.begin(), wanted.end(), id) == wanted.end()) {
    wanted.push_back(id);
    std::sort(wanted.begin(), wanted.end());
    RETURN_IF_ERROR(resource.patch({{"spec", {{"drain", wanted}}}}));
  }
  RETURN_IF_ERROR(resource.wait(arguments, [&](const api::StreamCluster& now) {
    using Look = ClusterResource::Look;
    if (std::string why = refusal(now); !why.empty()) {
      return Result<Look>(Status(Code::kInvalidArgument,
                                 "refused: " + why + "; `sluice undrain " + std::to_string(id) +
                                     "` takes the wish back"));
    }
    const auto* state = state_of(now, id);
    return Result<Look>(Look{state && state->state == "Drained", drain_line(now, id)});
  }));
  return tell(arguments, resource, id,
              "broker " + std::to_string(id) + (waits(arguments) ? " is empty" : " is to be drained"));
}

Result<int> undrain(const Arguments& arguments) {
  ASSIGN_OR_RETURN(auto resource, ClusterResource::find(arguments));
  ASSIGN_OR_RETURN(int32_t id, broker_word(arguments, resource.cluster()));
  auto wanted = resource.cluster().spec.drain;
  if (std::erase(wanted, id) > 0) RETURN_IF_ERROR(resource.patch({{"spec", {{"drain", wanted}}}}));
  RETURN_IF_ERROR(resource.wait(arguments, [&](const api::StreamCluster& now) {
    const auto* state = state_of(now, id);
    const bool drains = state && (state->state == "Draining" || state->state == "Drained");
    return Result<ClusterResource::Look>(ClusterResource::Look{!drains, drain_line(now, id)});
  }));
  return tell(arguments, resource, id, "broker " + std::to_string(id) + " takes replicas again");
}

// ---- restart

// As `kubectl rollout restart` does: an annotation of the pods, whose change the operator rolls through.
constexpr const char* kRestartedAt = "kubectl.kubernetes.io/restartedAt";

Result<ClusterResource::Look> restart_look(const api::StreamCluster& now) {
  const auto& conditions = now.status.conditions;
  const auto* degraded = api::find_condition(conditions, "Degraded");
  if (degraded && degraded->status == "True" && degraded->reason == "RollStuck") {
    return Status(Code::kUnavailable, degraded->message);
  }
  const auto* ready = api::find_condition(conditions, "Ready");
  const auto* progressing = api::find_condition(conditions, "Progressing");
  const bool done = ready && ready->status == "True" && now.status.updated_brokers >= now.spec.brokers;
  return ClusterResource::Look{done, progressing ? progressing->message : ""};
}

Result<int> restart(const Arguments& arguments) {
  ASSIGN_OR_RETURN(auto resource, ClusterResource::find(arguments));
  const std::string now = api::rfc3339(wall_ms());
  RETURN_IF_ERROR(resource.patch({{"spec", {{"pod", {{"annotations", {{kRestartedAt, now}}}}}}}}));
  RETURN_IF_ERROR(resource.wait(arguments, restart_look));
  if (arguments.json()) {
    print_json({{"cluster", resource.cluster().metadata.name},
                {"restartedAt", now},
                {"updatedBrokers", resource.cluster().status.updated_brokers}});
  } else {
    print(waits(arguments) ? "every broker has been restarted\n" : "every broker is to be restarted\n");
  }
  return 0;
}

// ---- rebalance

const char* word(api::RebalancingMode mode) {
  return mode == api::RebalancingMode::kPropose ? "Propose" : "Automatic";
}

std::string mib(int64_t bytes) { return std::to_string(bytes >> 20) + " MiB"; }

std::string proposal_text(const api::RebalanceProposal& proposal, bool all) {
  constexpr size_t kMovesShown = 20;
  Table brokers({"BROKER", "REPLICAS", "AFTER", "BYTES", "AFTER"});
  for (const auto& load : proposal.brokers) {
    brokers.add({std::to_string(load.broker), std::to_string(load.replicas_before),
                 std::to_string(load.replicas_after), mib(load.bytes_before),
                 mib(load.bytes_after)});
  }
  Table moves({"STREAM", "SHARD", "FROM", "TO", "BYTES", "WHY"});
  for (size_t i = 0; i < proposal.moves.size() && (all || i < kMovesShown); ++i) {
    const auto& move = proposal.moves[i];
    moves.add({move.stream, std::to_string(move.shard), std::to_string(move.from),
               std::to_string(move.to), mib(move.bytes), move.reason});
  }
  std::string text = "proposal " + proposal.id + " of " + proposal.created_at + ": " +
                     proposal.state + ", " + std::to_string(proposal.moves.size()) +
                     " moves\n\n" + brokers.text() + "\n" + moves.text();
  if (!all && proposal.moves.size() > kMovesShown) {
    text += "… " + std::to_string(proposal.moves.size() - kMovesShown) + " more: --all\n";
  }
  if (proposal.state == "Proposed") text += "\nsluice rebalance approve " + proposal.id + "\n";
  return text;
}

std::string rebalance_text(const api::StreamCluster& cluster, bool all) {
  const auto& status = cluster.status;
  Table table({"BROKER", "STATE", "REPLICAS", "LEADERS", "BYTES"});
  for (const auto& state : status.broker_states) {
    table.add({std::to_string(state.id), state.state, std::to_string(state.shards),
               std::to_string(state.leaders), mib(state.bytes)});
  }
  std::string text = "mode " + std::string(word(cluster.spec.rebalancing.mode)) +
                     (cluster.spec.rebalancing.paused ? ", paused" : "") + "; " +
                     (status.rebalance.state.empty() ? "nothing is known yet" : status.rebalance.state) +
                     (status.rebalance.message.empty() ? "" : ": " + status.rebalance.message) +
                     "\n\n" + table.text();
  if (status.rebalance_proposal) text += "\n" + proposal_text(*status.rebalance_proposal, all);
  return text;
}

Ordered rebalance_json(const ClusterResource& resource) {
  const auto& spec = resource.cluster().spec.rebalancing;
  const Json status = resource.object().value("status", Json::object());
  return {{"cluster", resource.cluster().metadata.name},
          {"mode", word(spec.mode)},
          {"paused", spec.paused},
          {"brokers", status.value("brokerStates", Json::array())},
          {"rebalance", status.value("rebalance", Json::object())},
          {"proposal", status.value("rebalanceProposal", Json(nullptr))}};
}

Result<int> rebalance_show(const Arguments& arguments) {
  ASSIGN_OR_RETURN(auto resource, ClusterResource::find(arguments));
  if (arguments.json()) {
    print_json(rebalance_json(resource));
  } else {
    print(rebalance_text(resource.cluster(), arguments.has("all")));
  }
  return 0;
}

Result<int> rebalance_approve(const Arguments& arguments) {
  ASSIGN_OR_RETURN(auto resource, ClusterResource::find(arguments));
  const std::string& id = arguments.word(0);
  const auto& proposal = resource.cluster().status.rebalance_proposal;
  if (!proposal || proposal->id != id) {
    return Status(Code::kNotFound, "there is no proposal " + id + " (any more): " +
                                       (proposal ? "it is " + proposal->id + " now"
                                                 : std::string("nothing is proposed")) +
                                       "; look at it with `sluice rebalance`");
  }
  if (proposal->state == "Proposed") {
    RETURN_IF_ERROR(resource.patch(
        {{"metadata", {{"annotations", {{api::kApproveRebalanceAnnotation, id}}}}}}));
  }
  RETURN_IF_ERROR(resource.wait(arguments, [&](const api::StreamCluster& now) {
    using Look = ClusterResource::Look;
    const auto& current = now.status.rebalance_proposal;
    if (!current || current->id != id) return Result<Look>(Look{true, ""});
    std::string line = current->state;
    if (!now.status.rebalance.message.empty()) line += ": " + now.status.rebalance.message;
    if (now.spec.rebalancing.paused) line += "; paused, `sluice rebalance resume` lets it begin";
    return Result<Look>(Look{current->state == "Done", line});
  }));
  if (arguments.json()) {
    print_json(rebalance_json(resource));
  } else {
    print(rebalance_text(resource.cluster(), false));
  }
  return 0;
}

Result<int> set_rebalancing(const Arguments& arguments, const Json& fields) {
  ASSIGN_OR_RETURN(auto resource, ClusterResource::find(arguments));
  RETURN_IF_ERROR(resource.patch({{"spec", {{"rebalancing", fields}}}}));
  if (arguments.json()) {
    print_json(rebalance_json(resource));
  } else {
    print(rebalance_text(resource.cluster(), false));
  }
  return 0;
}

Result<int> rebalance_mode(const Arguments& arguments) {
  const std::string& mode = arguments.word(0);
  if (mode != "automatic" && mode != "propose") {
    return Status(Code::kInvalidArgument, "the mode is automatic or propose, not '" + mode + "'");
  }
  return set_rebalancing(arguments, {{"mode", mode == "propose" ? "Propose" : "Automatic"}});
}

std::vector<Option> with(std::vector<Option> options, const std::vector<Option>& more) {
  options.insert(options.end(), more.begin(), more.end());
  return options;
}

}  // namespace

std::vector<Command> day_two_commands() {
  const auto where = cluster_options(), waiting = with(cluster_options(), waiting_options());
  return {
      {"status", {}, "Show clusters, brokers and streams with their health; exit status 1 if unhealthy",
       with(where, {{"all-namespaces", "", "-A for short"}}),
       {"kubectl sluice status", "kubectl sluice status -A -o json"}, status},
      {"drain", {"BROKER"}, "Empty a broker, and keep it empty", waiting,
       {"kubectl sluice drain 2", "kubectl sluice drain 2 --no-wait"}, drain},
      {"undrain", {"BROKER"}, "Let a broker hold replicas again", waiting,
       {"kubectl sluice undrain 2"}, undrain},
      {"restart", {}, "Restart every broker, zone by zone, each when its shards can spare it", waiting,
       {"kubectl sluice restart", "kubectl sluice restart --cluster orders --no-wait"}, restart},
      {"rebalance", {}, "Show how even the cluster is, and what is proposed or under way",
       with(where, {{"all", "", "every move of the proposal"}}), {"kubectl sluice rebalance"},
       rebalance_show},
      {"rebalance approve", {"ID"}, "Let the proposed moves be made", waiting,
       {"kubectl sluice rebalance approve 1f2e3d4c"}, rebalance_approve},
      {"rebalance pause", {}, "Begin no move of a replica from now on", where,
       {"kubectl sluice rebalance pause"},
       [](const Arguments& a) { return set_rebalancing(a, {{"paused", true}}); }},
      {"rebalance resume", {}, "Let moves begin again", where, {"kubectl sluice rebalance resume"},
       [](const Arguments& a) { return set_rebalancing(a, {{"paused", false}}); }},
      {"rebalance mode", {"automatic|propose"}, "Whether moves that even the cluster out need approval",
       where, {"kubectl sluice rebalance mode propose"}, rebalance_mode}};
}

}  // namespace broker::cli
