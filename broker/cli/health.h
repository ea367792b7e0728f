#pragma once
// PURE: clusters, their brokers and their streams as a tree with what is wrong where. Made from the
// resources alone, so that it shows what the operator has written even when no broker can be asked.
// Called by `sluice status`, and by `sluice report` for its first page.
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace broker::cli {

enum class Mark { kGood, kChanging, kBad };

struct BrokerHealth {
  int32_t id = 0;
  Mark mark = Mark::kGood;
  std::string pod, node, zone, state;
  bool ready = false;
  int32_t leaders = 0, replicas = 0;
  int64_t bytes = 0;
  std::string disk;  // the size of its volume
};

struct StreamHealth {
  std::string name;
  Mark mark = Mark::kGood;
  bool internal = false;  // the brokers' own
  int open = 0, closed = 0;
  std::vector<int32_t> leaderless, under_replicated;
  std::vector<std::string> reasons;
};

struct ClusterHealth {
  std::string ns, name, version;
  Mark mark = Mark::kGood;
  std::string summary;               // of the condition Ready
  std::vector<std::string> reasons;  // other conditions that somebody should know of
  std::vector<BrokerHealth> brokers;
  std::vector<StreamHealth> streams;

  bool healthy() const;
};

// `objects`: StreamClusters, Streams and ShardMaps in any order; others are passed over. Sorted by
// name. An object that cannot be read is a reason of its cluster.
std::vector<ClusterHealth> health_of(const std::vector<nlohmann::json>& objects);

// What operators wrote last stays, however long ago that was: where none of their Leases is held, each
// cluster is bad, and says so. `now_ms` is the Unix time here; clocks may be a minute apart. Of no Lease at
// all nothing follows: there may be none that this user may see.
void tell_of_operators(const std::vector<nlohmann::json>& leases, int64_t now_ms,
                       std::vector<ClusterHealth>& clusters);

std::string tree_text(const std::vector<ClusterHealth>& clusters);
nlohmann::ordered_json to_json(const std::vector<ClusterHealth>& clusters);

}  // namespace broker::cli
