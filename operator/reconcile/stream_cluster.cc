#include "operator/reconcile/stream_cluster.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "broker/base/log.h"
#include "operator/api/json.h"
#include "operator/api/quantity.h"
#include "operator/apply/apply.h"
#include "operator/apply/remove.h"
#include "operator/kube/client/routes.h"
#include "operator/plan/listeners.h"
#include "operator/plan/stream_cluster.h"
#include "operator/reconcile/proposal.h"
#include "operator/reconcile/rotation_progress.h"

namespace sluice_operator::reconcile {

using broker::Code;
using broker::Result;
using broker::Status;
using kube::Json;
using runtime::Outcome;

namespace {

// While something moves; and in any case. Changes of objects and of the coordinator's view are told.
constexpr int64_t kBusyMs = 1000, kMovingMs = 2000, kSteadyMs = 30'000;

const PodView* pod_of(const std::vector<PodView>& pods, int32_t broker) {
  auto it = std::find_if(pods.begin(), pods.end(),
                         [&](const auto& pod) { return pod.broker == broker; });
  return it == pods.end() ? nullptr : &*it;
}

bool is_alive(const ClusterView& view, int32_t broker) {
  return std::any_of(view.brokers.begin(), view.brokers.end(), [&](const auto& b) {
    return b.broker.id() == broker && b.broker.alive();
  });
}

// Without its StatefulSet (somebody deleted it) a cluster has the brokers whose pods are there, or
// that were there when status was written: none of them is to be lost undrained.
int32_t brokers_that_exist(const api::StreamCluster& cluster, const StatefulSetView& set,
                           const std::vector<PodView>& pods) {
  if (set.exists) return set.replicas;
  int32_t count = cluster.status.brokers;
  for (const auto& pod : pods) count = std::max(count, pod.broker + 1);
  return count;
}

}  // namespace

StreamClusterReconciler::StreamClusterReconciler(kube::Client& client, broker::env::Clock& clock,
                                                 Caches caches, Clusters& clusters,
                                                 Certificates& certificates,
                                                 kube::EventRecorder& events,
                                                 ClusterSettings settings)
    : client_(client),
      clock_(clock),
      caches_(caches),
      clusters_(clusters),
      certificates_(certificates),
      events_(events),
      settings_(std::move(settings)) {}

Outcome StreamClusterReconciler::reconcile(const runtime::Key& key) {
  auto object = caches_.clusters.get(key.ns, key.name);
  if (!object) {
    clusters_.forget(key);
    certificates_.forget(key);
    return Outcome::done();
  }
  auto read = api::read_stream_cluster(*object);
  if (!read.ok()) return Outcome::terminal(read.status());
  const api::StreamCluster& cluster = *read;
  runtime::note_generation(cluster.metadata.generation);
  if (cluster.metadata.deleting) return let_go(cluster);

  Round round{cluster, *object, {}, {}, {}, {}, {}, {}, 0, 0};
  observe(round);
  Status held = apply::set_finalizer(client_, caches_.clusters.type(), cluster.metadata,
                                     needed_at_its_end(round));
  if (!held.ok()) return Outcome::retry(held);
  Status applied = round.sight.paused || !round.sight.problem.empty() ? Status() : act(round);
  if (!applied.ok() && applied.code() != Code::kConflict && round.sight.problem.empty()) {
    round.sight.problem = applied.message();
  }
  auto status = cluster_status(cluster, round.sight, api::rfc3339(clock_.wall_ms()));
  clusters_.show_conditions(key, status.conditions);
  if (round.sight.certificates) clusters_.show_certificates(key, round.sight.certificates->list);
  Status written = write_status(cluster, status, *object);
  if (!applied.ok()) return Outcome::retry(applied);
  if (!written.ok()) return Outcome::retry(written);
  if (settled(status, round.sight)) return Outcome::follow(kSteadyMs, kSteadyMs);
  return Outcome::follow(kBusyMs, moving(status) ? kMovingMs : kSteadyMs);
}

// What is there and what is wanted; tells the coordinator. Changes nothing in Kubernetes.
void StreamClusterReconciler::observe(Round& round) {
  const api::StreamCluster& cluster = round.cluster;
  auto& sight = round.sight;
  sight.paused = cluster.metadata.paused();
  sight.pods = observe_pods(cluster, caches_.pods, caches_.nodes);
  round.set = observe_stateful_set(
      caches_.stateful_sets.get(cluster.metadata.ns, cluster.metadata.name));
  sight.scaler = observe_scaler(kube::key_of(round.object), caches_.autoscalers);
  sight.outside = observe_outside(cluster, caches_.services, sight.pods);
  round.claims = observe_claims(cluster, caches_.claims);
  round.current = brokers_that_exist(cluster, round.set, sight.pods);
  round.replicas = std::max(cluster.spec.brokers, round.current);
  for (const auto& claim : round.claims) {
    if (claim.deleting && claim.broker < round.replicas) sight.claims_deleting[claim.broker] = claim.name;
  }
  sight.replicas = round.set.exists ? round.current : 0;
  for (int32_t id = cluster.spec.brokers; id < round.current; id++) sight.surplus.push_back(id);
  sight.draining = sight.surplus;
  for (int32_t id : cluster.spec.drain) {
    if (id < cluster.spec.brokers) sight.draining.push_back(id);
  }
  auto errors = api::validate(cluster);
  if (!errors.empty()) sight.problem = api::to_string(errors);
  ClusterWishes wishes{{},
                       sight.draining,
                       sight.paused || cluster.spec.rebalancing.paused,
                       balancing_of(cluster, api::rfc3339(clock_.wall_ms())),
                       {},
                       {}};
  if (!clusters_.follows(cluster)) wishes.streams = streams_of(cluster);
  round.users = users_of(cluster);
  for (const auto& user : round.users) wishes.users.push_back(user.metadata.name);
  for (int32_t id = 0; id < round.replicas; id++) {
    const auto* pod = pod_of(sight.pods, id);
    wishes.brokers.push_back({id, pod ? pod->zone : ""});
    for (const auto& listener : cluster.spec.listeners) {
      auto address = plan::advertised_address(cluster.metadata.name, listener, id, sight.outside);
      if (!address) continue;
      auto& endpoint = wishes.brokers.back().listeners[listener.name];
      endpoint.set_host(address->host);
      endpoint.set_port(address->port);
    }
  }
  sight.view = clusters_.follow(cluster, wishes);
  choose_settings(round);
}

// Which image brokers have whose cluster names none: see kDefaultImageAnnotation.
void StreamClusterReconciler::choose_settings(Round& round) {
  const auto& cluster = round.cluster;
  round.default_image = settings_.broker_image;
  if (!settings_.upgrade_brokers && round.set.exists && !round.set.default_image.empty()) {
    round.default_image = round.set.default_image;
  } else if (!settings_.upgrade_brokers && !round.set.exists && cluster.spec.image.empty() &&
             !cluster.status.image.empty()) {
    round.default_image = cluster.status.image;
  }
  round.wanted = plan::pod_settings(cluster.spec, round.default_image,
                                    settings_.coordinator_address);
  round.sight.wanted_hash = round.wanted.hash();
  round.sight.image =
      round.set.settings ? round.set.settings->image : round.wanted.image;
}

Status StreamClusterReconciler::act(Round& round) {
  const api::StreamCluster& cluster = round.cluster;
  auto& sight = round.sight;
  RETURN_IF_ERROR(tend_certificates(round));
  if (!sight.surplus.empty() && drained(sight.view, sight.surplus)) {
    round.replicas = cluster.spec.brokers;
    events_.record(round.object, kube::EventType::kNormal, "BrokersRemoved",
                   "drained brokers are removed: " + std::to_string(round.current) + " -> " +
                       std::to_string(round.replicas));
  }
  if (round.set.exists) sight.roll = clusters_.plan_roll(kube::key_of(round.object), roll_of(round));
  RETURN_IF_ERROR(tend_volumes(round));
  if (must_be_made_again(round)) {
    return client_.remove(kube::stateful_sets(), {cluster.metadata.ns, cluster.metadata.name},
                          {.uid = round.set.uid, .propagation = "Orphan"});
  }
  RETURN_IF_ERROR(apply_all(round));
  sight.replicas = round.replicas;
  RETURN_IF_ERROR(restart_brokers(round));
  for (const auto& broker : sight.view.brokers) {
    if (broker.broker.id() >= round.replicas && !broker.broker.alive()) {
      clusters_.forget_broker({cluster.metadata.ns, cluster.metadata.name}, broker.broker.id());
    }
  }
  return {};
}

// The cluster's Secrets, and how far its brokers are with them: the rotation of the operator's CA
// waits for that, and the clients' CA is taken further here.
Status StreamClusterReconciler::tend_certificates(Round& round) {
  const auto& cluster = round.cluster;
  auto reissued = [&](const std::string& ca) { return users_reissued(round.users, ca); };
  const bool waits = std::any_of(round.sight.pods.begin(), round.sight.pods.end(),
                                 [](const auto& pod) { return pod.creating; });
  if (waits) certificates_.look_soon(kube::key_of(round.object));
  ASSIGN_OR_RETURN(auto certificates, 
      certificates_.ensure(
          cluster, plan::outside_hosts(cluster, round.replicas, round.sight.outside), reissued));
  if (certificates.ca_replaced) {
    events_.record(round.object, kube::EventType::kWarning, "CaReplaced", certificates.problem);
  }
  const auto loaded =
      loaded_files(certificates.files, round.current, round.sight.pods, round.sight.view);
  auto& rotation = round.sight.rotation;
  auto tell = [&](const char* which, certs::CaPhase phase, const std::string& waits_for) {
    if (phase == certs::CaPhase::kStable) return;
    rotation += std::string(rotation.empty() ? "" : "; ") + which + ": " + certs::to_string(phase) +
                (waits_for.empty() ? "" : ", waits for " + waits_for);
  };
  tell("the operator's CA", certificates_.authority().authority.phase(), loaded.waits_for);
  certificates_.tell(kube::key_of(round.object),
                     {certificates.authority_version, loaded.ca, loaded.cert, loaded.waits_for},
                     loaded.client_ca);
  round.sight.certificates = certificates;
  if (!certificates.clients) return {};
  const auto& clients = *certificates.clients;
  const bool all_users = reissued(clients.authority.ca.cert);
  tell("the clients' CA", clients.authority.phase(),
       !loaded.waits_for.empty() ? loaded.waits_for : all_users ? "" : "certificates of StreamUsers");
  const auto step = certs::next_step(
      clients.authority, {clients.asked, loaded.client_ca, all_users, clock_.wall_ms() / 1000,
                          settings_.ca_phase_seconds});
  if (step == certs::RotationStep::kNone) return {};
  RETURN_IF_ERROR(certificates_.advance_clients(cluster, clients, step));
  rotation += rotation.empty() ? "the clients' CA: the next phase begins" : "";
  return {};
}

plan::RollInput StreamClusterReconciler::roll_of(const Round& round) const {
  plan::RollInput input;
  input.wanted = round.sight.wanted_hash;
  if (round.set.good) input.good = round.set.good->hash();
  input.template_ready = round.set.template_seen && round.set.template_hash == input.wanted;
  for (int32_t id = 0; id < std::min(round.cluster.spec.brokers, round.current); id++) {
    plan::RollBroker broker;
    broker.id = id;
    broker.alive = is_alive(round.sight.view, id);
    if (const auto* pod = pod_of(round.sight.pods, id)) {
      broker.exists = true;
      broker.zone = pod->zone;
      broker.terminating = pod->terminating;
      broker.ready = pod->ready && broker.alive;
      broker.hash = pod->hash;
      broker.broken = pod->broken;
    }
    input.brokers.push_back(std::move(broker));
  }
  return input;
}

Status StreamClusterReconciler::restart_brokers(const Round& round) {
  for (int32_t id : round.sight.roll.restart) {
    const auto* pod = pod_of(round.sight.pods, id);
    CHECK(pod != nullptr);
    Status status =
        client_.remove(kube::pods(), {round.cluster.metadata.ns, pod->name}, {.uid = pod->uid});
    if (status.code() == Code::kNotFound || status.code() == Code::kConflict) continue;  // gone
    RETURN_IF_ERROR(status);
    broker::log_info("streamcluster", "restarting a broker",
                     {{"pod", pod->name}, {"why", round.sight.roll.message}});
    events_.record(round.object, kube::EventType::kNormal, "BrokerRestarting",
                   pod->name + ": " + round.sight.roll.message);
  }
  return {};
}

Status StreamClusterReconciler::tend_volumes(Round& round) {
  plan::VolumeInput input{round.cluster, round.claims, {}, round.sight.view.loaded,
                          round.sight.view.directories_in_use, round.replicas, clock_.wall_ms()};
  for (const auto& broker : round.sight.view.brokers) {
    input.brokers[broker.broker.id()] = {broker.broker.directory(), broker.broker.alive(),
                                         broker.replicas};
  }
  const std::string& ns = round.cluster.metadata.ns;
  auto step = plan::plan_volumes(input);
  round.sight.volumes_growing = step.growing;
  for (const auto& patch : step.patches) {
    RETURN_IF_ERROR(apply::patch_claim(client_, {ns, patch.claim}, patch.size, patch.annotations));
    auto intent = patch.annotations.find(plan::kDeleteAfterAnnotation);
    if (intent != patch.annotations.end() && !intent->second.empty()) {
      events_.record(round.object, kube::EventType::kNormal, "VolumeDeletionPlanned",
                     patch.claim + " is deleted after " + intent->second +
                         ", unless its annotation is taken away");
    }
  }
  for (const auto& removal : step.removals) {
    RETURN_IF_ERROR(apply::remove_claim(client_, {ns, removal.claim}, removal.uid,
                                        removal.resource_version));
    events_.record(round.object,
                   removal.lost ? kube::EventType::kWarning : kube::EventType::kNormal,
                   removal.lost ? "LostVolumeReplaced" : "VolumeDeleted",
                   removal.claim + ": " + removal.why);
    const auto* pod = removal.lost ? pod_of(round.sight.pods, removal.broker) : nullptr;
    if (!pod) continue;
    Status status = client_.remove(kube::pods(), {ns, pod->name}, {.uid = pod->uid});
    if (!status.ok() && status.code() != Code::kNotFound) return status;
  }
  return {};
}

// The size in a StatefulSet cannot be changed: when the volumes have grown, it is deleted without
// its pods and made again, so that the next broker gets a volume of that size too.
bool StreamClusterReconciler::is_outgrown(const Round& round) const {
  const std::string& wanted = round.cluster.spec.storage.size;
  return round.set.exists && api::compare_quantities(wanted, round.set.claim_size) > 0;
}

bool StreamClusterReconciler::must_be_made_again(const Round& round) const {
  const std::string& wanted = round.cluster.spec.storage.size;
  return is_outgrown(round) && std::all_of(round.claims.begin(), round.claims.end(), [&](const auto& claim) {
    return claim.broker >= round.replicas || api::compare_quantities(claim.size, wanted) >= 0;
  });
}

// Whether its deletion needs an operator: volumes are not the StatefulSet's to remove, and pods whose
// StatefulSet is not there (it is being made again, or somebody has deleted it) have no owner to go with.
bool StreamClusterReconciler::needed_at_its_end(const Round& round) const {
  if (round.cluster.spec.storage.deletion_policy == api::DeletionPolicy::kDelete) return true;
  return round.set.exists ? is_outgrown(round) : !round.sight.pods.empty();
}

// The finalizer `orphan` is there until the garbage collector has taken the cluster out of its children's owners, so
// the order of the looks matters: here the finalizer was read before. The ConfigMap tells where there is no
// StatefulSet.
Result<StreamClusterReconciler::Pods> StreamClusterReconciler::pods_at_the_end(
    const api::StreamCluster& cluster) {
  const auto& [ns, name] = std::tie(cluster.metadata.ns, cluster.metadata.name);
  if (cluster.metadata.has_finalizer(api::kOrphanFinalizer)) return Pods::kGoOn;
  auto set = client_.get(kube::stateful_sets(), ns, name);
  if (set.ok()) {
    if (!owned_by(*set, cluster.metadata.uid)) return Pods::kGoOn;
    return kube::metadata_text(*set, "deletionTimestamp").empty() ? Pods::kGoWithTheirSet
                                                                  : Pods::kAreBeingParted;
  }
  if (set.code() != Code::kNotFound) return set.status();
  auto config = client_.get(kube::config_maps(), ns, plan::config_name(name));
  if (!config.ok() && config.code() != Code::kNotFound) return config.status();
  return config.ok() && !owned_by(*config, cluster.metadata.uid) ? Pods::kGoOn : Pods::kHaveNoOwner;
}

// Its objects go with it, by their owner references; its volumes only where the user said so.
Outcome StreamClusterReconciler::let_go(const api::StreamCluster& cluster) {
  clusters_.forget({cluster.metadata.ns, cluster.metadata.name});
  certificates_.forget({cluster.metadata.ns, cluster.metadata.name});
  if (!cluster.metadata.has_finalizer(api::kFinalizer)) return Outcome::done();
  auto pods = pods_at_the_end(cluster);
  if (!pods.ok()) return Outcome::retry(pods.status());
  if (*pods == Pods::kAreBeingParted) return Outcome::requeue_after(kBusyMs);
  const std::string selector = plan::broker_selector(cluster.metadata.name);
  if (*pods == Pods::kHaveNoOwner) {
    Status gone = apply::remove_pods_without_owner(client_, cluster.metadata, selector);
    if (!gone.ok()) return Outcome::retry(gone);
  }
  if (*pods != Pods::kGoOn &&
      cluster.spec.storage.deletion_policy == api::DeletionPolicy::kDelete) {
    auto gone = apply::remove_volume_claims(client_, cluster.metadata, selector);
    if (!gone.ok()) return Outcome::retry(gone.status());
    Status forgotten = remove_shard_maps(cluster);
    if (!forgotten.ok()) return Outcome::retry(forgotten);
  }
  Status released =
      apply::set_finalizer(client_, caches_.clusters.type(), cluster.metadata, false);
  return released.ok() ? Outcome::done() : Outcome::retry(released);
}

// Where no volume is left, nor is any record that a ShardMap tells of: a StreamCluster that is made again
// begins its streams anew, instead of waiting for good for brokers with those directories.
Status StreamClusterReconciler::remove_shard_maps(const api::StreamCluster& cluster) {
  const auto& [ns, name] = std::tie(cluster.metadata.ns, cluster.metadata.name);
  ASSIGN_OR_RETURN(auto claims, client_.list(kube::persistent_volume_claims(),
                                             {ns, plan::broker_selector(name)}));
  for (const auto& claim : claims.items) {
    if (plan::broker_of_claim(kube::metadata_text(claim, "name"), name) < 0) continue;
    if (kube::metadata_text(claim, "deletionTimestamp").empty()) return {};
  }
  ASSIGN_OR_RETURN(auto maps, client_.list(metadata::shard_maps(),
                                           {ns, std::string(metadata::kClusterLabel) + "=" + name}));
  for (const auto& map : maps.items) {
    Status gone = client_.remove(metadata::shard_maps(), kube::key_of(map),
                                 {.uid = kube::metadata_text(map, "uid")});
    if (!gone.ok() && gone.code() != Code::kNotFound) return gone;
  }
  return {};
}

std::vector<std::shared_ptr<const api::Stream>> StreamClusterReconciler::streams_of(
    const api::StreamCluster& cluster) const {
  std::vector<std::shared_ptr<const api::Stream>> streams;
  for (const auto& object : caches_.streams.grouped(cluster.metadata.ns, cluster.metadata.name)) {
    auto stream = api::read_stream(*object);
    if (!stream.ok()) continue;
    streams.push_back(std::make_shared<const api::Stream>(std::move(*stream)));
  }
  return streams;
}

std::vector<api::StreamUser> StreamClusterReconciler::users_of(
    const api::StreamCluster& cluster) const {
  std::vector<api::StreamUser> users;
  for (const auto& object : caches_.users.grouped(cluster.metadata.ns, cluster.metadata.name)) {
    auto user = api::read_stream_user(*object);
    if (user.ok()) users.push_back(std::move(*user));
  }
  return users;
}

kube::Cache* StreamClusterReconciler::cache_for(const std::string& kind) {
  for (kube::Cache* cache :
       {&caches_.stateful_sets, &caches_.services, &caches_.config_maps, &caches_.service_accounts,
        &caches_.disruption_budgets, &caches_.network_policies, &caches_.ingresses}) {
    if (cache->type().kind == kind) return cache;
  }
  return nullptr;
}

Status StreamClusterReconciler::apply_all(const Round& round) {
  const auto& cluster = round.cluster;
  const auto& roll = round.sight.roll;
  plan::PlanInput input{cluster, round.wanted, round.default_image, round.replicas};
  input.good = roll.proven ? round.wanted : round.set.good;
  if (!roll.wanted_template && round.set.good) input.settings = *round.set.good;
  if (round.set.exists) {
    input.claim_size = round.set.claim_size;
  }
  input.may_evict = round.sight.view.may_evict;
  input.log_level = settings_.log_level;
  const auto objects = plan::desired_objects(input);
  RETURN_IF_ERROR(remove_unwanted_listeners(cluster, objects));
  for (const auto& wanted : objects) {
    // The next one is made when this one has gone: its end brings us back.
    if (round.set.going && wanted.value("kind", std::string()) == "StatefulSet") continue;
    RETURN_IF_ERROR(apply_one(cluster, wanted));
  }
  return {};
}

Status StreamClusterReconciler::apply_one(const api::StreamCluster& cluster, const Json& wanted) {
  const std::string name = kube::metadata_text(wanted, "name");
  if (kube::Cache* cache = cache_for(wanted.value("kind", std::string()))) {
    return apply::apply_object(client_, cache->type(), wanted, cache->get(cluster.metadata.ns, name))
        .status();
  }
  // Its definition may not be there, so it cannot be watched.
  const auto& type = kube::tls_routes();
  CHECK(wanted.value("kind", std::string()) == type.kind);
  auto found = client_.get(type, cluster.metadata.ns, name);
  if (!found.ok() && found.code() != Code::kNotFound) return found.status();
  auto live = found.ok() ? std::make_shared<const Json>(std::move(*found)) : nullptr;
  auto applied = apply::apply_object(client_, type, wanted, live);
  if (applied.code() != Code::kNotFound) return applied.status();
  return Status(Code::kUnsupported, "a listener of type TLSRoute needs the Gateway API: " +
                                        type.api_version() + " is not installed here");
}

// Of the Service of that name. One that is not the cluster's stays.
Status StreamClusterReconciler::remove_route(const api::StreamCluster& cluster,
                                             const std::string& type, const kube::ObjectKey& key) {
  if (type != "Ingress" && type != "TLSRoute") return {};
  const auto& kind = type == "Ingress" ? kube::ingresses() : kube::tls_routes();
  auto live = client_.get(kind, key.ns, key.name);
  if (!live.ok()) return live.status();
  if (!owned_by(*live, cluster.metadata.uid)) return {};
  return client_.remove(kind, key, {.uid = kube::metadata_text(*live, "uid")});
}

// Services of listeners and brokers that are no more, and routes of Services that have become
// something else. The Service tells of its route, so it goes, or changes, after it.
Status StreamClusterReconciler::remove_unwanted_listeners(const api::StreamCluster& cluster,
                                                          const std::vector<Json>& wanted) {
  const auto type_label = "/metadata/labels"_json_pointer / plan::kListenerTypeLabel;
  std::map<std::string, std::string> types;  // wanted, by the Service's name
  for (const auto& object : wanted) {
    if (object.value("kind", std::string()) == "Service" && object.contains(type_label)) {
      types[kube::metadata_text(object, "name")] = object.at(type_label).get<std::string>();
    }
  }
  for (const auto& service : caches_.services.grouped(cluster.metadata.ns, cluster.metadata.name)) {
    if (!service->contains(type_label) || !owned_by(*service, cluster.metadata.uid)) continue;
    const auto key = kube::key_of(*service);
    const std::string type = service->at(type_label).get<std::string>();
    auto keep = types.find(key.name);
    if (keep != types.end() && keep->second == type) continue;
    Status gone = remove_route(cluster, type, key);
    if (gone.code() == Code::kNotFound) gone = {};
    if (gone.ok() && keep == types.end()) {
      gone = client_.remove(kube::services(), key, {.uid = kube::metadata_text(*service, "uid")});
    }
    if (!gone.ok() && gone.code() != Code::kNotFound) return gone;
  }
  return {};
}

void StreamClusterReconciler::tell_changes(const api::StreamCluster& cluster,
                                           const api::StreamClusterStatus& status,
                                           const Json& object) {
  for (const auto& [type, good] : {std::pair{"Ready", "True"}, {"Degraded", "False"}}) {
    const auto* before = api::find_condition(cluster.status.conditions, type);
    const auto* after = api::find_condition(status.conditions, type);
    const bool ready = std::string(type) == "Ready";
    if (before && before->status == after->status && (ready || before->reason == after->reason)) {
      continue;
    }
    if (!ready && after->status == "False") continue;
    const bool fine = after->status == good;
    events_.record(object, fine ? kube::EventType::kNormal : kube::EventType::kWarning,
                   !ready ? after->reason : fine ? "Ready" : "NotReady", after->message);
  }
}

Status StreamClusterReconciler::write_status(const api::StreamCluster& cluster,
                                             const api::StreamClusterStatus& status,
                                             const Json& object) {
  if (status == cluster.status) return {};
  tell_changes(cluster, status, object);
  const auto& before = cluster.status.rebalance_proposal;
  const auto& after = status.rebalance_proposal;
  if (after && after->state == "Proposed" && (!before || before->id != after->id)) {
    events_.record(object, kube::EventType::kNormal, "RebalanceProposed",
                   std::to_string(after->moves.size()) + " replicas would move; the annotation " +
                       api::kApproveRebalanceAnnotation + ": " + after->id + " approves that");
  }
  Json patch{{"status", apply::merge_difference(object.value("status", Json::object()),
                                                api::status_to_json(status))}};
  return client_
      .merge_patch(metadata::stream_clusters(), {cluster.metadata.ns, cluster.metadata.name}, patch,
                   "status")
      .status();
}

}  // namespace sluice_operator::reconcile
