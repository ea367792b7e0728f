#include "tests/support/fake_api/lifecycle_world.h"

#include <nlohmann/json.hpp>

#include "broker/security/tls.h"
#include "operator/certs/certs.h"
#include "operator/kube/client/routes.h"

namespace sluice_tests {

namespace v1 = ::sluice::v1;
using kube::Json;

namespace {

constexpr const char* kBase = "/apis/sluice.dev/v1alpha1/namespaces/apps/streamclusters/orders";
constexpr const char* kSet = "/apis/apps/v1/namespaces/apps/statefulsets/orders";
constexpr int kBrokersMax = 6;

std::string pod_path(int32_t id) {
  return "/api/v1/namespaces/apps/pods/orders-" + std::to_string(id);
}
std::string claim_path(int32_t id) {
  return "/api/v1/namespaces/apps/persistentvolumeclaims/data-orders-" + std::to_string(id);
}
bool exists(const Json& object) { return object.value("kind", std::string()) != "Status"; }

bool is_event(const ApiCall& call) { return call.path.ends_with("/events"); }

}  // namespace

OperatorLife::OperatorLife(FakeApiServer& server, const std::string& image) : image_(image) {
  kube::ClientOptions options;
  options.retry_base_ms = 1;
  options.retry_cap_ms = 5;
  auto client = kube::Client::open(server.client_config(), fs_, clock_, random_, metrics_, options);
  CHECK(client.ok());
  client_ = std::move(*client);
  sessions_ = std::make_unique<coordinator::SessionServer>(executor_,
                                                           coordinator::SessionServerOptions{});
  clusters_ = std::make_unique<reconcile::Clusters>(executor_, clock_, random_, *client_, metrics_,
                                                    *sessions_);
  certificates_ = std::make_unique<reconcile::Certificates>(*client_, clock_, "sluice-system");
  events_ = std::make_unique<kube::EventRecorder>(*client_, clock_, metrics_, "sluice-operator",
                                                  "test");
  thread_ = std::thread([this] { executor_.run(); });
}

OperatorLife::~OperatorLife() {
  client_->stop();
  for (auto& cache : caches_) cache->stop();
  executor_.stop();
  thread_.join();
}

kube::Cache& OperatorLife::add(const kube::ResourceType& type) {
  kube::CacheOptions options = reconcile::cache_of(type);
  options.backoff_base_ms = 1;
  options.backoff_cap_ms = 10;
  caches_.push_back(
      std::make_unique<kube::Cache>(*client_, clock_, random_, metrics_, std::move(options)));
  return *caches_.back();
}

bool OperatorLife::start() {
  if (!certificates_->load().ok()) return false;
  reconcile::Caches caches{add(metadata::stream_clusters()), add(metadata::streams()),
                           add(kube::pods()), add(kube::nodes()),
                           add(kube::persistent_volume_claims()), add(kube::stateful_sets()),
                           add(kube::services()), add(kube::config_maps()),
                           add(kube::service_accounts()), add(kube::pod_disruption_budgets()),
                           add(kube::network_policies()), add(metadata::stream_users()),
                           add(kube::ingresses()), add(kube::horizontal_pod_autoscalers())};
  for (auto& cache : caches_) cache->start();
  for (auto& cache : caches_) {
    if (!cache->wait_synced(500)) return false;
  }
  reconciler_ = std::make_unique<reconcile::StreamClusterReconciler>(
      *client_, clock_, caches, *clusters_, *certificates_, *events_,
      reconcile::ClusterSettings{image_, "operator.sluice-system.svc:9443", "info", false, 0});
  users_ = std::make_unique<reconcile::StreamUserReconciler>(
      *client_, clock_, caches.users, caches.clusters, *clusters_, *certificates_);
  authority_ = std::make_unique<reconcile::AuthorityReconciler>(
      clock_, caches.clusters, *certificates_, *sessions_, *events_, metrics_,
      reconcile::AuthoritySettings{{"operator.sluice-system.svc"}, 0});
  std::promise<void> started;
  executor_.post([&] {
    clusters_->start();
    started.set_value();
  });
  started.get_future().wait();
  return true;
}

void OperatorLife::reconcile_authority() {
  // What the pass begins with is what the server gets; what it ends with, the next one gives.
  auto tls = authority_->server_tls();
  CHECK(tls.ok());
  tls_ = *tls;
  authority_->reconcile(certificates_->authority_key());
}

void OperatorLife::connect(const std::map<int32_t, std::string>& brokers,
                           const std::map<int32_t, MountedFiles>& files) {
  std::promise<void> done;
  executor_.post([&] {
    auto it = clusters_->all().find(kCluster);
    if (it == clusters_->all().end()) {
      session_of_.clear();
      return done.set_value();
    }
    auto& coordinator = it->second->coordinator;
    for (auto entry = session_of_.begin(); entry != session_of_.end();) {
      auto running = brokers.find(entry->first);
      if (running != brokers.end()) {
        ++entry;
        continue;
      }
      coordinator.on_disconnect(entry->second);
      entry = session_of_.erase(entry);
    }
    for (const auto& [id, directory] : brokers) {
      v1::BrokerMessage message;
      auto [entry, fresh] = session_of_.try_emplace(id, next_session_);
      if (fresh && coordinator.loaded()) {
        ++next_session_;
        coordinator.on_connect(entry->second);
        auto* hello = message.mutable_register_();
        hello->set_cluster("apps/orders");
        hello->set_process("process-" + std::to_string(next_session_));
        hello->mutable_broker()->set_id(id);
        hello->mutable_broker()->set_directory(directory);
        auto* listener = hello->mutable_broker()->add_listeners();
        listener->set_name("cloud");
        listener->mutable_endpoint()->set_host("orders-" + std::to_string(id));
        listener->mutable_endpoint()->set_port(9094);
      } else if (fresh) {
        session_of_.erase(entry);
        continue;
      } else {
        auto* told = message.mutable_heartbeat()->mutable_certificates();
        auto hash = [](const std::string& text) {
          return text.empty() ? "" : broker::security::sha256_hex(text);
        };
        const auto& mounted = files.at(id);
        told->set_ca(hash(mounted.ca));
        told->set_cert(hash(mounted.cert));
        told->set_client_ca(hash(mounted.client_ca));
        told->set_client_cert(hash(mounted.client_cert));
      }
      coordinator.on_message(entry->second, message);
    }
    done.set_value();
  });
  done.get_future().wait();
}

std::string OperatorLife::told(int32_t broker, const std::string& listener) {
  std::promise<std::string> told;
  executor_.post([&] {
    std::string text;
    auto it = clusters_->all().find(kCluster);
    if (it != clusters_->all().end()) {
      for (const auto& view : it->second->coordinator.brokers()) {
        for (const auto& known : view.broker.listeners()) {
          if (view.broker.id() != broker || known.name() != listener) continue;
          text = known.endpoint().host() + ":" + std::to_string(known.endpoint().port());
        }
      }
    }
    told.set_value(text);
  });
  return told.get_future().get();
}

std::optional<v1::Security> OperatorLife::security() {
  std::promise<std::optional<v1::Security>> told;
  executor_.post([&] {
    auto it = clusters_->all().find(kCluster);
    told.set_value(it == clusters_->all().end() ? std::nullopt : it->second->coordinator.security());
  });
  return told.get_future().get();
}

std::future<v1::AdminResponse> OperatorLife::ask(const v1::AdminRequest& request) {
  auto answer = std::make_shared<std::promise<v1::AdminResponse>>();
  executor_.post([this, request, answer] {
    clusters_->all().at(kCluster)->coordinator.admin(
        request, [answer](const v1::AdminResponse& response) { answer->set_value(response); });
  });
  return answer->get_future();
}

LifecycleWorld::LifecycleWorld() {
  server_.set_fault([this](const ApiCall& call) {
    if (dead_) return Fault::close_before();
    if (call.is_watch() || is_event(call)) return Fault::none();
    if (++calls_ != crash_at_) return Fault::none();
    dead_ = true;
    return crash_after_ ? Fault::close_after() : Fault::close_before();
  });
}

LifecycleWorld::~LifecycleWorld() = default;

void LifecycleWorld::crash_at(int n, bool after) {
  crash_at_ = n;
  crash_after_ = after;
}

void LifecycleWorld::fail(std::function<Fault(const ApiCall&)> faults) {
  server_.set_fault([this, faults = std::move(faults)](const ApiCall& call) {
    if (call.is_watch() || is_event(call)) return Fault::none();
    ++calls_;
    return faults(call);
  });
}

Json LifecycleWorld::get(const std::string& path) const {
  return const_cast<FakeApiServer&>(server_).get(path).body;
}

Json LifecycleWorld::stateful_set() const { return get(kSet); }

void LifecycleWorld::create(const Json& spec) {
  server_.apply(kBase, {{"apiVersion", "sluice.dev/v1alpha1"},
                        {"kind", "StreamCluster"},
                        {"metadata", {{"namespace", "apps"}, {"name", "orders"}}},
                        {"spec", spec}});
}

void LifecycleWorld::edit(const Json& spec) { server_.merge_patch(kBase, {{"spec", spec}}); }
void LifecycleWorld::remove() { server_.remove(kBase); }

bool LifecycleWorld::ready(int brokers) const {
  Json cluster = get(kBase);
  if (!exists(cluster) || !cluster.contains("status")) return false;
  const Json& status = cluster["status"];
  bool is_ready = false;
  for (const auto& condition : status.value("conditions", Json::array())) {
    is_ready |= condition["type"] == "Ready" && condition["status"] == "True";
  }
  return is_ready && status.value("observedGeneration", 0) == cluster["metadata"]["generation"] &&
         status.value("brokers", 0) == brokers && status.value("readyBrokers", 0) == brokers &&
         status.value("updatedBrokers", 0) == brokers;
}

std::set<std::string> LifecycleWorld::claims() const {
  std::set<std::string> out;
  for (int32_t id = 0; id < kBrokersMax; id++) {
    Json claim = get(claim_path(id));
    if (exists(claim)) out.insert(claim["metadata"]["name"].get<std::string>());
  }
  return out;
}

void LifecycleWorld::make_pod(int32_t id, const Json& set) {
  const Json& spec = set["spec"];
  Json claim = get(claim_path(id));
  if (!exists(claim)) {
    Json made = spec["volumeClaimTemplates"][0];
    made["apiVersion"] = "v1";
    made["kind"] = "PersistentVolumeClaim";
    made["metadata"]["name"] = "data-orders-" + std::to_string(id);
    made["metadata"]["namespace"] = "apps";
    claim = server_.apply(claim_path(id), made).body;
    server_.merge_patch(claim_path(id) + "/status", {{"status", {{"phase", "Bound"}}}});
  }
  const std::string uid = claim["metadata"]["uid"].get<std::string>();
  if (claim_uids_[id] != uid) {
    claim_uids_[id] = uid;
    static uint64_t seed = 0;
    ++seed;
    directories_[id] = broker::Uuid::from_random(seed, seed * 7919).to_string();
  }
  Json pod = {{"apiVersion", "v1"}, {"kind", "Pod"}, {"metadata", spec["template"]["metadata"]}};
  pod["metadata"]["name"] = "orders-" + std::to_string(id);
  pod["metadata"]["namespace"] = "apps";
  server_.apply(pod_path(id), pod);
  server_.merge_patch(pod_path(id) + "/status",
                      {{"status", {{"conditions", {{{"type", "Ready"}, {"status", "True"}}}}}}});
}

void LifecycleWorld::keep_certificates() {
  certificates_ = true;
  server_.apply("/apis/sluice.dev/v1alpha1/namespaces/apps/streamusers/alice",
                {{"apiVersion", "sluice.dev/v1alpha1"},
                 {"kind", "StreamUser"},
                 {"metadata", {{"namespace", "apps"}, {"name", "alice"}}},
                 {"spec", {{"cluster", "orders"}, {"authentication", {{"type", "Tls"}}}}}});
}

Json LifecycleWorld::secret(const kube::ObjectKey& key) const {
  return get("/api/v1/namespaces/" + key.ns + "/secrets/" + key.name);
}

void LifecycleWorld::rotate(const kube::ObjectKey& key) {
  server_.merge_patch("/api/v1/namespaces/" + key.ns + "/secrets/" + key.name,
                      {{"metadata", {{"annotations", {{reconcile::kRotateAnnotation, "now"}}}}}});
}

MountedFiles LifecycleWorld::mounted() const {
  const Json own = secret({"apps", "orders-tls"}), clients = secret({"apps", "orders-client-tls"});
  return {reconcile::data_of(own, "ca.crt"), reconcile::data_of(own, "tls.crt"),
          reconcile::data_of(clients, "clients-ca.crt"), reconcile::data_of(clients, "tls.crt")};
}

// A kubelet brings changed Secrets into its pod in its own time: one broker in each step.
void LifecycleWorld::refresh_files() {
  std::erase_if(files_, [&](const auto& entry) { return !running_.count(entry.first); });
  for (const auto& [id, directory] : running_) {
    if (!files_.count(id)) files_[id] = mounted();
  }
  if (files_.empty()) return;
  auto next = files_.lower_bound(next_refresh_);
  if (next == files_.end()) next = files_.begin();
  next->second = mounted();
  next_refresh_ = next->first + 1;
}

// Every handshake that could happen now.
void LifecycleWorld::shake_hands() {
  if (!certificates_ || !life_ || !life_->tls()) return;
  broker::env::PosixClock clock;
  const int64_t now_s = clock.wall_ms() / 1000;
  auto check = [&](const std::string& who, const std::string& cert, const std::string& whom,
                   const std::string& trusted) {
    if (!certs::verifies(cert, trusted, now_s)) refusals_.insert(whom + " refuses " + who);
  };
  const auto& operator_tls = *life_->tls();
  const std::string alice = reconcile::data_of(secret({"apps", "alice"}), "user.crt");
  for (const auto& [id, files] : files_) {
    const std::string name = "broker " + std::to_string(id);
    check("the coordinator", operator_tls.cert, name, files.ca);
    check(name, files.cert, "the coordinator", operator_tls.ca);
    for (const auto& [other, theirs] : files_) {
      check(name, files.cert, "broker " + std::to_string(other), theirs.ca);
    }
    if (!alice.empty()) check("alice", alice, name, files.client_ca);
  }
}

// What the StatefulSet's controller and the kubelets do, at once.
void LifecycleWorld::keep_pods() {
  Json set = stateful_set();
  const int32_t replicas = exists(set) ? set["spec"].value("replicas", 0) : -1;
  running_.clear();
  for (int32_t id = 0; id < kBrokersMax; id++) {
    bool there = exists(get(pod_path(id)));
    if (known_pods_.count(id) && !there) ++restarts_;
    if (replicas >= 0 && id >= replicas && there) {
      server_.remove(pod_path(id));
      there = false;
    }
    if (!there && id < replicas) {
      make_pod(id, set);
      there = true;
    }
    if (there) known_pods_.insert(id), running_[id] = directories_[id];
    else known_pods_.erase(id);
  }
  if (replicas < 0) return;
  server_.merge_patch(std::string(kSet) + "/status",
                      {{"status", {{"observedGeneration", set["metadata"]["generation"]}}}});
}

void LifecycleWorld::begin_life() {
  life_.reset();
  if (dead_.exchange(false)) crash_at_ = 0;
  ++lives_;
  life_ = std::make_unique<OperatorLife>(server_, "sluice:1");
  if (!life_->start()) life_.reset();
}

void LifecycleWorld::step() {
  if (!life_ || dead_) begin_life();
  if (!life_) return;
  keep_pods();
  refresh_files();
  life_->connect(running_, files_);
  life_->reconcile();
  if (certificates_ && !dead_) life_->reconcile_user("alice");
  if (certificates_ && !dead_) life_->reconcile_authority();
  shake_hands();
  if (dead_) return;
  kube::StopSignal never;
  never.wait_ms(3);  // the watches bring what was written
}

bool LifecycleWorld::run_until(const std::function<bool()>& done, int steps_max) {
  for (int i = 0; i < steps_max; i++) {
    step();
    if (!dead_ && done()) return true;
  }
  return false;
}

std::vector<std::string> LifecycleWorld::writes_when_settled() {
  // What the last pass wrote comes back first.
  for (int i = 0; i < 5; i++) step();
  server_.forget_calls();
  for (int i = 0; i < 5; i++) step();
  std::vector<std::string> writes;
  for (const auto& call : server_.calls()) {
    if (call.is_write() && !is_event(call)) writes.push_back(call.method + " " + call.path);
  }
  return writes;
}

}  // namespace sluice_tests
