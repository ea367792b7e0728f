#pragma once
// UpdateShardCount goes on in steps: splits and merges until the stream's open shards are so many
// equal ranges as its attribute asks for. Nothing is remembered but that attribute: the broker that
// leads the first open shard does the next step that the map calls for, so the work survives any
// broker, and a coordinator that was away. Reactor only.
#include <set>
#include <string>
#include <vector>

#include "broker/handlers/kinesis/streams.h"

namespace broker::handlers::kinesis {

// What brings the open shards nearer to `target` equal ranges. Pure; empty when they are such.
struct ReshardStep {
  int32_t shard = 0;
  std::vector<std::string> cut_at;  // split; empty: merge with `adjacent`
  int32_t adjacent = -1;
  bool operator==(const ReshardStep&) const = default;
};
std::vector<ReshardStep> next_steps(const cluster::Stream& stream, int32_t target);

class Rescaler {
 public:
  explicit Rescaler(Services& services);

 private:
  void look(const StreamPtr& stream);
  bool is_ours(const cluster::Stream& stream) const;
  void work(const std::string& name);
  void run(const cluster::Stream& stream, std::vector<ReshardStep> steps);
  void finish(const cluster::Stream& stream, int32_t target);
  void later(const std::string& name, int64_t delay_ms);

  Services& services_;
  std::set<std::string> busy_;  // streams that a step or a pause of ours is under way for
};

}  // namespace broker::handlers::kinesis
