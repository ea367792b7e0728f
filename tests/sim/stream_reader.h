#pragma once
// Reads a stream from its beginning, parents before children, sometimes from leaders through any
// broker's router, sometimes from whatever replica is at hand. What it is shown must be committed,
// the same for everybody, and without holes.
#include "tests/sim/clients.h"

namespace broker::sim {

class StreamReader : public Clients::Client {
 public:
  StreamReader(Clients& clients, std::string stream)
      : clients_(clients), stream_(std::move(stream)) {}

  void step() override;
  std::string busy() override;

 private:
  struct Position {
    Offset next{0};
    bool asking = false;
    int64_t asked_us = 0;
  };
  void ask(const ShardId& shard, Position& position);
  void on_fetched(const ShardId& shard, Offset from, const std::string& who,
                  const Result<partition::Fetched>& result);
  bool parents_read(const cluster::v1::ShardMap& map, const cluster::v1::Shard& shard);

  Clients& clients_;
  const std::string stream_;
  std::map<ShardId, Position> positions_;
};

}  // namespace broker::sim
