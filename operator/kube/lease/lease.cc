#include "operator/kube/lease/lease.h"

#include <ctime>
#include <nlohmann/json.hpp>

#include "broker/base/log.h"

namespace sluice_operator::kube {

using broker::Code;
using broker::Status;

std::string micro_time(int64_t wall_ms) {
  std::time_t seconds = wall_ms / 1000;
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  char text[32], whole[48];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc);
  std::snprintf(whole, sizeof whole, "%s.%03d000Z", text, static_cast<int>(wall_ms % 1000));
  return whole;
}

ClientOptions client_options(const LeaseOptions& lease) {
  ClientOptions options;
  options.request_timeout_ms = lease.renew_deadline_ms / 4;
  options.read_attempts = 1;
  options.retry_cap_ms = lease.renew_deadline_ms / 20;
  return options;
}

void LeaseView::observe(const Json& lease, int64_t mono_ms) {
  if (lease.is_null()) {
    observed_ = nullptr;
    holder_.clear();
    seen_version_.clear();
    return;
  }
  observed_ = std::make_shared<const Json>(lease);
  const auto spec = lease.find("spec");
  const bool has_spec = spec != lease.end() && spec->is_object();
  holder_ = has_spec && spec->contains("holderIdentity") && (*spec)["holderIdentity"].is_string()
                ? (*spec)["holderIdentity"].get<std::string>()
                : "";
  holder_duration_ms_ =
      has_spec && spec->contains("leaseDurationSeconds") &&
              (*spec)["leaseDurationSeconds"].is_number_integer()
          ? (*spec)["leaseDurationSeconds"].get<int64_t>() * 1000
          : options_.duration_ms;
  std::string version = metadata_text(lease, "resourceVersion");
  if (version != seen_version_) {
    seen_version_ = version;
    seen_ms_ = mono_ms;
  }
}

bool LeaseView::may_acquire(int64_t mono_ms) const {
  return !observed_ || holder_.empty() || held_by_us() ||
         mono_ms >= seen_ms_ + holder_duration_ms_;
}

Json LeaseView::acquired(int64_t wall_ms) const {
  Json lease = observed_ ? *observed_
                         : Json{{"apiVersion", "coordination.k8s.io/v1"},
                                {"kind", "Lease"},
                                {"metadata", {{"namespace", options_.ns}, {"name", options_.name}}}};
  Json& spec = lease["spec"];
  if (!spec.is_object()) spec = Json::object();
  if (!held_by_us()) {
    spec["acquireTime"] = micro_time(wall_ms);
    int64_t transitions = spec.contains("leaseTransitions") && spec["leaseTransitions"].is_number()
                              ? spec["leaseTransitions"].get<int64_t>()
                              : 0;
    spec["leaseTransitions"] = observed_ ? transitions + 1 : 0;
  }
  spec["holderIdentity"] = options_.identity;
  spec["leaseDurationSeconds"] = options_.duration_ms / 1000;
  spec["renewTime"] = micro_time(wall_ms);
  return lease;
}

Json LeaseView::released(int64_t wall_ms) const {
  Json lease = *observed_;
  lease["spec"]["holderIdentity"] = "";
  lease["spec"]["leaseDurationSeconds"] = 1;
  lease["spec"]["renewTime"] = micro_time(wall_ms);
  return lease;
}

LeaderElection::LeaderElection(Client& client, broker::env::Clock& clock,
                               broker::env::Random& random, broker::Metrics& metrics,
                               LeaseOptions options, Callbacks callbacks)
    : client_(client), clock_(clock), random_(random), options_(std::move(options)),
      callbacks_(std::move(callbacks)), view_(options_),
      leading_(metrics.gauge("sluice_operator_leader", "1 while this replica is the active one.")) {}

Status LeaderElection::observe() {
  auto lease = client_.get(leases(), options_.ns, options_.name);
  if (lease.ok()) {
    view_.observe(*lease, clock_.mono_ms());
  } else if (lease.code() == Code::kNotFound) {
    view_.observe(Json(), clock_.mono_ms());
  } else {
    return lease.status();
  }
  if (view_.holder() != told_holder_) {
    told_holder_ = view_.holder();
    if (callbacks_.on_observed) callbacks_.on_observed(told_holder_);
  }
  return {};
}

// One attempt to acquire or renew. A failed or ambiguous write is not success: the next attempt
// reads what really happened.
bool LeaderElection::try_once() {
  if (Status status = observe(); !status.ok()) {
    broker::log_warn("lease", "cannot read the lease", {{"error", status.to_string()}});
    return false;
  }
  if (!view_.may_acquire(clock_.mono_ms())) return false;
  Json wanted = view_.acquired(clock_.wall_ms());
  const bool exists = !metadata_text(wanted, "resourceVersion").empty();
  auto written = exists ? client_.replace(leases(), wanted) : client_.create(leases(), wanted);
  if (!written.ok()) {
    if (written.code() != Code::kConflict && written.code() != Code::kAlreadyExists) {
      broker::log_warn("lease", "cannot write the lease", {{"error", written.status().to_string()}});
    }
    return false;
  }
  view_.observe(*written, clock_.mono_ms());
  return view_.held_by_us();
}

// Renews until the deadline passes without success (false) or `stop` (true).
bool LeaderElection::hold(StopSignal& stop) {
  int64_t renewed_ms = clock_.mono_ms();
  while (!stop.wait_ms(options_.retry_period_ms)) {
    const int64_t started_ms = clock_.mono_ms();
    if (try_once()) {
      renewed_ms = started_ms;  // the renewal counts from before it was sent
    } else if (clock_.mono_ms() - renewed_ms >= options_.renew_deadline_ms ||
               (!view_.holder().empty() && !view_.held_by_us())) {
      return false;
    }
  }
  return true;
}

void LeaderElection::release() {
  auto given_up = client_.replace(leases(), view_.released(clock_.wall_ms()));
  given_up.status().ignore_error("the lease runs out by itself");
}

void LeaderElection::run(StopSignal& stop) {
  leading_.Set(0);
  while (!try_once()) {
    int64_t pause_ms = options_.retry_period_ms;
    pause_ms += static_cast<int64_t>(random_.below(static_cast<uint64_t>(pause_ms) / 5 + 1));
    if (stop.wait_ms(pause_ms)) return;
  }
  broker::log_info("lease", "this replica leads", {{"identity", options_.identity}});
  leading_.Set(1);
  if (view_.holder() != told_holder_) {
    told_holder_ = view_.holder();
    if (callbacks_.on_observed) callbacks_.on_observed(told_holder_);
  }
  if (callbacks_.on_started) callbacks_.on_started();
  const bool stopped = hold(stop);
  leading_.Set(0);
  if (stopped) {
    release();
    return;
  }
  broker::log_error("lease", "the lease is lost", {{"holder", view_.holder()}});
  if (callbacks_.on_lost) callbacks_.on_lost();
}

}  // namespace sluice_operator::kube
