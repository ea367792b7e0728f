#include "operator/reconcile/operator.h"

#include <boost/asio/signal_set.hpp>
#include <malloc.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <sstream>

#include "broker/base/log.h"
#include "operator/api/json.h"
#include "operator/kube/client/routes.h"
#include "operator/kube/lease/lease.h"
#include "operator/reconcile/authority.h"
#include "operator/reconcile/autoscaler.h"
#include "operator/reconcile/observe.h"
#include "operator/reconcile/stream.h"
#include "operator/reconcile/stream_cluster.h"
#include "operator/reconcile/stream_user.h"
#include "operator/runtime/controller.h"
#include "operator/runtime/http_pages.h"
#include "operator/webhook/webhook.h"

namespace sluice_operator::reconcile {

using broker::Code;
using broker::Result;
using broker::Status;
using kube::JsonPtr;

namespace {

constexpr const char* kUsage =
    "sluice-operator run reconciles StreamClusters and Streams on Kubernetes.\n\n"
    "  --broker-image=IMAGE          image of brokers whose StreamCluster names none (required)\n"
    "  --coordinator-address=H:P     what brokers dial: this operator's Service (required)\n"
    "  --operator-namespace=NS       where the Lease and the CA are kept (required)\n"
    "  --pod-name=NAME               this replica's name in the Lease (required)\n"
    "  --watch-namespaces=NS,NS      the namespaces to watch; all by default\n"
    "  --upgrade-brokers=false       true: brokers whose StreamCluster names no image follow\n"
    "                                --broker-image when it changes, one after the other\n"
    "  --ca-phase-seconds=3600       the least time in a phase of a CA's rotation: clients take up\n"
    "                                new CAs and certificates meanwhile\n"
    "  --coordinator-port=9443       where this process listens for brokers\n"
    "  --http-port=8080              /metrics, /livez and /readyz\n"
    "  --webhook-configuration=NAME  the ValidatingWebhookConfiguration whose questions this process\n"
    "                                answers and which it gives its CA; none by default\n"
    "  --webhook-host=HOST           what the API server calls this process: its Service\n"
    "  --webhook-port=9444           where it listens for the API server\n"
    "  --kubeconfig=FILE --context=NAME   outside a pod\n"
    "  --log-level=info --log-format=text\n";

using Settings = std::map<std::string, std::string>;

Result<Settings> parse(const std::vector<std::string>& arguments) {
  Settings settings{{"coordinator-port", "9443"}, {"http-port", "8080"}, {"log-level", "info"},
                    {"log-format", "text"},       {"watch-namespaces", ""},
                    {"kubeconfig", ""},           {"context", ""},
                    {"broker-image", ""},         {"coordinator-address", ""},
                    {"operator-namespace", ""},   {"pod-name", ""},
                    {"webhook-configuration", ""}, {"webhook-host", ""},
                    {"webhook-port", "9444"},
                    {"upgrade-brokers", "false"}, {"ca-phase-seconds", "3600"}};
  for (const auto& argument : arguments) {
    if (argument == "--help") return Settings{{"help", "true"}};
    auto equals = argument.find('=');
    std::string name = argument.substr(0, equals);
    if (name.rfind("--", 0) != 0 || !settings.contains(name.substr(2)) ||
        equals == std::string::npos) {
      return Status(Code::kInvalidArgument,
                    "unknown option or no value: '" + argument + "'; see --help");
    }
    settings[name.substr(2)] = argument.substr(equals + 1);
  }
  for (const char* required :
       {"broker-image", "coordinator-address", "operator-namespace", "pod-name"}) {
    if (settings[required].empty()) {
      return Status(Code::kInvalidArgument, std::string("--") + required + " is required");
    }
  }
  const std::string& phase = settings["ca-phase-seconds"];
  if (phase.empty() || phase.size() > 9 ||
      phase.find_first_not_of("0123456789") != std::string::npos) {
    return Status(Code::kInvalidArgument,
                  "--ca-phase-seconds '" + phase + "': expected a number from 0 on");
  }
  if (!settings["webhook-configuration"].empty() && settings["webhook-host"].empty()) {
    return Status(Code::kInvalidArgument, "--webhook-configuration needs --webhook-host");
  }
  return settings;
}

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> out;
  std::istringstream in(text);
  for (std::string part; std::getline(in, part, ',');) {
    if (!part.empty()) out.push_back(part);
  }
  return out;
}

kube::CacheOptions cache_options(const kube::ResourceType& type,
                                 const std::vector<std::string>& namespaces,
                                 const std::string& labels = "") {
  kube::CacheOptions options = cache_of(type);
  if (type.namespaced) options.namespaces = namespaces;
  options.selection.label_selector = labels;
  return options;
}

kube::ObjectKey cluster_of(const kube::Json& stream) {
  return {kube::metadata_text(stream, "namespace"),
          stream.value("/spec/cluster"_json_pointer, std::string())};
}

// A runtime::Mapper.
void map_to_scaled(const JsonPtr& before, const JsonPtr& after, const runtime::Enqueue& enqueue) {
  for (const auto& autoscaler : {before, after}) {
    auto key = autoscaler ? cluster_scaled_by(*autoscaler) : kube::ObjectKey();
    if (!key.name.empty()) enqueue(key);
  }
}

// What runs only on the active replica. Built on a thread of its own, since it waits for the API.
struct Active {
  Active(broker::env::AsioExecutor& executor, broker::env::Clock& clock,
         broker::env::Random& random, kube::Client& client, broker::Metrics& metrics,
         const Settings& settings)
      : executor_(executor), clock_(clock), random_(random), client_(client), metrics_(metrics),
        settings_(settings), certificates_(client, clock, settings.at("operator-namespace")),
        events_(client, clock, metrics, "sluice-operator", settings.at("pod-name")) {
    const auto ns = split(settings.at("watch-namespaces"));
    const std::string ours = "app.kubernetes.io/managed-by=sluice-operator";
    const std::string brokers =
        "app.kubernetes.io/name=sluice,app.kubernetes.io/component=broker";
    add("streamclusters", cache_options(metadata::stream_clusters(), ns));
    add("streams", cache_options(metadata::streams(), ns));
    add("streamusers", cache_options(metadata::stream_users(), ns));
    add("pods", cache_options(kube::pods(), ns, brokers));
    add("nodes", cache_options(kube::nodes(), {}));
    add("persistentvolumeclaims", cache_options(kube::persistent_volume_claims(), ns, brokers));
    add("statefulsets", cache_options(kube::stateful_sets(), ns, ours));
    add("services", cache_options(kube::services(), ns, ours));
    add("configmaps", cache_options(kube::config_maps(), ns, ours));
    add("serviceaccounts", cache_options(kube::service_accounts(), ns, ours));
    add("poddisruptionbudgets", cache_options(kube::pod_disruption_budgets(), ns, ours));
    add("ingresses", cache_options(kube::ingresses(), ns, ours));
    add("networkpolicies", cache_options(kube::network_policies(), ns, ours));
    add("horizontalpodautoscalers", cache_options(kube::horizontal_pod_autoscalers(), ns));
  }

  void add(const std::string& name, kube::CacheOptions options) {
    caches_[name] = std::make_unique<kube::Cache>(client_, clock_, random_, metrics_,
                                                  std::move(options));
  }
  kube::Cache& cache(const std::string& name) { return *caches_.at(name); }

  Status start() {
    RETURN_IF_ERROR(certificates_.load());
    coordinator::SessionServerOptions options;
    options.listen = "0.0.0.0:" + settings_.at("coordinator-port");
    ASSIGN_OR_RETURN(auto leaf, certificates_.issue(coordinator_hosts()));
    options.tls = std::make_unique<coordinator::ServerTls>(coordinator::ServerTls{
        certificates_.authority().authority.bundle(), leaf.cert, leaf.key});
    std::string listen = options.listen;
    server_ = std::make_unique<coordinator::SessionServer>(executor_, std::move(options));
    clusters_ = std::make_unique<Clusters>(executor_, clock_, random_, client_, metrics_, *server_);
    build_controllers();
    for (auto& [name, cache] : caches_) cache->start();
    for (auto& [name, cache] : caches_) {
      while (!cache->wait_synced(5000)) {
        if (stopping_) return Status(Code::kUnavailable, "stopping");
        broker::log_warn("operator", "still listing", {{"kind", name}});
      }
    }
    std::promise<Status> started;
    executor_.post([&] {
      Status status = server_->start();
      if (status.ok()) {
        clusters_->start();
        autoscaler_->start();
      }
      started.set_value(status);
    });
    RETURN_IF_ERROR(started.get_future().get());
    authority_controller_->start();
    cluster_controller_->start();
    stream_controller_->start();
    user_controller_->start();
    executor_.post([this] { watch_for_stuck(); });
    trim_thread_ = kube::Thread("trim", [this] { give_back_memory(); });
    broker::log_info("operator", "active", {{"coordinator", listen}});
    return {};
  }

  std::vector<std::string> coordinator_hosts() const {
    const std::string& address = settings_.at("coordinator-address");
    return {address.substr(0, address.rfind(':')), "localhost"};
  }

  // On the executor. The gauges of the start times are there for alerts; this is for whoever reads the
  // log then, and wants to know which object it is.
  void watch_for_stuck() {
    constexpr int64_t kLookMs = 30'000, kStuckMs = 60'000;
    if (stopping_) return;
    for (auto* controller :
         {cluster_controller_.get(), stream_controller_.get(), user_controller_.get()}) {
      controller->tell_stuck(kStuckMs);
    }
    executor_.schedule_after(kLookMs, [this] { watch_for_stuck(); });
  }

  // Where pages of lists, and what a first look at everything takes, have been: between what stays, so that
  // free() alone does not give it back. On a thread of its own: nobody waits for it.
  void give_back_memory() {
    constexpr int64_t kFirstMs = 10'000, kEveryMs = 600'000;
    for (int64_t wait_ms = kFirstMs; !trim_stop_.wait_ms(wait_ms);
         wait_ms = std::min(2 * wait_ms, kEveryMs)) {
      ::malloc_trim(0);
    }
  }

  void build_controllers() {
    const int64_t phase_seconds = std::stoll(settings_.at("ca-phase-seconds"));
    authority_reconciler_ = std::make_unique<AuthorityReconciler>(
        clock_, cache("streamclusters"), certificates_, *server_, events_, metrics_,
        AuthoritySettings{coordinator_hosts(), phase_seconds});
    authority_controller_ = std::make_unique<runtime::Controller>(
        runtime::ControllerOptions{"authority", 1, {}}, *authority_reconciler_, clock_, random_,
        metrics_);
    authority_reconciler_->on_phase(
        [this](const kube::ObjectKey& cluster) { cluster_controller_->enqueue(cluster); });
    authority_controller_->enqueue(certificates_.authority_key());

    Caches caches{cache("streamclusters"),       cache("streams"),
                  cache("pods"),                 cache("nodes"),
                  cache("persistentvolumeclaims"),
                  cache("statefulsets"),         cache("services"),
                  cache("configmaps"),           cache("serviceaccounts"),
                  cache("poddisruptionbudgets"), cache("networkpolicies"),
                  cache("streamusers"),          cache("ingresses"),
                  cache("horizontalpodautoscalers")};
    cluster_reconciler_ = std::make_unique<StreamClusterReconciler>(
        client_, clock_, caches, *clusters_, certificates_, events_,
        ClusterSettings{settings_.at("broker-image"), settings_.at("coordinator-address"),
                        settings_.at("log-level"), settings_.at("upgrade-brokers") == "true",
                        phase_seconds});
    stream_reconciler_ = std::make_unique<StreamReconciler>(
        client_, clock_, cache("streams"), cache("streamclusters"), *clusters_);
    cluster_controller_ = std::make_unique<runtime::Controller>(
        runtime::ControllerOptions{"streamcluster", 4, {}, "StreamCluster"}, *cluster_reconciler_, clock_, random_,
        metrics_);
    stream_controller_ = std::make_unique<runtime::Controller>(
        runtime::ControllerOptions{"stream", 4, {}, "Stream"}, *stream_reconciler_, clock_, random_,
        metrics_);
    cluster_controller_->watch(cache("streamclusters"), runtime::map_to_self(),
                               runtime::asks_for_something_new);
    auto to_owner = runtime::map_to_owner(metadata::stream_clusters());
    for (const char* name : {"statefulsets", "services", "configmaps", "serviceaccounts",
                             "poddisruptionbudgets", "networkpolicies", "ingresses"}) {
      cluster_controller_->watch(cache(name), to_owner, nullptr, kCompanyMs);
    }
    for (const char* name : {"pods", "persistentvolumeclaims"}) {
      cluster_controller_->watch(cache(name),
                                 runtime::map_to_label("app.kubernetes.io/instance"), nullptr,
                                 kCompanyMs);
    }
    cluster_controller_->watch(cache("horizontalpodautoscalers"), map_to_scaled,
                               runtime::asks_for_something_new);
    stream_controller_->watch(cache("streams"), runtime::map_to_self(),
                              runtime::asks_for_something_new);
    cache("streams").on_change([this](const JsonPtr& before, const JsonPtr& after) {
      if (before && !after) {
        clusters_->stream_seen(cluster_of(*before), kube::metadata_text(*before, "name"), nullptr);
      }
    });
    user_reconciler_ = std::make_unique<StreamUserReconciler>(
        client_, clock_, cache("streamusers"), cache("streamclusters"), *clusters_, certificates_);
    user_controller_ = std::make_unique<runtime::Controller>(
        runtime::ControllerOptions{"streamuser", 1, {}, "StreamUser"}, *user_reconciler_, clock_, random_,
        metrics_);
    user_controller_->watch(cache("streamusers"), runtime::map_to_self(),
                            runtime::asks_for_something_new);
    // A user that goes, or that is new: its cluster looks at the list again.
    cache("streamusers").on_change([this](const JsonPtr& before, const JsonPtr& after) {
      if (before && after) return;
      cluster_controller_->enqueue(cluster_of(before ? *before : *after));
    });
    // Streams and users of a cluster that has gone say so, at once.
    cache("streamclusters").on_change([this](const JsonPtr& before, const JsonPtr& after) {
      if (!before || after) return;
      const auto key = kube::key_of(*before);
      for (const auto& stream : cache("streams").grouped(key.ns, key.name)) {
        stream_controller_->enqueue(kube::key_of(*stream));
      }
      for (const auto& user : cache("streamusers").grouped(key.ns, key.name)) {
        user_controller_->enqueue(kube::key_of(*user));
      }
    });
    clusters_->on_changed([this](const kube::ObjectKey& key) { cluster_changed(key); });
    autoscaler_ = std::make_unique<Autoscaler>(*clusters_, clock_, client_, cache("pods"),
                                               cache("streamclusters"), cache("streams"),
                                               cache("horizontalpodautoscalers"), events_, metrics_);
    autoscaler_->on_decided(
        [this](const kube::ObjectKey& stream) { stream_controller_->enqueue(stream); });
  }

  // What a coordinator learns, and what becomes of a cluster's objects, shows in status a moment later,
  // several things at once: each look may be a write.
  static constexpr int64_t kCompanyMs = 200;
  void cluster_changed(const kube::ObjectKey& key) {
    cluster_controller_->enqueue_after(key, kCompanyMs);
    auto it = clusters_->all().find(key);
    if (it == clusters_->all().end()) return;
    for (const auto& [resource, stream] : it->second->streams) {
      stream_controller_->enqueue_after({key.ns, resource}, kCompanyMs);
    }
  }

  // While the executor still runs: reconcilers wait for it.
  void stop() {
    stopping_ = true;
    trim_stop_.stop();
    trim_thread_.join();
    if (authority_controller_) authority_controller_->stop();
    if (cluster_controller_) cluster_controller_->stop();
    if (stream_controller_) stream_controller_->stop();
    if (user_controller_) user_controller_->stop();
    for (auto& [name, cache] : caches_) cache->stop();
  }

  bool synced() const {
    return std::all_of(caches_.begin(), caches_.end(),
                       [](const auto& entry) { return entry.second->synced(); });
  }

  broker::env::AsioExecutor& executor_;
  broker::env::Clock& clock_;
  broker::env::Random& random_;
  kube::Client& client_;
  broker::Metrics& metrics_;
  const Settings& settings_;
  std::atomic<bool> stopping_ = false;
  kube::StopSignal trim_stop_;
  kube::Thread trim_thread_;
  Certificates certificates_;
  kube::EventRecorder events_;
  std::map<std::string, std::unique_ptr<kube::Cache>> caches_;
  std::unique_ptr<coordinator::SessionServer> server_;
  std::unique_ptr<Clusters> clusters_;
  std::unique_ptr<AuthorityReconciler> authority_reconciler_;
  std::unique_ptr<runtime::Controller> authority_controller_;
  std::unique_ptr<StreamClusterReconciler> cluster_reconciler_;
  std::unique_ptr<StreamReconciler> stream_reconciler_;
  std::unique_ptr<runtime::Controller> cluster_controller_;
  std::unique_ptr<runtime::Controller> stream_controller_;
  std::unique_ptr<StreamUserReconciler> user_reconciler_;
  std::unique_ptr<runtime::Controller> user_controller_;
  std::unique_ptr<Autoscaler> autoscaler_;
};

struct Process {
  explicit Process(Settings s) : settings(std::move(s)) {}

  Status open() {
    auto config = settings["kubeconfig"].empty()
                      ? kube::in_cluster_config(fs)
                      : kube::kubeconfig(fs, settings["kubeconfig"], settings["context"]);
    if (!config.ok()) return config.status();
    ASSIGN_OR_RETURN(client, kube::Client::open(*config, fs, clock, random, metrics));
    lease.ns = settings["operator-namespace"];
    lease.name = "sluice-operator";
    lease.identity = settings["pod-name"];
    ASSIGN_OR_RETURN(lease_client, kube::Client::open(*config, fs, clock, random, metrics,
                                                      kube::client_options(lease)));
    ASSIGN_OR_RETURN(pages, runtime::HttpPages::open(
                                "0.0.0.0:" + settings["http-port"], metrics, [] { return Status(); },
                                [this] { return ready(); }));
    return {};
  }

  // A standby is ready: it is there to take over.
  Status ready() {
    if (!leading || (active_started && active->synced())) return {};
    return Status(Code::kUnavailable, "starting to lead");
  }

  void begin() {
    kube::LeaderElection::Callbacks callbacks;
    callbacks.on_started = [this] { start_leading(); };
    callbacks.on_lost = [this] { end("the lease is lost", 1); };
    callbacks.on_observed = [](const std::string& holder) {
      broker::log_info("operator", "lease", {{"holder", holder}});
    };
    election = std::make_unique<kube::LeaderElection>(*lease_client, clock, random, metrics, lease,
                                                      callbacks);
    election_thread = kube::Thread("election", [this] { election->run(stop); });
    if (!settings["webhook-configuration"].empty()) {
      webhook_thread = kube::Thread("webhook-open", [this] { open_webhook(); });
    }
  }

  // A standby answers, too. Without the webhook the operator still works: objects that it would have
  // refused get a condition.
  void open_webhook() {
    constexpr int64_t kAgainMs = 5000;
    webhook::WebhookOptions options;
    options.listen = "0.0.0.0:" + settings["webhook-port"];
    options.configuration = settings["webhook-configuration"];
    options.keys = [this, names = std::vector<std::string>{settings["webhook-host"], "localhost"},
                    certificates = std::make_shared<Certificates>(
                        *client, clock, settings["operator-namespace"]),
                    leaf = std::make_shared<certs::KeyPair>()]() -> Result<webhook::ServerKeys> {
      RETURN_IF_ERROR(certificates->load());
      const certs::Authority authority = certificates->authority().authority;
      if (certs::needs_issue(*leaf, authority.ca.cert, certs::for_hosts(names),
                             clock.wall_ms() / 1000)) {
        ASSIGN_OR_RETURN(*leaf, certificates->issue(names));
      }
      return webhook::ServerKeys{authority.bundle(), leaf->cert, leaf->key};
    };
    do {
      auto opened = webhook::Webhook::open(options, *client, clock, metrics);
      if (opened.ok()) {
        broker::log_info("webhook", "answers the API server", {{"listen", options.listen}});
        admission_webhook = std::move(*opened);
        return;
      }
      broker::log_warn("webhook", "not yet", {{"error", opened.status().to_string()}});
    } while (!stop.wait_ms(kAgainMs));
  }

  void start_leading() {
    std::lock_guard lock(begin_mutex);
    if (ending) return;
    leading = true;
    active = std::make_unique<Active>(executor, clock, random, *client, metrics, settings);
    active_thread = kube::Thread("activate", [this] {
      Status started = active->start();
      if (!started.ok() && !stop.stopped()) {
        broker::log_error("operator", "cannot lead", {{"error", started.to_string()}});
        end("it cannot lead", 1);
      }
      active_started = started.ok();
    });
  }

  // From any thread, once: ends the process in order.
  void end(const char* why, int status) {
    if (ending.exchange(true)) return;
    broker::log_info("operator", "stopping", {{"why", why}});
    exit_status = status;
    executor.post([this] {
      ending_thread = kube::Thread("ending", [this] {
        stop.stop();
        // A lease won at this moment: who begins to lead has begun, or sees the end.
        { std::lock_guard lock(begin_mutex); }
        if (active) {
          active->stopping_ = true;
          client->stop();
          active_thread.join();
          active->stop();
        }
        client->stop();
        webhook_thread.join();
        admission_webhook.reset();
        election_thread.join();  // gives the lease back
        executor.stop();
      });
    });
  }

  Settings settings;
  broker::Metrics metrics;
  broker::env::PosixClock clock;
  broker::env::PosixFileSystem fs;
  broker::env::SystemRandom random;
  broker::env::AsioExecutor executor;
  kube::StopSignal stop;
  kube::LeaseOptions lease;
  std::unique_ptr<kube::Client> client, lease_client;
  std::atomic<bool> leading = false, active_started = false, ending = false;
  int exit_status = 0;
  std::mutex begin_mutex;  // over the making of `active` and its thread
  std::unique_ptr<Active> active;
  std::unique_ptr<kube::LeaderElection> election;
  kube::Thread election_thread, active_thread, ending_thread, webhook_thread;
  std::unique_ptr<webhook::Webhook> admission_webhook;
  std::unique_ptr<runtime::HttpPages> pages;
};

}  // namespace

int run_operator(const std::vector<std::string>& arguments) {
  auto settings = parse(arguments);
  if (!settings.ok()) {
    std::fprintf(stderr, "sluice-operator run: %s\n", settings.status().message().c_str());
    return 2;
  }
  if (settings->contains("help")) {
    std::fputs(kUsage, stdout);
    return 0;
  }
  if (!broker::configure_log((*settings)["log-level"], (*settings)["log-format"])) {
    std::fprintf(stderr, "sluice-operator run: unknown --log-level or --log-format\n");
    return 2;
  }
  // Threads mostly wait: for each to have a heap of its own keeps a tenth of the memory for nothing.
  ::mallopt(M_ARENA_MAX, 2);
  // Nor is what is freed kept aside by size, in the midst of pages that could be given back.
  ::mallopt(M_MXFAST, 0);
  // What is as large as a page of a list or of metrics is mapped, and unmapped when it is freed; glibc
  // would put it on the heap after the first of its kind.
  ::mallopt(M_MMAP_THRESHOLD, 256 << 10);
  Process process(std::move(*settings));
  Status opened = process.open();
  if (!opened.ok()) {
    std::fprintf(stderr, "sluice-operator run: %s\n", opened.to_string().c_str());
    return 1;
  }
  boost::asio::signal_set signals(process.executor.context(), SIGTERM, SIGINT);
  signals.async_wait([&](boost::system::error_code, int) { process.end("signal", 0); });
  process.begin();
  process.executor.run();
  process.ending_thread.join();
  broker::log_info("operator", "stopped");
  std::fflush(nullptr);
  // Everything that writes has ended in order; what is left are caches in memory.
  std::_Exit(process.exit_status);
}

}  // namespace sluice_operator::reconcile
