#pragma once
// The coordinators of all StreamClusters in this process, and what reconcilers ask of them. The
// coordinators live on one executor (the process's main thread); reconcilers call from their own
// threads and wait for the answer. Made by Operator.
#include <array>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "broker/coordination/coordinator.h"
#include "broker/env/posix/asio_executor.h"
#include "broker/env/posix/posix.h"
#include "operator/api/stream.h"
#include "operator/autoscale/brokers.h"
#include "operator/autoscale/decide.h"
#include "operator/coordinator/metrics_observer.h"
#include "operator/coordinator/session_server.h"
#include "operator/kube/events/recorder.h"
#include "operator/metadata/kube_store.h"
#include "operator/plan/roll.h"
#include "operator/reconcile/certificates.h"

namespace sluice_operator::reconcile {

// A cluster's state as the coordinator sees it: a copy, for status.
struct ClusterView {
  bool loaded = false;
  std::string load_error;
  std::vector<api::Decision> broker_decisions;  // newest first
  std::string metrics_reason, metrics_problem;  // why the load is not known; empty: it is
  std::vector<broker::coordination::BrokerView> brokers;
  std::map<int32_t, broker::coordination::DrainProgress> draining;
  std::string drain_refused;  // why what was to be drained is not
  int moves_in_flight = 0;
  int moves_planned = 0;
  int64_t bytes_to_move = 0;
  // With RebalancingMode::kPropose; nothing before the coordinator has looked.
  std::optional<std::vector<broker::coordination::PlannedMove>> proposed_moves;
  std::optional<int> approved_moves_left;
  // Every broker, alone, can be stopped without a shard losing its majority, and could for a while.
  bool may_evict = true;
  std::vector<std::string> directories_in_use;  // of replicas and learners
  std::optional<sluice::v1::Bill> bill;         // when it is time to show a newer one
  std::string prices_problem;                   // why spec.prices are not used
};

// What is wanted of a cluster's coordinator.
struct ClusterWishes {
  std::vector<broker::coordination::ExpectedBroker> brokers;
  std::vector<int32_t> draining;
  bool moves_paused = false;
  broker::coordination::Balancing balancing;
  // Needed where the cluster has no coordinator yet (follows()): later ones come by stream_seen.
  std::vector<std::shared_ptr<const api::Stream>> streams;
  std::vector<std::string> users;  // StreamUser resources of the cluster
};

struct StreamView {
  bool known = false;  // a map exists
  std::string problem;
  bool waits = false;  // the problem goes by itself when brokers come
  bool no_cluster = false;  // there is no StreamCluster of the name
  sluice::v1::ShardMap map;
  std::vector<api::Decision> decisions;  // newest first
  std::string metrics_reason, metrics_problem;  // why the load is not known; empty: it is
  std::optional<sluice::v1::Bill> bill;         // when it is time to show a newer one
  int64_t next_bill_ms = 0;                     // when there may be one; 0: not known
};

// What is kept for as long as there is the stream: all but what only its status shows.
std::shared_ptr<const api::Stream> for_keeping(const api::Stream& stream);

class Clusters {
 public:
  // Told on the executor that a cluster's state changed.
  using Changed = std::function<void(const kube::ObjectKey& cluster)>;

  Clusters(broker::env::AsioExecutor& executor, broker::env::Clock& clock,
           broker::env::Random& random, kube::Client& client, broker::Metrics& metrics,
           coordinator::SessionServer& server);
  ~Clusters();
  void on_changed(Changed changed) { changed_ = std::move(changed); }
  // Keeps the coordinators' time; on the executor. Those without brokers are ticked when something has
  // come that concerns them, and else only seldom.
  void start();

  // From any thread but the executor's; each waits for the executor.
  // Whether this very cluster has its coordinator here.
  bool follows(const api::StreamCluster& cluster);
  // Makes the cluster's coordinator where there is none, and tells it what is wanted.
  ClusterView follow(const api::StreamCluster& cluster, const ClusterWishes& wishes);
  // The next step of a roll, each restart weighed by the coordinator.
  plan::RollStep plan_roll(const kube::ObjectKey& cluster, const plan::RollInput& input);
  // As metrics.
  void show_conditions(const kube::ObjectKey& cluster, std::vector<api::Condition> conditions);
  void show_certificates(const kube::ObjectKey& cluster, std::vector<CertificateView> certificates);
  void forget(const kube::ObjectKey& cluster);
  void forget_broker(const kube::ObjectKey& cluster, int32_t broker);
  void stream_seen(const kube::ObjectKey& cluster, const std::string& resource,
                   std::shared_ptr<const api::Stream> stream);
  // `shown`: what its status says of metering.
  StreamView stream(const kube::ObjectKey& cluster, const std::string& stream,
                    const std::optional<api::MeteringStatus>& shown);
  // A StreamUser as it is now; null: it is gone, or not served. Brokers hear of users when all are known: a
  // coordinator that has just begun takes nobody's rights away.
  // False while the cluster has no coordinator yet.
  bool user_seen(const kube::ObjectKey& cluster, const std::string& resource,
                 std::optional<sluice::v1::User> user);

  // On the executor.
  struct Cluster {
    Cluster(Clusters& all, const api::StreamCluster& resource);
    ~Cluster() { all.due_.erase(due); }
    Clusters& all;
    api::StreamCluster resource;
    metadata::KubeStore store;
    coordinator::MetricsObserver observer;
    broker::coordination::Coordinator coordinator;
    std::map<std::string, std::shared_ptr<const api::Stream>> streams;  // by resource name
    std::map<std::string, autoscale::Memory> scaling;                   // by stream name
    std::map<std::string, std::vector<api::Decision>> decisions;        // by stream name
    std::map<std::string, int> acting;  // splits and merges that are not answered yet, by stream
    autoscale::BrokerMemory broker_scaling;
    // Those that differed from the one before, newest first; an earlier operator's are behind them.
    std::vector<api::Decision> broker_decisions;
    std::string metrics_reason = "Starting", metrics_problem = "no look at the load yet";
    int64_t next_broker_look_ms = 0;
    std::map<std::string, std::optional<sluice::v1::User>> users;  // by resource; null: bad
    std::set<std::string> users_wanted;
    int64_t risky_until_ms = 0;  // no eviction before
    int64_t next_look_ms = 0;
    bool looking = false;
    // Where it stands among the ticks to come, and when its metrics are brought up to date again.
    std::multimap<int64_t, Cluster*>::iterator due;
    int64_t refresh_ms = 0;
  };
  std::map<kube::ObjectKey, std::unique_ptr<Cluster>>& all() { return clusters_; }
  broker::env::AsioExecutor& executor() { return executor_; }
  // Where requests for this cluster wait for their turn: its own keep their order, others go on beside.
  broker::env::IoQueue& io(const kube::ObjectKey& cluster);
  void changed(const kube::ObjectKey& key) {
    if (changed_) changed_(key);
  }

 private:
  friend struct Cluster;
  void tick();
  void tick_at(Cluster& cluster, int64_t due_ms);
  void refresh(Cluster& cluster);
  void tell_security(Cluster& cluster);
  std::string tell_prices(Cluster& cluster);
  bool may_evict(Cluster& cluster, const std::vector<broker::coordination::BrokerView>& brokers);
  // Runs `work` on the executor and waits for its result.
  template <class F>
  auto on_executor(F work) {
    std::packaged_task<decltype(work())()> task(std::move(work));
    auto result = task.get_future();
    auto shared = std::make_shared<decltype(task)>(std::move(task));
    executor_.post([shared] { (*shared)(); });
    return result.get();
  }

  broker::env::AsioExecutor& executor_;
  broker::env::Clock& clock_;
  broker::env::Random& random_;
  kube::Client& client_;
  broker::Metrics& metrics_;
  coordinator::SessionServer& server_;
  Changed changed_;
  std::multimap<int64_t, Cluster*> due_;  // every cluster once: when its coordinator needs its next tick
  std::map<kube::ObjectKey, std::unique_ptr<Cluster>> clusters_;
  std::array<std::unique_ptr<broker::env::ThreadIoQueue>, 4> metadata_io_;  // end before the stores
};

// The session name of a cluster: what brokers register with.
inline std::string session_name(const kube::ObjectKey& key) { return key.ns + "/" + key.name; }

}  // namespace sluice_operator::reconcile
