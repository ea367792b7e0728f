#include "operator/reconcile/autoscaler.h"

#include <nlohmann/json.hpp>

#include "broker/base/log.h"
#include "operator/kube/client/base64.h"
#include "operator/plan/stream_cluster.h"
#include "operator/reconcile/scaling_input.h"

namespace sluice_operator::reconcile {

namespace v1 = ::sluice::v1;

namespace {

constexpr int64_t kLookMs = 250;
constexpr int64_t kWindowMin_ms = 5'000;
constexpr int64_t kTokenMs = 60'000;
constexpr size_t kDecisionsMax = 64;

// What rates are asked of a Prometheus over.
int64_t window_ms(const api::StreamClusterSpec::Autoscaling& scaling) {
  return std::max<int64_t>(kWindowMin_ms, 3000LL * scaling.interval_seconds);
}

bool scales_itself(const api::Stream& stream) {
  bool wanted = stream.spec.mode == api::StreamMode::kElastic
                    ? stream.spec.autoscaling.has_value()
                    : stream.spec.partition_scaling.has_value();
  return wanted && !stream.metadata.deleting;
}

std::string event_of(autoscale::Action action) {
  switch (action) {
    case autoscale::Action::kSplit: return "ShardSplit";
    case autoscale::Action::kMerge: return "ShardsMerged";
    case autoscale::Action::kGrow: return "PartitionsAdded";
    case autoscale::Action::kNone: break;
  }
  return "None";
}

}  // namespace

Autoscaler::Autoscaler(Clusters& clusters, broker::env::Clock& clock, kube::Client& client,
                       kube::Cache& pods, kube::Cache& clusters_cache, kube::Cache& streams,
                       kube::Cache& autoscalers, kube::EventRecorder& events,
                       broker::Metrics& metrics)
    : clusters_(clusters),
      clock_(clock),
      client_(client),
      pods_(pods),
      cluster_objects_(clusters_cache),
      streams_(streams),
      autoscalers_(autoscalers),
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
  const auto& scaling = cluster.resource.spec.autoscaling;
  bool wanted = scaling.brokers.has_value();
  for (const auto& [name, stream] : cluster.streams) wanted |= scales_itself(*stream);
  int64_t interval_ms = scaling.interval_seconds * 1000LL;
  cluster.next_look_ms = clock_.mono_ms() + interval_ms;
  if (!wanted || cluster.resource.metadata.paused()) return;
  auto& source = sources_[key];
  if (!source) source = std::make_shared<Source>(clock_);
  cluster.looking = true;
  LoadSettings settings;
  settings.prometheus_url = scaling.prometheus_url;
  settings.ca_pem = scaling.prometheus_ca;
  settings.queries = scaling.queries;
  settings.window_ms = window_ms(scaling);
  settings.brokers_too = scaling.brokers.has_value();
  if (scaling.brokers) {
    settings.network_bytes_per_s = static_cast<double>(scaling.brokers->network_bytes_per_second);
    settings.disk_bytes_per_s = static_cast<double>(scaling.brokers->disk_bytes_per_second);
  }
  auto answer = std::make_shared<LoadAnswer>();
  io_.submit(
      [this, source = source, answer, settings, scaling, key, pages = broker_pages(key)] {
        *answer = ask(*source, key, settings, scaling, pages);
        return broker::Status();
      },
      [this, key, answer](broker::Status) { decide(key, *answer); });
}

LoadAnswer Autoscaler::ask(Source& source, const kube::ObjectKey& key, LoadSettings settings,
                           const api::StreamClusterSpec::Autoscaling& scaling,
                           const std::map<std::string, std::string>& pages) {
  if (!scaling.token_secret.empty() && clock_.mono_ms() - kTokenMs >= source.token_read_ms) {
    auto secret = client_.get(kube::secrets(), key.ns, scaling.token_secret);
    std::optional<std::string> token;
    if (secret.ok()) {
      auto at = kube::Json::json_pointer("/data/" + scaling.token_key);
      token = kube::base64_decode(secret->value(at, std::string()));
    }
    if (!token || token->empty()) {
      LoadAnswer answer;
      answer.reason = "PrometheusToken";
      answer.problem = "the token for Prometheus is not to be had from Secret " +
                       scaling.token_secret +
                       (secret.ok() ? ": no key " + scaling.token_key : ": " + secret.status().message());
      return answer;
    }
    source.token = *token;
    source.token_read_ms = clock_.mono_ms();
  }
  settings.token = scaling.token_secret.empty() ? "" : source.token;
  return source.load.look(settings, key, pages);
}

std::map<std::string, std::string> Autoscaler::broker_pages(const kube::ObjectKey& key) const {
  std::map<std::string, std::string> pages;
  for (const auto& pod : pods_.grouped(key.ns, key.name)) {
    auto ip = pod->value("status", kube::Json::object()).value("podIP", std::string());
    if (ip.empty()) continue;
    pages[kube::metadata_text(*pod, "name")] = ip + ":" + std::to_string(plan::kMetricsPort);
  }
  return pages;
}

std::string Autoscaler::when(int64_t mono_ms) const {
  return api::rfc3339(clock_.wall_ms() + mono_ms - clock_.mono_ms());
}

void Autoscaler::decide(const kube::ObjectKey& key, const LoadAnswer& answer) {
  auto it = clusters_.all().find(key);
  if (it == clusters_.all().end()) return;
  auto& cluster = *it->second;
  cluster.looking = false;
  note_metrics(key, cluster, answer);
  auto streams = cluster.streams;
  for (const auto& [resource, stream] : streams) {
    if (scales_itself(*stream)) decide_stream(key, cluster, *stream, answer);
  }
  if (cluster.resource.spec.autoscaling.brokers) decide_brokers(key, cluster, answer);
}

// Whether the load is known is a condition of every stream that scales by it, and of the cluster
// where its brokers do.
void Autoscaler::note_metrics(const kube::ObjectKey& key, Clusters::Cluster& cluster,
                              const LoadAnswer& answer) {
  metrics_
      .gauge("sluice_autoscale_metrics_available", "1 while the load of a cluster is known.",
             {{"namespace", key.ns}, {"cluster", key.name}})
      .Set(answer.problem.empty() ? 1 : 0);
  bool news = cluster.metrics_reason != answer.reason;
  cluster.metrics_reason = answer.reason;
  cluster.metrics_problem = answer.problem;
  if (!news) return;
  auto object = cluster_objects_.get(key.ns, key.name);
  if (object && !answer.problem.empty() && answer.reason != "Starting") {
    events_.record(*object, kube::EventType::kWarning, "MetricsUnavailable",
                   answer.problem + ": nothing is scaled");
  }
  for (const auto& [resource, stream] : cluster.streams) {
    if (scales_itself(*stream) && decided_) decided_({key.ns, resource});
  }
  if (cluster.resource.spec.autoscaling.brokers) clusters_.changed(key);
}

void Autoscaler::decide_stream(const kube::ObjectKey& key, Clusters::Cluster& cluster,
                               const api::Stream& stream, const LoadAnswer& answer) {
  const std::string& name = stream.spec.name;
  const auto* map = cluster.coordinator.map_of(name);
  if (!map || map->deleting()) return;
  auto snapshot = snapshot_of(*map, name, answer, clock_.mono_ms(), clock_.wall_ms());
  if (cluster.acting[name] > 0) snapshot.resharding = true;
  const auto& scaling = cluster.resource.spec.autoscaling;
  if (!scaling.prometheus_url.empty()) snapshot.settle_ms = window_ms(scaling);
  auto& memory = cluster.scaling[name];
  if (memory.last_look_ms < 0) {
    memory.last_growth_ms = last_growth_of(stream, clock_.mono_ms(), clock_.wall_ms());
  }
  auto decision =
      autoscale::decide(policy_of(cluster.resource.spec, stream.spec), snapshot, memory);
  measure(key, name, decision);
  record(key, cluster, stream, decision);
  if (decision.operations.empty() || decision.recommended_only) return;
  if (decision.action == autoscale::Action::kGrow) {
    set_partitions(key, cluster, stream, decision.operations.front().partitions);
  } else {
    act(key, cluster, name, decision);
  }
}

void Autoscaler::measure(const kube::ObjectKey& key, const std::string& stream,
                         const autoscale::Decision& decision) {
  broker::Metrics::Labels labels{{"namespace", key.ns}, {"cluster", key.name}, {"stream", stream}};
  auto gauge = [&](const char* name, const char* help, const char* input) {
    auto it = decision.inputs.find(input);
    if (it == decision.inputs.end()) return;
    metrics_.gauge(name, help, labels).Set(std::strtod(it->second.c_str(), nullptr));
  };
  gauge("sluice_autoscale_open_shards", "Open shards of a stream.", "openShards");
  gauge("sluice_autoscale_needed_shards", "Shards that its expected load asks for, with headroom.",
        "shardsNeeded");
  gauge("sluice_autoscale_headroom", "The factor on the expected load.", "headroom");
  gauge("sluice_autoscale_lag_records",
        "Records that a stream's group is behind, the furthest of all.", "lagRecords");
  labels["action"] = std::string(autoscale::to_string(decision.action));
  labels["reason"] = decision.reason;
  metrics_
      .counter("sluice_autoscale_decisions_total", "Looks at a stream, by what followed.", labels)
      .Increment();
}

void Autoscaler::act(const kube::ObjectKey& key, Clusters::Cluster& cluster,
                     const std::string& stream, const autoscale::Decision& decision) {
  for (const auto& operation : decision.operations) {
    v1::AdminRequest request;
    auto* retile = request.mutable_retile_shards();
    retile->set_stream(stream);
    retile->mutable_indexes()->Assign(operation.shards.begin(), operation.shards.end());
    for (auto at : operation.at) retile->add_at(broker::coordination::format_hash_key(at));
    cluster.acting[stream]++;
    cluster.coordinator.admin(request, [this, key, stream](const v1::AdminResponse& response) {
      if (auto it = clusters_.all().find(key); it != clusters_.all().end()) {
        auto& acting = it->second->acting[stream];
        acting = std::max(0, acting - 1);
      }
      if (response.code() == "OK") return;
      broker::log_warn("autoscaler", "a scaling action failed",
                       {{"cluster", key.to_string()},
                        {"stream", stream},
                        {"error", response.message()}});
    });
  }
}

// spec.partitions is the field that users and Kafka's clients write; the rest follows from it.
void Autoscaler::set_partitions(const kube::ObjectKey& key, Clusters::Cluster& cluster,
                                const api::Stream& stream, int32_t partitions) {
  const std::string name = stream.spec.name;
  cluster.acting[name]++;
  auto failure = std::make_shared<std::string>();
  io_.submit(
      [this, resource = kube::ObjectKey{stream.metadata.ns, stream.metadata.name}, partitions,
       failure] {
        auto written = client_.merge_patch(metadata::streams(), resource,
                                           kube::Json{{"spec", {{"partitions", partitions}}}});
        if (!written.ok()) *failure = written.status().message();
        return broker::Status();
      },
      [this, key, name, failure](broker::Status) {
        auto it = clusters_.all().find(key);
        if (it != clusters_.all().end()) {
          auto& acting = it->second->acting[name];
          acting = std::max(0, acting - 1);
          // What was not done is no reason to wait.
          if (!failure->empty()) it->second->scaling[name].last_growth_ms = -1;
        }
        if (failure->empty()) return;
        broker::log_warn("autoscaler", "the number of partitions could not be written",
                         {{"cluster", key.to_string()}, {"stream", name}, {"error", *failure}});
      });
}

void Autoscaler::record(const kube::ObjectKey& key, Clusters::Cluster& cluster,
                        const api::Stream& stream, const autoscale::Decision& decision) {
  auto& known = cluster.decisions[stream.spec.name];
  bool acts = !decision.operations.empty() && !decision.recommended_only;
  std::string action(autoscale::to_string(acts ? decision.action : autoscale::Action::kNone));
  bool same = !acts && !known.empty() && known.front().action == action &&
              known.front().reason == decision.reason;
  if (same || decision.reason == "Resharding") return;
  api::Decision entry;
  entry.time = api::rfc3339(clock_.wall_ms());
  entry.action = action;
  entry.shards = decision.shards();
  entry.reason = decision.reason;
  entry.message = decision.message;
  entry.inputs = decision.inputs;
  if (decision.next_allowed_ms > clock_.mono_ms()) {
    entry.inputs["nextAllowed"] = when(decision.next_allowed_ms);
  }
  known.insert(known.begin(), entry);
  if (known.size() > kDecisionsMax) known.resize(kDecisionsMax);
  broker::log_info("autoscaler", "decision",
                   {{"cluster", key.to_string()},
                    {"stream", stream.spec.name},
                    {"action", action},
                    {"reason", decision.reason},
                    {"message", decision.message}});
  kube::ObjectKey resource{stream.metadata.ns, stream.metadata.name};
  auto object = streams_.get(resource.ns, resource.name);
  if (object && acts) {
    events_.record(*object, kube::EventType::kNormal,
                   event_of(decision.action), decision.message);
  } else if (object && (decision.reason == "HotKey" || decision.reason == "UnevenKeys" ||
                        decision.reason == "AtMaximum")) {
    events_.record(*object, kube::EventType::kWarning, decision.reason, decision.message);
  }
  if (decided_) decided_(resource);
}

}  // namespace sluice_operator::reconcile
