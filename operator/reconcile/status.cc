#include "operator/reconcile/status.h"

#include <algorithm>
#include <cstdio>

#include "operator/autoscale/brokers.h"
#include "operator/plan/stream_cluster.h"
#include "operator/reconcile/metering_status.h"
#include "operator/reconcile/proposal.h"

namespace sluice_operator::reconcile {

namespace v1 = ::sluice::v1;

namespace {

const broker::coordination::BrokerView* broker_view(const ClusterView& view, int32_t id) {
  for (const auto& broker : view.brokers) {
    if (broker.broker.id() == id) return &broker;
  }
  return nullptr;
}

bool lists(const std::vector<int32_t>& ids, int32_t id) {
  return std::find(ids.begin(), ids.end(), id) != ids.end();
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
  state.directory = seen ? seen->broker.directory() : "";
  state.updated = pod.hash == sight.wanted_hash;
  if (sight.view.draining.count(pod.broker)) {
    state.state = state.shards == 0 ? "Drained" : "Draining";
  } else {
    state.state = connected ? "Running" : "Down";
  }
  return state;
}

// Bytes grow all the time; told as they were until they differ by a part that somebody would notice.
int64_t bytes_to_tell(const api::StreamCluster& cluster, const ClusterSight& sight, int32_t id) {
  const auto* seen = broker_view(sight.view, id);
  const int64_t now = seen ? seen->bytes : 0;
  for (const auto& before : cluster.status.broker_states) {
    if (before.id != id) continue;
    const int64_t change = std::max(now, before.bytes) - std::min(now, before.bytes);
    return change < std::max<int64_t>(before.bytes / 10, 64 << 20) ? before.bytes : now;
  }
  return now;
}

struct Picture {
  bool brokers_ready = false;
  std::string counts;   // "2 of 3 brokers are ready"
  std::string waiting;  // what some pod waits for
  std::string problem;
};

// For how long not every broker has been ready.
int64_t unready_ms(const api::StreamCluster& cluster, const std::string& now) {
  const auto* ready = api::find_condition(cluster.status.conditions, "Ready");
  if (!ready || ready->status == "True") return 0;
  return api::rfc3339_ms(now) - api::rfc3339_ms(ready->last_transition_time);
}

// Why a pod that should serve does not; empty where there is nothing that somebody should look at. What
// only takes its time is none.
std::string trouble_of(const PodView& pod, bool for_long) {
  if (pod.ready) return "";
  if (!pod.lost.empty()) return pod.lost;
  if (!pod.broken.empty()) return pod.broken;
  if (!pod.creating || !for_long) return "";
  return "its container cannot be created: see `kubectl describe pod " + pod.name + "`";
}

std::string missing_pod(const api::StreamCluster& cluster, const ClusterSight& sight) {
  for (int32_t id = 0; id < sight.replicas; id++) {
    const bool there = std::any_of(sight.pods.begin(), sight.pods.end(),
                                   [&](const auto& pod) { return pod.broker == id; });
    if (there) continue;
    return plan::broker_pod_name(cluster.metadata.name, id) +
           ": there is no such pod: see `kubectl describe statefulset " + cluster.metadata.name + "`";
  }
  return "";
}

Picture picture_of(const api::StreamClusterStatus& status, const api::StreamCluster& cluster,
                   const ClusterSight& sight, const std::string& now) {
  constexpr int64_t kLongMs = 30'000;
  Picture out;
  const int32_t wanted = cluster.spec.brokers;
  out.brokers_ready = status.ready_brokers >= wanted && sight.replicas == wanted &&
                      status.updated_brokers >= wanted;
  const bool for_long = !out.brokers_ready && unready_ms(cluster, now) > kLongMs;
  if (for_long) out.waiting = missing_pod(cluster, sight);
  for (const auto& pod : sight.pods) {
    const std::string trouble = trouble_of(pod, for_long);
    if (!trouble.empty()) out.waiting = pod.name + ": " + trouble;
  }
  out.counts = std::to_string(status.ready_brokers) + " of " + std::to_string(wanted) +
               " brokers are ready";
  out.problem = !sight.problem.empty()             ? sight.problem
                : !sight.view.load_error.empty() ? sight.view.load_error
                                                 : sight.view.prices_problem;
  return out;
}

struct Said {
  bool holds;
  std::string reason, message;
};

Said ready_condition(const Picture& picture) {
  if (!picture.problem.empty()) return {false, "Failed", picture.problem};
  if (picture.brokers_ready) return {true, "AllBrokersReady", picture.counts};
  return {false, "BrokersNotReady",
          picture.counts + (picture.waiting.empty() ? "" : "; " + picture.waiting)};
}

Said progressing_condition(const api::StreamClusterStatus& status, const ClusterSight& sight,
                           const Picture& picture) {
  using State = plan::RollStep::State;
  const auto& moves = status.rebalance;
  if (sight.paused) {
    return {false, "Paused", "the annotation sluice.dev/paused stops all changes"};
  }
  if (sight.roll.state == State::kStuck) return {true, "RollStuck", sight.roll.message};
  if (sight.roll.state == State::kWaiting) return {true, "RollWaiting", sight.roll.message};
  if (sight.roll.state == State::kRolling) return {true, "Rolling", sight.roll.message};
  if (!moves.message.empty()) {
    return {true, sight.view.draining.empty() ? "Rebalancing" : "Draining", moves.message};
  }
  if (!picture.brokers_ready) return {true, "StartingBrokers", picture.counts};
  if (sight.volumes_growing > 0) {
    return {true, "GrowingVolumes", std::to_string(sight.volumes_growing) + " volumes grow"};
  }
  return {false, "Settled", picture.counts};
}

Said degraded_condition(const ClusterSight& sight, const Picture& picture) {
  if (!picture.problem.empty()) return {true, "NeedsAttention", picture.problem};
  if (sight.roll.state == plan::RollStep::State::kStuck) {
    return {true, "RollStuck", sight.roll.message};
  }
  if (!sight.view.drain_refused.empty()) return {true, "DrainRefused", sight.view.drain_refused};
  if (!picture.waiting.empty()) return {true, "NeedsAttention", picture.waiting};
  for (const auto& [id, claim] : sight.claims_deleting) {
    return {true, "NeedsAttention",
            "somebody has deleted the volume claim " + claim + ": its volume goes when the pod of broker " +
                std::to_string(id) + " stops; `kubectl sluice drain " + std::to_string(id) +
                "` moves its shards away before"};
  }
  return {false, "Healthy", "nothing is broken"};
}

Said certificates_condition(const ClusterSight& sight) {
  const auto& certificates = *sight.certificates;
  if (!certificates.problem.empty()) return {false, certificates.reason, certificates.problem};
  if (!sight.rotation.empty()) return {true, "Rotating", sight.rotation};
  auto first = std::min_element(certificates.list.begin(), certificates.list.end(),
                                [](const auto& a, const auto& b) { return a.ends_s < b.ends_s; });
  if (first == certificates.list.end()) return {true, "Valid", "there are none"};
  return {true, "Valid", "the first to end is '" + first->name + "', at " +
                             api::rfc3339(first->ends_s * 1000) + "; it is renewed before"};
}

void set_conditions(api::StreamClusterStatus& status, const api::StreamCluster& cluster,
                    const ClusterSight& sight, const std::string& now) {
  const Picture picture = picture_of(status, cluster, sight, now);
  auto set = [&](const char* type, const Said& said) {
    api::set_condition(status.conditions,
                       {type, said.holds ? "True" : "False", said.reason, said.message, "",
                        cluster.metadata.generation},
                       now);
  };
  set("Ready", ready_condition(picture));
  set("Progressing", progressing_condition(status, sight, picture));
  set("Degraded", degraded_condition(sight, picture));
  if (sight.certificates) set("CertificatesValid", certificates_condition(sight));
}

std::string gib(int64_t bytes) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2f", static_cast<double>(bytes) / (1LL << 30));
  return text;
}

std::string duration(int64_t seconds) {
  if (seconds < 60) return std::to_string(seconds) + "s";
  if (seconds < 3600) {
    return std::to_string(seconds / 60) + "m" + std::to_string(seconds % 60) + "s";
  }
  return std::to_string(seconds / 3600) + "h" + std::to_string(seconds % 3600 / 60) + "m";
}

// At the pace so far, by bytes where there are any to speak of.
int64_t seconds_left(const api::RebalanceStatus& moves, const std::string& now) {
  const int64_t began = api::rfc3339_ms(moves.started_at), ends = api::rfc3339_ms(now);
  const bool by_bytes = moves.bytes_total > (1 << 20);
  const double total = by_bytes ? static_cast<double>(moves.bytes_total) : moves.moves_total;
  const double done = by_bytes ? static_cast<double>(moves.bytes_done) : moves.moves_done;
  if (began < 0 || ends <= began || done <= 0) return -1;
  return static_cast<int64_t>(static_cast<double>(ends - began) / 1000 * (total - done) / done);
}

void tell_progress(api::RebalanceStatus& moves, int64_t left, int64_t bytes_left) {
  moves.moves_total = std::max<int32_t>(moves.moves_total, static_cast<int32_t>(left));
  moves.moves_done = std::max(moves.moves_done, moves.moves_total - static_cast<int32_t>(left));
  moves.bytes_total = std::max(moves.bytes_total, moves.bytes_done + bytes_left);
  moves.bytes_done = std::max(moves.bytes_done, moves.bytes_total - bytes_left);
  moves.message = std::to_string(moves.moves_done) + " of " + std::to_string(moves.moves_total) +
                  " replicas moved";
  if (moves.bytes_total > 0) {
    moves.message += ", " + gib(moves.bytes_done) + " of " + gib(moves.bytes_total) + " GiB";
  }
}

void set_rebalance(api::StreamClusterStatus& status, const api::StreamCluster& cluster,
                   const ClusterSight& sight, const std::string& now) {
  const auto& before = cluster.status.rebalance;
  auto& next = status.rebalance;
  next = before;
  next.seconds_left = -1;
  int drain_left = 0;
  int64_t drain_bytes = 0;
  std::string blocked;
  for (const auto& [id, progress] : sight.view.draining) {
    drain_left += progress.replicas_left;
    drain_bytes += progress.bytes_left;
    if (!progress.blocked.empty()) {
      blocked = "broker " + std::to_string(id) + ": " + progress.blocked;
    }
  }
  const int left = std::max(sight.view.moves_in_flight + sight.view.moves_planned, drain_left);
  const bool went = before.state == "Running" || before.state == "Blocked";
  if (left == 0) {
    if (went) {
      next.finished_at = now;
      next.moves_done = next.moves_total;
      next.bytes_done = next.bytes_total;
    }
    next.state = "Idle";
    next.message.clear();
    return;
  }
  if (!went) {
    next = {};
    next.started_at = now;
  }
  next.state = blocked.empty() ? "Running" : "Blocked";
  next.reason = drain_left > 0 ? "BrokerDraining" : "Imbalance";
  tell_progress(next, left, std::max(sight.view.bytes_to_move, drain_bytes));
  if (!blocked.empty()) {
    next.message += "; " + blocked;
    return;
  }
  next.seconds_left = seconds_left(next, now);
  if (next.seconds_left >= 0) next.message += ", about " + duration(next.seconds_left) + " left";
}

}  // namespace

bool drained(const ClusterView& view, const std::vector<int32_t>& brokers) {
  return view.loaded && std::all_of(brokers.begin(), brokers.end(), [&](int32_t id) {
           auto it = view.draining.find(id);
           return it != view.draining.end() && it->second.replicas_left == 0 &&
                  it->second.leaders_left == 0;
         });
}

namespace {

// Only of what scales.
void set_metrics_condition(std::vector<api::Condition>& conditions, bool scales,
                           const std::string& reason, const std::string& problem,
                           int64_t generation, const std::string& now) {
  if (!scales) return api::drop_condition(conditions, "MetricsAvailable");
  const bool known = problem.empty();
  api::set_condition(conditions,
                     {"MetricsAvailable", known ? "True" : "False", known ? "Fresh" : reason,
                      known ? "every broker's load is known" : problem, "", generation},
                     now);
}

// Who decides the number of brokers; not said where it is whoever edits spec.brokers.
void set_scaling_condition(api::StreamClusterStatus& status, const api::StreamCluster& cluster,
                           const std::string& scaler, const std::string& now) {
  const auto& brokers = cluster.spec.autoscaling.brokers;
  const bool ours = brokers && brokers->mode == api::ScalingMode::kAuto;
  const auto& last = status.last_decision;
  const bool contended =
      ours && (!scaler.empty() || (last && last->reason == autoscale::kContended));
  if (!ours && scaler.empty()) return api::drop_condition(status.conditions, "BrokersScaled");
  const std::string message =
      contended && scaler.empty() ? last->message
      : contended                 ? autoscale::contended_with(scaler)
      : ours                      ? "spec.autoscaling.brokers decides how many brokers there are"
                                  : scaler + " decides how many brokers there are";
  api::set_condition(status.conditions,
                     {"BrokersScaled", contended ? "False" : "True",
                      contended ? autoscale::kContended : ours ? "Autoscaler" : "ScaleSubresource",
                      message, "", cluster.metadata.generation},
                     now);
}

}  // namespace

bool moving(const api::StreamClusterStatus& status) {
  return status.ready_brokers > 0 &&
         api::find_condition(status.conditions, "Progressing")->status == "True";
}

bool settled(const api::StreamClusterStatus& status, const ClusterSight& sight) {
  return api::find_condition(status.conditions, "Ready")->status == "True" &&
         api::find_condition(status.conditions, "Progressing")->status == "False" &&
         sight.surplus.empty() && sight.view.may_evict && sight.volumes_growing == 0 &&
         sight.rotation.empty();
}

api::StreamClusterStatus cluster_status(const api::StreamCluster& cluster,
                                        const ClusterSight& sight, const std::string& now) {
  api::StreamClusterStatus status = cluster.status;
  status.observed_generation = cluster.metadata.generation;
  status.brokers = sight.replicas;
  status.selector = plan::broker_selector(cluster.metadata.name);
  status.image = sight.image;
  status.rebalance_proposal = next_proposal(cluster, sight.view, now);
  if (!sight.view.broker_decisions.empty()) {
    status.decisions = sight.view.broker_decisions;
    status.last_decision = status.decisions.front();
  }
  status.broker_states.clear();
  status.ready_brokers = status.updated_brokers = 0;
  for (const auto& pod : sight.pods) {
    status.broker_states.push_back(broker_state(pod, sight));
    auto& state = status.broker_states.back();
    state.bytes = bytes_to_tell(cluster, sight, pod.broker);
    status.ready_brokers += state.ready;
    status.updated_brokers += state.updated && !lists(sight.surplus, state.id);
  }
  for (const auto& broker : sight.view.brokers) {
    if (!broker.broker.version().empty()) status.version = broker.broker.version();
  }
  if (sight.view.bill) status.metering = metering_status(*sight.view.bill);
  status.listeners.clear();
  for (const auto& listener : cluster.spec.listeners) {
    status.listeners.push_back(
        {listener.name,
         plan::bootstrap_servers(cluster, listener, sight.replicas, sight.outside)});
  }
  set_rebalance(status, cluster, sight, now);
  set_conditions(status, cluster, sight, now);
  set_metrics_condition(status.conditions, cluster.spec.autoscaling.brokers.has_value(),
                        sight.view.metrics_reason, sight.view.metrics_problem,
                        cluster.metadata.generation, now);
  set_scaling_condition(status, cluster, sight.scaler, now);
  return status;
}

api::StreamStatus stream_status(const api::Stream& stream, const StreamView& view,
                                const std::string& now) {
  api::StreamStatus status = stream.status;
  status.observed_generation = stream.metadata.generation;
  status.stream_id = view.known ? view.map.stream_id() : "";
  status.durability.clear();
  if (view.known) {
    const bool memory = view.map.config().durability() == v1::DURABILITY_MEMORY;
    status.durability = memory ? "memory" : "synced";
  }
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
  std::string reason = view.no_cluster         ? "NoCluster"
                       : view.waits            ? "Waiting"
                       : !view.problem.empty() ? "Invalid"
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
  bool scales = stream.spec.mode == api::StreamMode::kElastic
                    ? stream.spec.autoscaling.has_value()
                    : stream.spec.partition_scaling.has_value();
  set_metrics_condition(status.conditions, scales, view.metrics_reason, view.metrics_problem,
                        stream.metadata.generation, now);
  if (view.bill && view.bill->lines_size() > 0) status.metering = metering_status(*view.bill);
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
