#include "operator/reconcile/clusters.h"

#include <algorithm>
#include <set>

#include "broker/base/log.h"
#include "broker/metering/bill.h"
#include "operator/reconcile/metering_status.h"

namespace sluice_operator::reconcile {

namespace coordination = broker::coordination;

namespace {

coordination::CoordinatorOptions options_for(const api::StreamCluster& resource) {
  coordination::CoordinatorOptions options;
  options.cluster = resource.metadata.ns + "/" + resource.metadata.name;
  options.metering_interval_ms = resource.spec.metering.interval_seconds * 1000;
  return options;
}

// Metrics of a coordinator that is ticked, and of one that is not: their hours go on.
constexpr int64_t kRefreshMs = 1000, kRefreshIdleMs = 30'000;

// A name that only this cluster's certificates hold: that of its client Service.
std::string identity_of(const kube::ObjectKey& key) { return key.name + "." + key.ns + ".svc"; }

coordination::StreamDefaults defaults_of(const api::StreamClusterSpec& spec) {
  coordination::StreamDefaults defaults;
  defaults.replication = spec.replication.factor.value_or(0);
  defaults.min_insync = spec.replication.min_insync.value_or(0);
  defaults.record_bytes_max = static_cast<int32_t>(spec.limits.max_record_bytes);
  return defaults;
}

}  // namespace

Clusters::Cluster::Cluster(Clusters& a, const api::StreamCluster& r)
    : all(a),
      resource(r),
      store(all.client_, all.executor_, all.io({r.metadata.ns, r.metadata.name}),
            {r.metadata.ns, r.metadata.name, r.metadata.uid}),
      observer(all.metrics_, r.metadata.ns + "/" + r.metadata.name),
      coordinator(options_for(r), all.clock_, all.random_, store, all.server_, &observer),
      due(all.due_.emplace(all.clock_.mono_ms(), this)) {
  coordinator.set_wake_callback([this] { all.tick_at(*this, all.clock_.mono_ms()); });
}

Clusters::Clusters(broker::env::AsioExecutor& executor, broker::env::Clock& clock,
                   broker::env::Random& random, kube::Client& client, broker::Metrics& metrics,
                   coordinator::SessionServer& server)
    : executor_(executor),
      clock_(clock),
      random_(random),
      client_(client),
      metrics_(metrics),
      server_(server) {
  for (auto& io : metadata_io_) {
    io = std::make_unique<broker::env::ThreadIoQueue>(executor, "metadata");
  }
}

Clusters::~Clusters() = default;

broker::env::IoQueue& Clusters::io(const kube::ObjectKey& cluster) {
  return *metadata_io_[std::hash<std::string>()(cluster.to_string()) % metadata_io_.size()];
}

void Clusters::start() { tick(); }

// One timer for all, so that what many of them do falls together.
void Clusters::tick() {
  const int64_t now_ms = clock_.mono_ms();
  while (!due_.empty() && due_.begin()->first <= now_ms) {
    Cluster& cluster = *due_.begin()->second;
    const int64_t next_ms = std::max(cluster.coordinator.tick(), now_ms + 1);
    const bool shown = now_ms >= cluster.refresh_ms;
    if (shown) refresh(cluster);
    tick_at(cluster, std::min(next_ms, shown ? now_ms + kRefreshIdleMs : cluster.refresh_ms));
  }
  executor_.schedule_after(coordination::kTickMs, [this] { tick(); });
}

void Clusters::tick_at(Cluster& cluster, int64_t due_ms) {
  due_.erase(cluster.due);
  cluster.due = due_.emplace(due_ms, &cluster);
}

void Clusters::refresh(Cluster& cluster) {
  if (!cluster.coordinator.loaded()) return;
  cluster.refresh_ms = clock_.mono_ms() + kRefreshMs;
  cluster.observer.refresh(cluster.coordinator);
  cluster.observer.meter(cluster.coordinator.bill(clock_.wall_ms()));
}

namespace {

std::vector<std::string> directories_in_use(const coordination::Coordinator& coordinator) {
  std::set<std::string> out;
  for (const auto* map : coordinator.maps()) {
    for (const auto& shard : map->shards()) {
      for (const auto* list : {&shard.replicas(), &shard.next_replicas(), &shard.learners()}) {
        for (const auto& replica : *list) out.insert(replica.directory());
      }
    }
  }
  return {out.begin(), out.end()};
}

// Brokers that cannot be spared stay as they are, all of them: half a drain helps nobody.
void drain(coordination::Coordinator& coordinator, const ClusterWishes& wishes,
           ClusterView& view) {
  std::set<int32_t> leaving(wishes.draining.begin(), wishes.draining.end());
  if (!leaving.empty() && coordinator.loaded()) {
    view.drain_refused = coordinator.removal_risk(leaving);
    if (!view.drain_refused.empty()) leaving.clear();
  }
  for (const auto& broker : wishes.brokers) {
    coordinator.set_draining(broker.id, leaving.count(broker.id) > 0);
    if (leaving.count(broker.id)) {
      view.draining[broker.id] = coordinator.drain_progress(broker.id);
    }
  }
}

}  // namespace

// Being in sync comes and goes under load: an eviction is allowed after some calm.
bool Clusters::may_evict(Cluster& cluster, const std::vector<coordination::BrokerView>& brokers) {
  constexpr int64_t kCalmMs = 3000;
  const int64_t now = clock_.mono_ms();
  for (const auto& broker : brokers) {
    if (!broker.broker.alive()) continue;
    if (cluster.coordinator.stop_risk({broker.broker.id()}).empty()) continue;
    cluster.risky_until_ms = now + kCalmMs;
    return false;
  }
  return now >= cluster.risky_until_ms;
}

plan::RollStep Clusters::plan_roll(const kube::ObjectKey& key, const plan::RollInput& input) {
  return on_executor([&] {
    auto it = clusters_.find(key);
    return plan::plan_roll(input, [&](const std::set<int32_t>& brokers) {
      return it == clusters_.end() ? std::string("the cluster has no coordinator yet")
                                   : it->second->coordinator.stop_risk(brokers);
    });
  });
}

bool Clusters::follows(const api::StreamCluster& resource) {
  return on_executor([&] {
    auto it = clusters_.find({resource.metadata.ns, resource.metadata.name});
    return it != clusters_.end() && it->second->resource.metadata.uid == resource.metadata.uid;
  });
}

std::shared_ptr<const api::Stream> for_keeping(const api::Stream& stream) {
  auto kept = std::make_shared<api::Stream>(stream);
  kept->status.conditions.clear();
  kept->status.conditions.shrink_to_fit();
  kept->status.metering.reset();
  return kept;
}

ClusterView Clusters::follow(const api::StreamCluster& resource, const ClusterWishes& wishes) {
  return on_executor([&] {
    kube::ObjectKey key{resource.metadata.ns, resource.metadata.name};
    auto& slot = clusters_[key];
    if (slot && slot->resource.metadata.uid != resource.metadata.uid) {
      server_.remove_cluster(session_name(key), identity_of(key));  // deleted and made again
      slot.reset();
    }
    if (!slot) {
      slot = std::make_unique<Cluster>(*this, resource);
      server_.add_cluster(session_name(key), identity_of(key), slot->coordinator);
      slot->coordinator.set_change_callback([this, key] { changed(key); });
      slot->coordinator.set_balancing(wishes.balancing);  // before it could begin a move
      for (const auto& stream : wishes.streams) {
        const auto kept = for_keeping(*stream);
        slot->streams[stream->metadata.name] = kept;
        slot->store.stream_seen(stream->metadata.name, kept);
      }
      slot->coordinator.start();
    }
    slot->resource = resource;
    auto& coordinator = slot->coordinator;
    coordinator.set_defaults(defaults_of(resource.spec));
    coordinator.set_expected_brokers(wishes.brokers);
    coordinator.set_moves_paused(wishes.moves_paused);
    coordinator.set_balancing(wishes.balancing);
    slot->users_wanted = {wishes.users.begin(), wishes.users.end()};
    tell_security(*slot);
    ClusterView view;
    coordinator.set_metering_interval(resource.spec.metering.interval_seconds * 1000);
    view.prices_problem = tell_prices(*slot);
    if (coordinator.loaded()) {
      auto moment = moment_to_show(coordinator.metered_ms(""), clock_.wall_ms(),
                                   resource.status.metering, coordinator.prices());
      if (moment) view.bill = coordinator.bill(*moment);
    }
    drain(coordinator, wishes, view);
    view.loaded = coordinator.loaded();
    view.broker_decisions = slot->broker_decisions;
    view.metrics_reason = slot->metrics_reason;
    view.metrics_problem = slot->metrics_problem;
    if (!view.loaded) view.load_error = coordinator.load_error().message();
    view.brokers = coordinator.brokers();
    view.moves_in_flight = static_cast<int>(coordinator.moves().size());
    view.moves_planned = coordinator.planned_moves();
    view.bytes_to_move = coordinator.bytes_to_move();
    view.proposed_moves = coordinator.proposed_moves();
    view.approved_moves_left = coordinator.approved_moves_left();
    view.may_evict = may_evict(*slot, view.brokers);
    view.directories_in_use = directories_in_use(coordinator);
    return view;
  });
}

void Clusters::tell_security(Cluster& cluster) {
  sluice::v1::Security security;
  security.set_authorize(cluster.resource.spec.authorization.enabled);
  for (const auto& name : cluster.resource.spec.authorization.super_users) {
    security.add_super_users(name);
  }
  for (const auto& resource : cluster.users_wanted) {
    auto known = cluster.users.find(resource);
    if (known == cluster.users.end()) return;  // it is being looked at
    if (known->second) *security.add_users() = *known->second;
  }
  cluster.coordinator.set_security(security);
}

// Empty, or what is wrong with the table: then usage has no cost.
std::string Clusters::tell_prices(Cluster& cluster) {
  const auto& given = cluster.resource.spec.prices;
  if (!given) {
    cluster.coordinator.set_prices(nullptr);
    return "";
  }
  sluice::v1::Prices prices;
  prices.set_currency(given->currency);
  prices.set_as_of(given->as_of);
  prices.set_shard_hour(given->shard_hour);
  prices.set_million_put_units(given->million_put_units);
  prices.set_extended_retention_shard_hour(given->extended_retention_shard_hour);
  prices.set_long_term_retention_gb_month(given->long_term_retention_gb_month);
  prices.set_broker_hour(given->broker_hour);
  prices.set_cross_zone_gb(given->cross_zone_gb);
  auto status = broker::metering::check_prices(prices);
  cluster.coordinator.set_prices(status.ok() ? &prices : nullptr);
  return status.ok() ? "" : "spec.prices." + status.message();
}

bool Clusters::user_seen(const kube::ObjectKey& key, const std::string& resource,
                         std::optional<sluice::v1::User> user) {
  return on_executor([&] {
    auto it = clusters_.find(key);
    if (it == clusters_.end()) return false;
    it->second->users[resource] = std::move(user);
    it->second->users_wanted.insert(resource);
    tell_security(*it->second);
    return true;
  });
}

void Clusters::show_conditions(const kube::ObjectKey& key, std::vector<api::Condition> conditions) {
  executor_.post([this, key, conditions = std::move(conditions)] {
    auto it = clusters_.find(key);
    if (it == clusters_.end()) return;
    for (const auto& condition : conditions) {
      it->second->observer.condition(condition.type, condition.status == "True");
    }
  });
}

void Clusters::show_certificates(const kube::ObjectKey& key,
                                 std::vector<CertificateView> certificates) {
  executor_.post([this, key, certificates = std::move(certificates)] {
    auto it = clusters_.find(key);
    if (it == clusters_.end()) return;
    const int64_t now_s = clock_.wall_ms() / 1000;
    for (const auto& view : certificates) {
      it->second->observer.certificate(view.name, static_cast<double>(view.ends_s - now_s));
    }
  });
}

void Clusters::forget(const kube::ObjectKey& key) {
  on_executor([&] {
    if (!clusters_.contains(key)) return;
    server_.remove_cluster(session_name(key), identity_of(key));
    clusters_.erase(key);
  });
}

void Clusters::forget_broker(const kube::ObjectKey& key, int32_t broker) {
  on_executor([&] {
    auto it = clusters_.find(key);
    if (it == clusters_.end()) return;
    auto status = it->second->coordinator.forget_broker(broker);
    if (!status.ok() && status.code() != broker::Code::kNotFound) {
      broker::log_debug("clusters", "a removed broker is still connected",
                        {{"broker", broker}, {"why", status.message()}});
    }
  });
}

void Clusters::stream_seen(const kube::ObjectKey& key, const std::string& resource,
                           std::shared_ptr<const api::Stream> stream) {
  if (stream) stream = for_keeping(*stream);
  executor_.post([this, key, resource, stream = std::move(stream)] {
    auto it = clusters_.find(key);
    if (it == clusters_.end()) return;
    if (stream) {
      it->second->streams[resource] = stream;
    } else {
      it->second->streams.erase(resource);
    }
    it->second->store.stream_seen(resource, stream);
  });
}

StreamView Clusters::stream(const kube::ObjectKey& key, const std::string& name,
                            const std::optional<api::MeteringStatus>& shown) {
  return on_executor([&] {
    StreamView view;
    auto it = clusters_.find(key);
    if (it == clusters_.end()) {
      view.problem = "there is no StreamCluster '" + key.name + "' in this namespace";
      return view;
    }
    view.problem = it->second->coordinator.stream_problem(name);
    view.waits = it->second->coordinator.stream_waits(name);
    if (const auto* map = it->second->coordinator.map_of(name)) {
      view.known = true;
      view.map = *map;
      auto& coordinator = it->second->coordinator;
      auto moment = moment_to_show(coordinator.metered_ms(name), clock_.wall_ms(), shown,
                                   coordinator.prices());
      view.next_bill_ms = ms_to_next_moment(coordinator.metered_ms(name), clock_.wall_ms());
      if (moment) view.bill = broker::metering::bill_of(coordinator.bill(*moment), name);
    }
    auto decisions = it->second->decisions.find(name);
    if (decisions != it->second->decisions.end()) view.decisions = decisions->second;
    view.metrics_reason = it->second->metrics_reason;
    view.metrics_problem = it->second->metrics_problem;
    return view;
  });
}

}  // namespace sluice_operator::reconcile
