#pragma once
// PURE: what an edit of a StreamCluster would do, by the operator's own planner run on the live and on
// the edited spec. Called by `sluice cluster diff`.
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "operator/api/stream.h"

namespace broker::cli {

struct DiffInput {
  sluice_operator::api::StreamCluster live, edited;
  std::vector<sluice_operator::api::Stream> streams;  // of the namespace
  nlohmann::json stateful_set;                        // null: there is none yet
  std::vector<nlohmann::json> pods;
};

struct Change {
  std::string path;    // "spec.replicas"
  std::string before, after;
};

struct ClusterDiff {
  struct Object {
    std::string kind, name;
    bool made_again = false;  // removed around its pods and made again
    bool added = false, removed = false;
    std::vector<Change> changes;  // of one that was there and stays
  };
  std::vector<Change> spec;
  std::vector<Object> objects;
  // Restarted, each after the coordinator allows it, zone by zone.
  std::vector<int32_t> rolled;
  std::vector<Change> roll_reasons;  // of the settings of pods
  std::vector<int32_t> added, removed, drained, undrained;
  std::string volumes;  // "10Gi -> 20Gi"; empty: stay as they are
  std::vector<std::string> refusals, warnings;
  bool empty() const;
};

ClusterDiff diff_clusters(const DiffInput& input);

std::string diff_text(const ClusterDiff& diff);
nlohmann::ordered_json to_json(const ClusterDiff& diff);

}  // namespace broker::cli
