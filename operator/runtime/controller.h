#pragma once
// Drives one Reconciler: cache events → predicate → mapper → de-duplicating queue → workers. The
// app makes one per kind, watches caches, starts it when this replica leads, and stops it before
// anything it uses goes away. Thread-safe.
#include <condition_variable>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "broker/base/metrics.h"
#include "broker/env/env.h"
#include "operator/kube/cache/cache.h"
#include "operator/kube/task/task.h"
#include "operator/runtime/predicates.h"
#include "operator/runtime/reconciler.h"
#include "operator/runtime/work_queue.h"

namespace sluice_operator::runtime {

struct ControllerOptions {
  std::string name;  // the metrics' label: "streamcluster"
  int workers = 2;
  BackoffOptions backoff;
  std::string kind = "";  // of its objects, for log lines: "StreamCluster"
};

class Controller {
 public:
  Controller(ControllerOptions options, Reconciler& reconciler, broker::env::Clock& clock,
             broker::env::Random& random, broker::Metrics& metrics);
  ~Controller();

  // Before the cache starts. Without a predicate every change counts. A change is looked at after
  // `company_ms`, with what else has happened by then: a broker that restarts changes a dozen objects.
  void watch(kube::Cache& cache, Mapper mapper, Predicate predicate = nullptr,
             int64_t company_ms = 0);
  // Keys may come in before start(): they wait.
  void enqueue(const Key& key, Lane lane = Lane::kChanged);
  void enqueue_after(const Key& key, int64_t delay_ms);

  // Once; a stopped controller does not start again.
  void start();
  // Returns when no reconcile runs any more; the rest of the queue is left.
  void stop();

  // For how long the slowest running reconcile has been running; 0 when none does.
  int64_t longest_running_ms() const;
  // Names in the log every reconcile that has run for longer than that, and for how long. To be called
  // now and then: what hangs cannot say so itself.
  void tell_stuck(int64_t longer_than_ms) const;

 private:
  struct Instruments;
  void work();
  Outcome guarded_reconcile(const Key& key);
  void settle(const Key& key, const Outcome& outcome);
  void update_gauges();

  const ControllerOptions options_;
  Reconciler& reconciler_;
  broker::env::Clock& clock_;
  broker::env::Random& random_;
  std::unique_ptr<Instruments> instruments_;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  WorkQueue queue_;
  std::map<Key, int64_t> running_since_ms_;
  std::map<Key, int64_t> changed_at_ms_;  // of keys that a change has queued and nobody has taken
  bool stopping_ = false;
  std::vector<kube::Thread> threads_;
};

}  // namespace sluice_operator::runtime
