#include "operator/plan/volumes.h"

#include <algorithm>

#include "operator/api/quantity.h"

namespace sluice_operator::plan {
namespace {

std::string annotation(const Claim& claim, const char* name) {
  auto it = claim.annotations.find(name);
  return it == claim.annotations.end() ? "" : it->second;
}

class Volumes {
 public:
  explicit Volumes(const VolumeInput& input) : input_(input) {}

  VolumeStep plan() {
    for (const auto& claim : input_.claims) {
      if (claim.broker < 0 || claim.deleting) continue;
      patch_ = {claim.name, "", {}};
      if (claim.broker < input_.replicas) {
        wanted(claim);
      } else {
        surplus(claim);
      }
      if (!patch_.size.empty() || !patch_.annotations.empty()) step_.patches.push_back(patch_);
    }
    return step_;
  }

 private:
  const VolumeBroker* broker(int32_t id) const {
    auto it = input_.brokers.find(id);
    return it == input_.brokers.end() ? nullptr : &it->second;
  }
  void note(const Claim& claim, const char* name, const std::string& value) {
    if (annotation(claim, name) != value) patch_.annotations[name] = value;
  }

  void wanted(const Claim& claim) {
    const auto* owner = broker(claim.broker);
    if (claim.phase == "Lost" && !(owner && owner->alive)) {
      // The volume behind it does not exist any more; there is nothing to lose.
      step_.removals.push_back({claim.name, claim.uid, claim.resource_version,
                                "its volume is lost", claim.broker, true});
      return;
    }
    // Somebody else may have made it larger: never smaller again.
    const std::string& size = input_.cluster.spec.storage.size;
    if (api::compare_quantities(size, claim.size) > 0) {
      patch_.size = size;
      ++step_.growing;
    }
    if (owner && owner->alive && !owner->directory.empty()) {
      note(claim, kClusterUidAnnotation, input_.cluster.metadata.uid);
      note(claim, kDirectoryAnnotation, owner->directory);
    }
    note(claim, kDeleteAfterAnnotation, "");  // its broker is back
  }

  // Why it has to stay; empty: nothing speaks for it.
  std::string reason_to_keep(const Claim& claim) const {
    if (input_.cluster.spec.storage.deletion_policy != api::DeletionPolicy::kDelete) return "Retain";
    if (annotation(claim, kKeepAnnotation) == "true") return "somebody keeps it";
    if (annotation(claim, kClusterUidAnnotation) != input_.cluster.metadata.uid) {
      return "nothing proves that it is this cluster's";
    }
    const std::string directory = annotation(claim, kDirectoryAnnotation);
    if (directory.empty()) return "nobody knows what is on it";
    const auto& in_use = input_.directories_in_use;
    if (std::find(in_use.begin(), in_use.end(), directory) != in_use.end()) {
      return "a shard counts on it";
    }
    const auto* owner = broker(claim.broker);
    if (owner && (owner->alive || owner->replicas > 0)) return "its broker is still there";
    return "";
  }

  void surplus(const Claim& claim) {
    if (!input_.loaded) return;  // an operator that has just begun knows of no reason yet, neither for nor against
    const std::string after = annotation(claim, kDeleteAfterAnnotation);
    if (!reason_to_keep(claim).empty()) {
      if (!after.empty()) patch_.annotations[kDeleteAfterAnnotation] = "";
      return;
    }
    if (after.empty()) {
      const int64_t wait_ms = 1000 * input_.cluster.spec.storage.deletion_delay_seconds;
      patch_.annotations[kDeleteAfterAnnotation] = api::rfc3339(input_.now_ms + wait_ms);
      return;
    }
    // Both are UTC with whole seconds, so that they compare as texts.
    if (api::rfc3339(input_.now_ms) < after) return;
    step_.removals.push_back({claim.name, claim.uid, claim.resource_version,
                              "its broker was removed, and " + after + " has passed",
                              claim.broker, false});
  }

  const VolumeInput& input_;
  VolumeStep step_;
  VolumeStep::Patch patch_;
};

}  // namespace

VolumeStep plan_volumes(const VolumeInput& input) { return Volumes(input).plan(); }

int32_t broker_of_claim(const std::string& claim, const std::string& cluster) {
  const std::string prefix = "data-" + cluster + "-";
  if (claim.size() <= prefix.size() || claim.size() > prefix.size() + 4 ||
      !claim.starts_with(prefix)) {
    return -1;
  }
  int32_t id = 0;
  for (size_t i = prefix.size(); i < claim.size(); i++) {
    if (claim[i] < '0' || claim[i] > '9') return -1;
    id = id * 10 + (claim[i] - '0');
  }
  return id;
}

std::string larger_size(const std::string& a, const std::string& b) {
  return api::compare_quantities(b, a) > 0 ? b : a;
}

}  // namespace sluice_operator::plan
