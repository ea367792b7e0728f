#pragma once
// Brokers that have gone a moment ago, as far as this one knows. Metadata goes on to name them for as
// long as Apache Kafka would (its broker.session.timeout.ms): librdkafka ends its handle of a broker
// that is missing from an answer, and its admin client then waits for good for a coordinator that it
// had found there. Owned by Context, on the reactor.
#include <map>
#include <memory>
#include <vector>

#include "broker/cluster/metadata.h"
#include "broker/env/env.h"

namespace broker::handlers::kafka {

class DepartedBrokers {
 public:
  static constexpr int64_t kListedMs = 9'000;

  // Both outlive it.
  DepartedBrokers(cluster::Metadata& metadata, env::Clock& clock);
  ~DepartedBrokers() { *alive_ = false; }
  DepartedBrokers(const DepartedBrokers&) = delete;
  DepartedBrokers& operator=(const DepartedBrokers&) = delete;

  // By id. A broker that the cluster has given up, so that it is no longer in the metadata, is gone
  // at once.
  std::vector<const cluster::v1::Broker*> listed() const;

 private:
  void look();

  cluster::Metadata& metadata_;
  env::Clock& clock_;
  struct Seen {
    bool alive = false;
    int64_t left_ms = 0;  // when it was last seen to go
  };
  std::map<BrokerId, Seen> seen_;  // those that have been alive
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace broker::handlers::kafka
