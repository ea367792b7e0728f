#pragma once
// Leader election on a coordination.k8s.io/v1 Lease, with client-go's times and rules: a holder
// renews within 10 s or steps down; others take over 15 s after they last saw the lease change, by
// their own monotonic clock, so that nobody's wall clock matters. Exactly one thread runs it.
//
// Two leaders may overlap for as long as a process is frozen between a renewal and its next write:
// what leaders write must be fenced by resourceVersion, and is.
#include <functional>
#include <string>

#include "operator/kube/client/client.h"

namespace sluice_operator::kube {

struct LeaseOptions {
  std::string ns;
  std::string name;
  std::string identity;  // unique per process: the pod's name
  int64_t duration_ms = 15'000;
  int64_t renew_deadline_ms = 10'000;
  int64_t retry_period_ms = 2'000;
};

// For the election's own client: an attempt (a read and a write) ends within half the deadline.
ClientOptions client_options(const LeaseOptions& lease);

// Pure: what one process knows of the lease, and what it may do about it.
class LeaseView {
 public:
  explicit LeaseView(const LeaseOptions& options) : options_(options) {}
  // A null object means that there is no lease.
  void observe(const Json& lease, int64_t mono_ms);
  bool held_by_us() const { return holder_ == options_.identity; }
  const std::string& holder() const { return holder_; }
  // Free, released, ours, or not renewed for its duration.
  bool may_acquire(int64_t mono_ms) const;
  // The object to write: a new one, or the observed one with us as the holder.
  Json acquired(int64_t wall_ms) const;
  // The observed one, given up: the next holder need not wait.
  Json released(int64_t wall_ms) const;

 private:
  const LeaseOptions& options_;
  std::shared_ptr<const Json> observed_;
  std::string holder_;
  std::string seen_version_;
  int64_t seen_ms_ = 0;
  int64_t holder_duration_ms_ = 0;
};

class LeaderElection {
 public:
  struct Callbacks {
    std::function<void()> on_started;                    // we lead from now on
    std::function<void()> on_lost;                       // we may no longer act; the process decides
    std::function<void(const std::string&)> on_observed;  // who leads, when that changes
  };
  // The client must be one with client_options(), or a slow server makes us see too late that
  // the lease has run out.
  LeaderElection(Client& client, broker::env::Clock& clock, broker::env::Random& random,
                 broker::Metrics& metrics, LeaseOptions options, Callbacks callbacks);

  // Waits for the lease, holds it, and returns once it is lost (after on_lost) or once `stop`
  // fires (after releasing it). Callbacks run on this thread and must return soon.
  void run(StopSignal& stop);

 private:
  bool try_once();
  bool hold(StopSignal& stop);
  void release();
  broker::Status observe();
  Client& client_;
  broker::env::Clock& clock_;
  broker::env::Random& random_;
  const LeaseOptions options_;
  const Callbacks callbacks_;
  LeaseView view_;
  std::string told_holder_;
  prometheus::Gauge& leading_;
};

// "2006-01-02T15:04:05.000000Z", the API's MicroTime.
std::string micro_time(int64_t wall_ms);

}  // namespace sluice_operator::kube
