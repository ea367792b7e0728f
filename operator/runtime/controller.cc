#include "operator/runtime/controller.h"

#include <algorithm>
#include <exception>

#include "broker/base/log.h"

namespace sluice_operator::runtime {

using broker::Code;
using broker::Status;

namespace {
const std::vector<double> kDurationBuckets = {0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5,
                                              1,     2.5,   5,    10,   30,  60};
}  // namespace

struct Controller::Instruments {
  prometheus::Counter &success, &requeue, &conflict, &error, &terminal;
  prometheus::Histogram &duration, &wait;
  prometheus::Gauge &depth, &oldest_start;

  static prometheus::Counter& result(broker::Metrics& m, const std::string& name, const char* what) {
    return m.counter("sluice_operator_reconcile_total",
                     "Reconciles by how they ended: success, requeue, conflict, error, terminal.",
                     {{"controller", name}, {"result", what}});
  }
  Instruments(broker::Metrics& m, const std::string& name)
      : success(result(m, name, "success")), requeue(result(m, name, "requeue")),
        conflict(result(m, name, "conflict")), error(result(m, name, "error")),
        terminal(result(m, name, "terminal")),
        duration(m.histogram("sluice_operator_reconcile_duration_seconds",
                             "How long a reconcile takes.", {{"controller", name}},
                             kDurationBuckets)),
        wait(m.histogram("sluice_operator_queue_wait_seconds",
                         "From a change that concerns an object to the begin of its reconcile.",
                         {{"controller", name}}, kDurationBuckets)),
        depth(m.gauge("sluice_operator_queue_depth", "Keys that wait for a worker.",
                      {{"controller", name}})),
        oldest_start(m.gauge("sluice_operator_reconcile_in_progress_start_seconds",
                             "Unix time at which the oldest running reconcile began; 0: none runs.",
                             {{"controller", name}})) {}
};

Controller::Controller(ControllerOptions options, Reconciler& reconciler,
                       broker::env::Clock& clock, broker::env::Random& random,
                       broker::Metrics& metrics)
    : options_(std::move(options)), reconciler_(reconciler), clock_(clock), random_(random),
      instruments_(std::make_unique<Instruments>(metrics, options_.name)),
      queue_(options_.backoff) {}

Controller::~Controller() { stop(); }

void Controller::watch(kube::Cache& cache, Mapper mapper, Predicate predicate, int64_t company_ms) {
  Enqueue changed = [this, company_ms](const Key& key) {
    company_ms ? enqueue_after(key, company_ms) : enqueue(key);
  };
  Enqueue listed = [this](const Key& key) { enqueue(key, Lane::kRoutine); };
  cache.on_change([mapper = std::move(mapper), predicate = std::move(predicate), changed, listed,
                   &cache](const kube::JsonPtr& before, const kube::JsonPtr& after) {
    if (predicate && !predicate(before, after)) return;
    // What is there when the process starts has not changed now.
    mapper(before, after, cache.synced() ? changed : listed);
  });
}

void Controller::enqueue(const Key& key, Lane lane) {
  std::lock_guard lock(mutex_);
  queue_.add(key, lane);
  queue_.forget_looks(key);
  changed_at_ms_.try_emplace(key, clock_.mono_ms());
  update_gauges();
  changed_.notify_one();
}

void Controller::enqueue_after(const Key& key, int64_t delay_ms) {
  std::lock_guard lock(mutex_);
  queue_.add_at(key, clock_.mono_ms() + delay_ms);
  queue_.forget_looks(key);
  changed_.notify_one();
}

void Controller::start() {
  std::lock_guard lock(mutex_);
  CHECK(threads_.empty());
  for (int i = 0; i < options_.workers && !stopping_; ++i) {
    threads_.emplace_back(options_.name, [this] { work(); });
  }
}

void Controller::stop() {
  std::vector<kube::Thread> threads;
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    threads.swap(threads_);
  }
  changed_.notify_all();
  for (auto& thread : threads) thread.join();
}

int64_t Controller::longest_running_ms() const {
  std::lock_guard lock(mutex_);
  int64_t oldest_ms = INT64_MAX;
  for (const auto& [key, since_ms] : running_since_ms_) oldest_ms = std::min(oldest_ms, since_ms);
  return running_since_ms_.empty() ? 0 : clock_.mono_ms() - oldest_ms;
}

void Controller::tell_stuck(int64_t longer_than_ms) const {
  std::lock_guard lock(mutex_);
  for (const auto& [key, since_ms] : running_since_ms_) {
    const int64_t running_ms = clock_.mono_ms() - since_ms;
    if (running_ms <= longer_than_ms) continue;
    broker::log_warn(options_.name, "a reconcile does not end",
                     {{"kind", options_.kind},
                      {"object", key.to_string()},
                      {"running_seconds", running_ms / 1000}});
  }
}

void Controller::update_gauges() {
  instruments_->depth.Set(static_cast<double>(queue_.depth()));
  int64_t oldest_ms = INT64_MAX;
  for (const auto& [key, since_ms] : running_since_ms_) oldest_ms = std::min(oldest_ms, since_ms);
  int64_t age_ms = clock_.mono_ms() - oldest_ms;
  instruments_->oldest_start.Set(
      running_since_ms_.empty() ? 0 : static_cast<double>(clock_.wall_ms() - age_ms) / 1000);
}

void Controller::work() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    const int64_t now_ms = clock_.mono_ms();
    auto key = queue_.take(now_ms);
    if (!key) {
      // Bounded, so that a due time far away does not overflow the wait.
      int64_t wait_ms = std::min<int64_t>(queue_.next_due_ms() - now_ms, 60'000);
      changed_.wait_for(lock, std::chrono::milliseconds(wait_ms));
      continue;
    }
    running_since_ms_[*key] = now_ms;
    if (auto changed = changed_at_ms_.extract(*key)) {
      instruments_->wait.Observe(static_cast<double>(now_ms - changed.mapped()) / 1e3);
    }
    update_gauges();
    lock.unlock();
    // Every line from here on says which object it is about; reconcilers add its generation.
    broker::LogContext context({{"kind", options_.kind}, {"object", key->to_string()}});
    const int64_t started_us = clock_.mono_us();
    Outcome outcome = guarded_reconcile(*key);
    const int64_t took_us = clock_.mono_us() - started_us;
    instruments_->duration.Observe(static_cast<double>(took_us) / 1e6);
    broker::log_debug(options_.name, "reconciled",
                      {{"ms", took_us / 1000}, {"status", outcome.status.to_string()}});
    lock.lock();
    running_since_ms_.erase(*key);
    settle(*key, outcome);
    queue_.done(*key);
    update_gauges();
    changed_.notify_one();
  }
}

// The JSON library throws where an object's fields are not of the kind its schema promises; one
// such object must not end the process.
Outcome Controller::guarded_reconcile(const Key& key) {
  try {
    return reconciler_.reconcile(key);
  } catch (const std::exception& error) {
    return Outcome::retry(Status(Code::kInternal, error.what()));
  }
}

// Called with the lock.
void Controller::settle(const Key& key, const Outcome& outcome) {
  const int64_t now_ms = clock_.mono_ms();
  switch (outcome.kind) {
    case Outcome::Kind::kDone:
      queue_.forget_failures(key);
      queue_.forget_looks(key);
      instruments_->success.Increment();
      return;
    case Outcome::Kind::kRequeue:
      queue_.forget_failures(key);
      queue_.add_at(key, now_ms + outcome.after_ms);
      instruments_->requeue.Increment();
      return;
    case Outcome::Kind::kFollow:
      queue_.forget_failures(key);
      queue_.add_to_follow(key, now_ms, outcome.after_ms, outcome.at_most_ms, random_);
      instruments_->requeue.Increment();
      return;
    case Outcome::Kind::kTerminal:
      queue_.forget_failures(key);
      queue_.forget_looks(key);
      instruments_->terminal.Increment();
      broker::log_warn(options_.name, "cannot reconcile until the object changes",
                       {{"error", outcome.status.to_string()}});
      return;
    case Outcome::Kind::kRetry:
      queue_.add_after_failure(key, now_ms, random_);
      if (outcome.status.code() == Code::kConflict) {
        instruments_->conflict.Increment();
        return;
      }
      instruments_->error.Increment();
      broker::log_warn(options_.name, "reconcile failed, trying again",
                       {{"error", outcome.status.to_string()}});
      return;
  }
}

}  // namespace sluice_operator::runtime
