#pragma once
// An operator beside a fake API server: the reconciler with its caches and coordinators, which can
// be killed and made again, and what else a cluster has: a StatefulSet controller, kubelets, and
// brokers that register. Driven step by step by the test's thread.
#include <atomic>
#include <future>
#include <set>
#include <thread>

#include "broker/base/uuid.h"
#include "operator/reconcile/authority.h"
#include "operator/reconcile/stream_cluster.h"
#include "operator/reconcile/stream_user.h"
#include "tests/support/fake_api/fake_api_server.h"
#include "tests/support/fake_api/harness.h"

namespace sluice_tests {

using namespace sluice_operator;

inline const kube::ObjectKey kCluster{"apps", "orders"};

// What a broker has mounted: files of its cluster's Secrets.
struct MountedFiles {
  std::string ca, cert, client_ca, client_cert;
};

// One life of the operator's process.
class OperatorLife {
 public:
  OperatorLife(FakeApiServer& server, const std::string& image);
  ~OperatorLife();
  // False when the process could not even start: the API failed it.
  bool start();
  void reconcile() { reconciler_->reconcile(kCluster); }
  void reconcile_user(const std::string& name) { users_->reconcile({kCluster.ns, name}); }
  void reconcile_authority();
  // The coordinator's TLS since the last pass over the CA; nothing before the first.
  const std::optional<coordinator::ServerTls>& tls() const { return tls_; }
  // What brokers would be told of users; empty while that is not known.
  std::optional<sluice::v1::Security> security();
  // What a broker's client asks of the cluster's coordinator.
  std::future<sluice::v1::AdminResponse> ask(const sluice::v1::AdminRequest& request);
  // "host:port" that brokers tell clients of this listener for the broker; empty: nobody knows it.
  std::string told(int32_t broker, const std::string& listener);
  // The brokers that run, by id, with their directories: they hold sessions with this process.
  void connect(const std::map<int32_t, std::string>& brokers,
               const std::map<int32_t, MountedFiles>& files);

 private:
  kube::Cache& add(const kube::ResourceType& type);

  broker::env::PosixClock clock_;
  broker::env::PosixFileSystem fs_;
  broker::env::SystemRandom random_;
  broker::Metrics metrics_;
  broker::env::AsioExecutor executor_;
  std::thread thread_;
  std::unique_ptr<kube::Client> client_;
  std::vector<std::unique_ptr<kube::Cache>> caches_;
  std::unique_ptr<coordinator::SessionServer> sessions_;
  std::unique_ptr<reconcile::Clusters> clusters_;
  std::unique_ptr<reconcile::Certificates> certificates_;
  std::unique_ptr<kube::EventRecorder> events_;
  std::unique_ptr<reconcile::StreamClusterReconciler> reconciler_;
  std::unique_ptr<reconcile::StreamUserReconciler> users_;
  std::unique_ptr<reconcile::AuthorityReconciler> authority_;
  std::optional<coordinator::ServerTls> tls_;
  std::map<int32_t, uint64_t> session_of_;
  uint64_t next_session_ = 1'000'000;
  const std::string image_;
};

class LifecycleWorld {
 public:
  LifecycleWorld();
  ~LifecycleWorld();

  // The process ends at its n-th API call (watches and Events not counted): before the call is
  // carried out, or after it was, untold. 0: never.
  void crash_at(int n, bool after);
  // It has, and no other has begun yet.
  bool dead() const { return dead_; }
  // Called with every call that is not a watch; instead of crash_at.
  void fail(std::function<Fault(const ApiCall&)> faults);
  int calls() const { return calls_; }

  // From now on the CA is looked after too, and the StreamUser alice, who has a certificate.
  void keep_certificates();
  // Asks for another CA: sluice-ca, or the cluster's own of its clients.
  void rotate(const kube::ObjectKey& secret);
  kube::Json secret(const kube::ObjectKey& key) const;
  // Who would refuse whose certificate, at any moment so far.
  const std::set<std::string>& refusals() const { return refusals_; }
  const std::map<int32_t, MountedFiles>& files() const { return files_; }

  void apply(const std::string& path, const kube::Json& object) { server_.apply(path, object); }
  void patch(const std::string& path, const kube::Json& patch) { server_.merge_patch(path, patch); }
  void discard(const std::string& path) { server_.remove(path); }
  std::string told(int32_t broker, const std::string& listener) {
    return life_ ? life_->told(broker, listener) : "";
  }
  void create(const kube::Json& spec);
  void edit(const kube::Json& spec);
  void remove();
  // Steps until `done`; false when it never is.
  bool run_until(const std::function<bool()>& done, int steps_max = 400);
  // The writes that a few more passes make, Events not counted: "PATCH /apis/..."
  std::vector<std::string> writes_when_settled();

  kube::Json get(const std::string& path) const;
  bool ready(int brokers) const;
  kube::Json stateful_set() const;
  std::set<std::string> claims() const;
  // Pods that were deleted by the operator, and the largest number of brokers down at a time.
  int restarts() const { return restarts_; }
  int lives() const { return lives_; }

 private:
  void step();
  void keep_pods();
  void make_pod(int32_t id, const kube::Json& set);
  MountedFiles mounted() const;
  void refresh_files();
  void shake_hands();
  void begin_life();

  FakeApiServer server_;
  std::unique_ptr<OperatorLife> life_;
  std::atomic<bool> dead_ = false;
  std::atomic<int> calls_ = 0;
  int crash_at_ = 0;
  bool crash_after_ = false;
  int lives_ = 0;
  int restarts_ = 0;
  std::map<int32_t, std::string> directories_;  // by broker, as long as its claim lives
  std::map<int32_t, std::string> claim_uids_;
  std::map<int32_t, std::string> running_;
  std::set<int32_t> known_pods_;
  std::map<int32_t, MountedFiles> files_;
  bool certificates_ = false;
  int32_t next_refresh_ = 0;
  std::set<std::string> refusals_;
};

}  // namespace sluice_tests
