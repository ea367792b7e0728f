#pragma once
// What all our custom resources share: the parts of metadata that the operator looks at, and
// conditions. Plain data; JSON in and out is in json.h.
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace sluice_operator::api {

inline constexpr const char* kGroup = "sluice.dev";
inline constexpr const char* kApiVersion = "sluice.dev/v1alpha1";
inline constexpr const char* kFinalizer = "sluice.dev/records";
// Kubernetes' own, while what an object owns is being orphaned (`kubectl delete --cascade=orphan`).
inline constexpr const char* kOrphanFinalizer = "orphan";
// On a StreamCluster: the id of the RebalanceProposal that may be carried out.
inline constexpr const char* kApproveRebalanceAnnotation = "sluice.dev/approve-rebalance";
inline constexpr const char* kPausedAnnotation = "sluice.dev/paused";

struct Metadata {
  std::string ns;
  std::string name;
  std::string uid;
  std::string resource_version;
  int64_t generation = 0;
  bool deleting = false;
  std::map<std::string, std::string> labels;
  std::map<std::string, std::string> annotations;
  std::vector<std::string> finalizers;

  bool has_finalizer(const std::string& name) const;
  // The annotation sluice.dev/paused: "true".
  bool paused() const;
};

struct Condition {
  std::string type;
  std::string status;  // True | False | Unknown
  std::string reason;  // one word, stable
  std::string message;
  std::string last_transition_time;  // RFC 3339, as in "2026-01-31T08:00:00Z"
  int64_t observed_generation = 0;
  bool operator==(const Condition&) const = default;
};

// Puts `next` among `conditions` in place of the one of its type. The time of the last transition
// is kept unless the status changes; then it becomes `now`.
void set_condition(std::vector<Condition>& conditions, Condition next, const std::string& now);
// Null when there is none of that type.
// Takes out the condition of that type: what it speaks of is not there any more.
void drop_condition(std::vector<Condition>& conditions, const std::string& type);
const Condition* find_condition(const std::vector<Condition>& conditions, const std::string& type);

// RFC 3339 with whole seconds.
std::string rfc3339(int64_t wall_ms);
// Unix time; -1 when it is no such time.
int64_t rfc3339_ms(const std::string& text);

// What is wrong with a resource and which field of it, as in {"spec.replication", "..."}.
struct FieldError {
  std::string field;
  std::string message;
};
// "spec.replication: 3 copies need 3 brokers; spec.x: ..."
std::string to_string(const std::vector<FieldError>& errors);

}  // namespace sluice_operator::api
