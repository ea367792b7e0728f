#pragma once
// What a controller calls: reconcile(key) looks at the world and moves it one step towards what the
// object at `key` asks for. Level-triggered: the key says nothing about why it is called, and the
// object may be gone.
#include <cstdint>

#include "broker/base/log_context.h"
#include "broker/base/status.h"
#include "operator/kube/client/resource.h"

namespace sluice_operator::runtime {

using Key = kube::ObjectKey;

struct Outcome {
  enum class Kind { kDone, kRequeue, kFollow, kRetry, kTerminal };
  Kind kind = Kind::kDone;
  int64_t after_ms = 0;
  broker::Status status;
  int64_t at_most_ms = 0;

  // Nothing to do until something changes.
  static Outcome done() { return {}; }
  // Look again at that time.
  static Outcome requeue_after(int64_t ms) { return {Kind::kRequeue, ms, {}}; }
  // Look again, soon at first and ever more rarely up to `at_most_ms`, until a change is told: to follow
  // what is under way, and for what no watch tells. Spread, so that a fleet does not look all at once.
  static Outcome follow(int64_t first_ms, int64_t at_most_ms) {
    return {Kind::kFollow, first_ms, {}, at_most_ms};
  }
  // Failed; again after a back-off. A kConflict is ordinary and not logged.
  static Outcome retry(broker::Status why) { return {Kind::kRetry, 0, std::move(why)}; }
  // Failed, and trying again is no use before the object changes (its condition says why).
  static Outcome terminal(broker::Status why) { return {Kind::kTerminal, 0, std::move(why)}; }
};

// To be called by a reconciler when it has read its object: log lines then say which generation.
inline void note_generation(int64_t generation) {
  broker::LogContext::add({"generation", generation});
}

class Reconciler {
 public:
  virtual ~Reconciler() = default;
  // On one of the controller's threads; never twice at once for the same key.
  virtual Outcome reconcile(const Key& key) = 0;
};

}  // namespace sluice_operator::runtime
