#include "operator/reconcile/autoscaler.h"

#include <nlohmann/json.hpp>

#include "broker/base/log.h"
#include "operator/plan/stream_cluster.h"

namespace sluice_operator::reconcile {

namespace v1 = ::sluice::v1;

namespace {

constexpr int64_t kLookMs = 250;
constexpr int64_t kWindowMin_ms = 10'000;
constexpr size_t kDecisionsMax = 20;

autoscale::Policy policy_of(const api::StreamClusterSpec& cluster, const api::StreamSpec& stream) {
  auto scaling = stream.autoscaling.value_or(api::StreamSpec::Autoscaling{});
  autoscale::Policy policy;
  policy.shards_min = scaling.min_shards;
  policy.shards_max = scaling.max_shards;
  policy.target = scaling.target_utilization_percent / 100.0;
  policy.scale_up_after_ms = scaling.scale_up_stabilization_seconds * 1000LL;
  policy.scale_down_after_ms = scaling.scale_down_stabilization_seconds * 1000LL;
  policy.shard_bytes_per_s = static_cast<double>(cluster.limits.shard_write_bytes_per_second);
  policy.shard_records_per_s = static_cast<double>(cluster.limits.shard_write_records_per_second);
  return policy;
}

autoscale::Snapshot snapshot_of(const v1::ShardMap& map, const std::string& stream,
                                const LoadAnswer& answer, int64_t now_ms, int64_t wall_ms) {
  autoscale::Snapshot snapshot;
  snapshot.now_ms = now_ms;
  snapshot.wall_ms = wall_ms;
  snapshot.problem = answer.problem;
  auto rates = answer.rates.find(stream);
  for (const auto& shard : map.shards()) {
    if (shard.state() == v1::SHARD_STATE_SEALING) snapshot.resharding = true;
    if (shard.state() != v1::SHARD_STATE_OPEN) continue;
    if (!shard.has_leader()) snapshot.resharding = true;
    autoscale::ShardLoad load;
    load.shard = shard.index();
    auto range = broker::coordination::parse_range(shard.hash_range());
    if (range.ok()) load.range = *range;
    // The source answered for the whole cluster: a shard without a series has taken nothing yet.
    load.bytes_per_s = load.records_per_s = 0;
    snapshot.shards_known = static_cast<size_t>(map.shards_size());
    if (rates != answer.rates.end()) {
      if (auto it = rates->second.find(shard.index()); it != rates->second.end()) {
        load.bytes_per_s = it->second.bytes_per_s;
        load.records_per_s = it->second.records_per_s;
        load.heat.assign(it->second.heat.begin(), it->second.heat.end());
      }
    }
    snapshot.open_shards.push_back(load);
  }
  return snapshot;
}

}  // namespace

Autoscaler::Autoscaler(Clusters& clusters, broker::env::Clock& clock, kube::Cache& pods,
                       kube::Cache& streams, kube::EventRecorder& events,
                       broker::Metrics& metrics)
    : clusters_(clusters),
      clock_(clock),
      pods_(pods),
      streams_(streams),
      events_(events),
      metrics_(metrics),
      io_(clusters.executor(), "load") {}

void Autoscaler::start() { look_around(); }

void Autoscaler::look_around() {
  for (auto& [key, cluster] : clusters_.all()) {
    if (cluster->looking || clock_.mono_ms() < cluster->next_look_ms) continue;
    look(key, *cluster);
  }
  clusters_.executor().schedule_after(kLookMs, [this] { look_around(); });
}

void Autoscaler::look(const kube::ObjectKey& key, Clusters::Cluster& cluster) {
  bool elastic = false;
  for (const auto& [name, stream] : cluster.streams) {
    elastic |= stream->spec.mode == api::StreamMode::kElastic && !stream->metadata.deleting;
  }
  int64_t interval_ms = cluster.resource.spec.autoscaling.interval_seconds * 1000LL;
  cluster.next_look_ms = clock_.mono_ms() + interval_ms;
  if (!elastic || cluster.resource.metadata.paused()) return;
  auto& source = sources_[key];
  if (!source) source = std::make_shared<LoadSource>(clock_);
  cluster.looking = true;
  auto answer = std::make_shared<LoadAnswer>();
  io_.submit(
      [source = source, answer, url = cluster.resource.spec.autoscaling.prometheus_url, key,
       pages = broker_pages(key), window = std::max(kWindowMin_ms, 3 * interval_ms)] {
        *answer = source->look(url, key, pages, window);
        return broker::Status();
      },
      [this, key, answer](broker::Status) { decide(key, *answer); });
}

std::map<std::string, std::string> Autoscaler::broker_pages(const kube::ObjectKey& key) const {
  std::map<std::string, std::string> pages;
  for (const auto& pod : pods_.all(key.ns)) {
    const auto& labels = pod->at("metadata").value("labels", kube::Json::object());
    if (labels.value("app.kubernetes.io/instance", std::string()) != key.name) continue;
    auto ip = pod->value("status", kube::Json::object()).value("podIP", std::string());
    if (ip.empty()) continue;
    pages[kube::metadata_text(*pod, "name")] = ip + ":" + std::to_string(plan::kMetricsPort);
  }
  return pages;
}

void Autoscaler::decide(const kube::ObjectKey& key, const LoadAnswer& answer) {
  auto it = clusters_.all().find(key);
  if (it == clusters_.all().end()) return;
  auto& cluster = *it->second;
  cluster.looking = false;
  auto streams = cluster.streams;
  for (const auto& [resource, stream] : streams) {
    if (stream->spec.mode != api::StreamMode::kElastic || stream->metadata.deleting) continue;
    decide_stream(key, cluster, *stream, answer);
  }
}

void Autoscaler::decide_stream(const kube::ObjectKey& key, Clusters::Cluster& cluster,
                               const api::Stream& stream, const LoadAnswer& answer) {
  const std::string& name = stream.spec.name;
  const auto* map = cluster.coordinator.map_of(name);
  if (!map || map->deleting()) return;
  auto decision =
      autoscale::decide(policy_of(cluster.resource.spec, stream.spec),
                        snapshot_of(*map, name, answer, clock_.mono_ms(), clock_.wall_ms()),
                        cluster.scaling[name]);
  metrics_
      .counter("sluice_operator_scaling_decisions_total", "Looks at a stream, by what followed.",
               {{"namespace", key.ns},
                {"cluster", key.name},
                {"stream", name},
                {"action", std::string(autoscale::to_string(decision.action))},
                {"reason", decision.reason}})
      .Increment();
  record(key, cluster, stream, decision);
  if (!decision.operations.empty() && !decision.recommended_only) act(key, cluster, name, decision);
}

void Autoscaler::act(const kube::ObjectKey& key, Clusters::Cluster& cluster,
                     const std::string& stream, const autoscale::Decision& decision) {
  for (const auto& operation : decision.operations) {
    v1::AdminRequest request;
    if (operation.action == autoscale::Action::kSplit) {
      auto* split = request.mutable_split_shard();
      split->set_stream(stream);
      split->set_index(operation.shards.at(0));
      for (auto at : operation.at) split->add_at(broker::coordination::format_hash_key(at));
    } else {
      auto* merge = request.mutable_merge_shards();
      merge->set_stream(stream);
      merge->set_index(operation.shards.at(0));
      merge->set_adjacent(operation.shards.at(1));
    }
    cluster.coordinator.admin(request, [key, stream](const v1::AdminResponse& response) {
      if (response.code() == "OK") return;
      broker::log_warn("autoscaler", "a scaling action failed",
                       {{"cluster", key.to_string()},
                        {"stream", stream},
                        {"error", response.message()}});
    });
  }
}

void Autoscaler::record(const kube::ObjectKey& key, Clusters::Cluster& cluster,
                        const api::Stream& stream, const autoscale::Decision& decision) {
  auto& known = cluster.decisions[stream.spec.name];
  std::string action(autoscale::to_string(decision.action));
  bool same = decision.action == autoscale::Action::kNone && !known.empty() &&
              known.front().action == action && known.front().reason == decision.reason;
  if (same) return;
  api::Decision entry;
  entry.time = api::rfc3339(clock_.wall_ms());
  entry.action = action;
  entry.shards = decision.shards();
  entry.reason = decision.reason;
  entry.message = decision.message;
  entry.inputs = decision.inputs;
  known.insert(known.begin(), entry);
  if (known.size() > kDecisionsMax) known.resize(kDecisionsMax);
  broker::log_info("autoscaler", "decision",
                   {{"cluster", key.to_string()},
                    {"stream", stream.spec.name},
                    {"action", action},
                    {"reason", decision.reason},
                    {"message", decision.message}});
  kube::ObjectKey resource{stream.metadata.ns, stream.metadata.name};
  if (decision.action != autoscale::Action::kNone) {
    if (auto object = streams_.get(resource.ns, resource.name)) {
      events_.record(*object, kube::EventType::kNormal,
                     decision.action == autoscale::Action::kSplit ? "ShardSplit" : "ShardsMerged",
                     decision.message);
    }
  }
  if (decided_) decided_(resource);
}

}  // namespace sluice_operator::reconcile
