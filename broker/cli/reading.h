#pragma once
// Reads a stream: subscribes, gives credit, and subscribes again where it was when the connection
// breaks. Used by `consume` and `bench consume`; one thread.
#include <functional>
#include <map>
#include <optional>

#include "broker/cli/client.h"

namespace broker::cli {

struct ReadingOptions {
  std::string stream;
  std::vector<int32_t> shards;  // none: all
  v1::ShardPosition from;       // without its shard
  bool until_end = false;       // stop at what was the end when it began
  bool follow_children = true;
  int64_t retry_for_ms = 60'000;
};

class Reading {
 public:
  // Takes a shard's records, in order; false stops.
  using Take = std::function<bool(const v1::ShardRecords&)>;
  Reading(Client& client, ReadingOptions options, Take take);
  // Until `take` has enough, the end is reached, all shards have ended, or it is `stop_at_ms`.
  Status run(int64_t stop_at_ms = INT64_MAX);

 private:
  Status look();
  bool on_event(const v1::SubscribeResponse& event);
  grpc::Status subscribe_once();
  bool at_end() const;

  Client& client_;
  const ReadingOptions options_;
  const Take take_;
  std::map<int32_t, v1::ShardPosition> positions_;  // of shards that have not ended
  std::map<int32_t, int64_t> targets_;              // until_end: still to be reached
  bool enough_ = false;
  int64_t heard_ms_ = 0;
  int64_t stop_at_ms_ = INT64_MAX;
};

}  // namespace broker::cli
