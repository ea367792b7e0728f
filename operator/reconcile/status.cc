#include "operator/reconcile/status.h"

#include <algorithm>

#include "operator/plan/stream_cluster.h"

namespace sluice_operator::reconcile {

namespace v1 = ::sluice::v1;

namespace {

const broker::coordination::BrokerView* broker_view(const ClusterView& view, int32_t id) {
  for (const auto& broker : view.brokers) {
    if (broker.broker.id() == id) return &broker;
  }
  return nullptr;
}

api::BrokerState broker_state(const PodView& pod, const ClusterSight& sight) {
  api::BrokerState state;
  state.id = pod.broker;
  state.pod = pod.name;
  state.node = pod.node;
  state.zone = pod.zone;
  const auto* seen = broker_view(sight.view, pod.broker);
  bool connected = seen && seen->broker.alive();
  state.ready = pod.ready && connected;
  state.shards = seen ? seen->replicas : 0;
  state.leaders = seen ? seen->leaders : 0;
  bool draining = std::find(sight.draining.begin(), sight.draining.end(), pod.broker) !=
                  sight.draining.end();
  if (draining) {
    state.state = state.shards == 0 ? "Drained" : "Draining";
  } else {
    state.state = connected ? "Running" : "Down";
  }
  return state;
}

api::Condition condition(const api::StreamCluster& cluster, const char* type, bool holds,
                         std::string reason, std::string message) {
  return {type, holds ? "True" : "False", std::move(reason), std::move(message), "",
          cluster.metadata.generation};
}

void set_conditions(api::StreamClusterStatus& status, const api::StreamCluster& cluster,
                    const ClusterSight& sight, const std::string& now) {
  int32_t wanted = cluster.spec.brokers;
  bool all_ready = status.ready_brokers >= wanted && sight.replicas == wanted &&
                   status.updated_brokers >= wanted;
  std::string waiting;
  for (const auto& pod : sight.pods) {
    if (!pod.waiting.empty()) waiting = pod.name + ": " + pod.waiting;
  }
  std::string counts = std::to_string(status.ready_brokers) + " of " + std::to_string(wanted) +
                       " brokers are ready";
  std::string problem = !sight.problem.empty() ? sight.problem : sight.view.load_error;
  auto set = [&](api::Condition next) { api::set_condition(status.conditions, next, now); };
  set(condition(cluster, "Ready", all_ready && problem.empty(),
                !problem.empty() ? "Failed" : all_ready ? "AllBrokersReady" : "BrokersNotReady",
                !problem.empty() ? problem : waiting.empty() ? counts : counts + "; " + waiting));
  bool moving = sight.view.moves_in_flight > 0 || sight.view.moves_planned > 0;
  bool progressing = !all_ready || moving;
  set(condition(cluster, "Progressing", progressing,
                !sight.draining.empty() ? "Draining" : moving      ? "Rebalancing"
                                          : progressing ? "StartingBrokers"
                                                        : "Settled",
                status.rebalance.message.empty() ? counts : status.rebalance.message));
  bool degraded = !problem.empty() || !waiting.empty();
  set(condition(cluster, "Degraded", degraded, degraded ? "NeedsAttention" : "Healthy",
                degraded ? (problem.empty() ? waiting : problem) : "nothing is broken"));
}

void set_rebalance(api::StreamClusterStatus& status, const api::StreamCluster& cluster,
                   const ClusterSight& sight, const std::string& now) {
  const auto& before = cluster.status.rebalance;
  auto& next = status.rebalance;
  next = before;
  int left = sight.view.moves_in_flight + sight.view.moves_planned;
  int drain_left = 0;
  std::string blocked;
  for (const auto& [id, progress] : sight.view.draining) {
    drain_left += progress.replicas_left;
    if (!progress.blocked.empty()) {
      blocked = "broker " + std::to_string(id) + ": " + progress.blocked;
    }
  }
  left = std::max(left, drain_left);
  if (left == 0) {
    if (before.state == "Running" || before.state == "Blocked") {
      next.finished_at = now;
      next.moves_done = next.moves_total;
    }
    next.state = "Idle";
    next.message.clear();
    return;
  }
  if (before.state != "Running" && before.state != "Blocked") {
    next.started_at = now;
    next.finished_at.clear();
    next.moves_total = 0;
    next.moves_done = 0;
  }
  next.state = blocked.empty() ? "Running" : "Blocked";
  next.reason = drain_left > 0 ? "BrokerDraining" : "Imbalance";
  next.moves_total = std::max(next.moves_total, left);
  next.moves_done = next.moves_total - left;
  next.message = blocked.empty() ? std::to_string(left) + " replicas left to move" : blocked;
}

}  // namespace

bool drained(const ClusterView& view, const std::vector<int32_t>& draining) {
  return view.loaded && std::all_of(draining.begin(), draining.end(), [&](int32_t id) {
           auto it = view.draining.find(id);
           return it != view.draining.end() && it->second.replicas_left == 0 &&
                  it->second.leaders_left == 0;
         });
}

api::StreamClusterStatus cluster_status(const api::StreamCluster& cluster,
                                        const ClusterSight& sight, const std::string& now) {
  api::StreamClusterStatus status = cluster.status;
  status.observed_generation = cluster.metadata.generation;
  status.brokers = sight.replicas;
  status.selector = plan::broker_selector(cluster.metadata.name);
  status.broker_states.clear();
  status.ready_brokers = status.updated_brokers = 0;
  for (const auto& pod : sight.pods) {
    status.broker_states.push_back(broker_state(pod, sight));
    status.ready_brokers += status.broker_states.back().ready;
    status.updated_brokers += pod.updated;
  }
  for (const auto& broker : sight.view.brokers) {
    if (!broker.broker.version().empty()) status.version = broker.broker.version();
  }
  set_rebalance(status, cluster, sight, now);
  set_conditions(status, cluster, sight, now);
  return status;
}

api::StreamStatus stream_status(const api::Stream& stream, const StreamView& view,
                                const std::string& now) {
  api::StreamStatus status = stream.status;
  status.observed_generation = stream.metadata.generation;
  status.stream_id = view.known ? view.map.stream_id() : "";
  status.open_shards = status.closed_shards = 0;
  int leaderless = 0;
  bool resharding = false;
  for (const auto& shard : view.map.shards()) {
    bool open = shard.state() != v1::SHARD_STATE_CLOSED;
    (open ? status.open_shards : status.closed_shards)++;
    leaderless += open && !shard.has_leader();
    resharding |= shard.state() == v1::SHARD_STATE_SEALING;
  }
  bool ready = view.known && view.problem.empty() && status.open_shards > 0 && leaderless == 0;
  std::string reason = !view.problem.empty() ? "Invalid"
                       : !view.known         ? "Creating"
                       : leaderless > 0      ? "ShardsWithoutLeader"
                                             : "AllShardsServe";
  std::string message = !view.problem.empty() ? view.problem
                        : !view.known         ? "its shards are being made"
                        : leaderless > 0 ? std::to_string(leaderless) + " shards have no leader"
                                         : "every open shard has a leader";
  api::set_condition(status.conditions,
                     {"Ready", ready ? "True" : "False", reason, message, "",
                      stream.metadata.generation},
                     now);
  api::set_condition(status.conditions,
                     {"Scaling", resharding ? "True" : "False", resharding ? "Resharding" : "Steady",
                      resharding ? "a split or merge is under way" : "the shards are as they are",
                      "", stream.metadata.generation},
                     now);
  // What an earlier operator decided stays below what this one has.
  if (!view.decisions.empty()) {
    std::vector<api::Decision> all = view.decisions;
    for (const auto& old : stream.status.decisions) {
      if (old.time < view.decisions.back().time) all.push_back(old);
    }
    if (all.size() > api::StreamStatus::kDecisionsMax) all.resize(api::StreamStatus::kDecisionsMax);
    status.decisions = std::move(all);
  }
  return status;
}

}  // namespace sluice_operator::reconcile
