#pragma once
// PURE: what to do with the brokers' volume claims: grow them, note whose they are, and, where the
// user wants it, remove those of brokers that are gone. No claim is removed without proof that it is
// this cluster's and holds nothing that any shard counts on, a note of the intent on it, and a
// waiting period in which the note can be taken away. Called by reconcile.
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "operator/api/stream_cluster.h"

namespace sluice_operator::plan {

// On claims. Whose directory is on the volume, written when that broker registers: the proof.
inline constexpr const char* kClusterUidAnnotation = "sluice.dev/cluster-uid";
inline constexpr const char* kDirectoryAnnotation = "sluice.dev/directory";
// The intent: RFC 3339. Somebody who takes it away, or writes kKeepAnnotation, keeps the volume.
inline constexpr const char* kDeleteAfterAnnotation = "sluice.dev/delete-after";
inline constexpr const char* kKeepAnnotation = "sluice.dev/keep";

struct Claim {
  std::string name, uid, resource_version;
  int32_t broker = -1;
  std::string size;   // asked for
  std::string phase;  // Bound, Pending, Lost
  bool deleting = false;
  std::map<std::string, std::string> annotations;
};

struct VolumeBroker {
  std::string directory;  // as registered; empty: not since the coordinator started
  bool alive = false;
  int replicas = 0;
};

struct VolumeInput {
  const api::StreamCluster& cluster;
  std::vector<Claim> claims;
  std::map<int32_t, VolumeBroker> brokers;  // by id
  // Directories that some shard counts on; known only once the coordinator has loaded.
  bool loaded = false;
  std::vector<std::string> directories_in_use;
  int32_t replicas = 0;  // of the StatefulSet: brokers at and above it are gone
  int64_t now_ms = 0;
};

struct VolumeStep {
  struct Patch {
    std::string claim;
    std::string size;                                // empty: as it is
    std::map<std::string, std::string> annotations;  // empty text: taken away
  };
  struct Removal {
    std::string claim, uid, resource_version, why;
    int32_t broker = -1;
    bool lost = false;  // its volume is gone already: the broker's pod must be made again, too
  };
  std::vector<Patch> patches;
  std::vector<Removal> removals;
  int growing = 0;  // claims whose patch is above
};

VolumeStep plan_volumes(const VolumeInput& input);

// "data-NAME-N" -> N; -1 for any other name.
int32_t broker_of_claim(const std::string& claim, const std::string& cluster);
// The larger of two quantities; the first when either is none.
std::string larger_size(const std::string& a, const std::string& b);

}  // namespace sluice_operator::plan
