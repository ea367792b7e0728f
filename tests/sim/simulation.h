#pragma once
// One run: a cluster, its clients and its nemesis drawn from a seed; faults for a while; then all
// is healed and progress is demanded, everything is compared, the power of all machines fails, and
// everything is compared again. The same seed and steps give the same run.
#include <map>
#include <string>

#include "tests/sim/nemesis.h"

namespace broker::sim {

// Ways in which a run breaks the rules, to prove that the oracle notices.
enum class Mutation {
  kNone,
  kDisksLie,          // fsync does nothing
  kEarlyAck,          // what only the leader has is taken for acknowledged
  kLostDiskVotes,     // an emptied directory keeps its identity
  kLostTailVotes,     // a replica in memory takes a crash for a clean stop
};

struct RunOptions {
  uint64_t seed = 1;
  Mutation mutation = Mutation::kNone;
  int steps = 60;  // faults
  bool memory = false;  // with streams of durability memory, in half of the seeds
  bool verbose = false;
};

struct RunResult {
  std::string violation;  // empty: every promise was kept
  uint64_t hash = 0;      // of everything that happened
  int64_t virtual_us = 0;
  uint64_t events = 0, records = 0, lost = 0, acknowledged = 0, unknown = 0, read = 0, metadata_writes = 0;
  std::map<std::string, uint64_t> faults;  // by kind
  bool ok() const { return violation.empty(); }
};

RunResult run_simulation(const RunOptions& options);

}  // namespace broker::sim
