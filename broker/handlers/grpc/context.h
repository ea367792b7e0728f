#pragma once
// What every gRPC handler works on, and news of streams for the long-lived ones. Made once per
// broker by Handlers; on the reactor.
#include <functional>
#include <map>
#include <memory>

#include "broker/base/metrics.h"
#include "broker/cluster/session.h"
#include "broker/handlers/grpc/shards.h"

namespace broker::handlers::grpc {

namespace v1 = ::sluice::v1;

// Tells flows that the map of their stream has changed. Metadata's listeners cannot be taken back,
// so one listener serves all flows.
class StreamWatch {
 public:
  using Id = uint64_t;
  explicit StreamWatch(cluster::Metadata& metadata);
  Id add(const Uuid& stream, std::function<void()> changed);
  void remove(Id id);

 private:
  struct State {
    Id next = 1;
    std::map<Id, std::pair<Uuid, std::function<void()>>> watchers;
  };
  std::shared_ptr<State> state_ = std::make_shared<State>();
};

struct FlowMetrics {
  explicit FlowMetrics(Metrics& metrics);
  prometheus::Counter& publish_records;
  prometheus::Counter& publish_bytes;
  prometheus::Histogram& publish_seconds;
  prometheus::Counter& subscribe_records;
  prometheus::Counter& subscribe_bytes;
};

using AdminCall =
    std::function<void(v1::AdminRequest, int64_t timeout_ms, cluster::Session::AdminDone)>;

// Producer ids for publish streams: drawn, so that they need no coordinator, far above those that
// it gives to Kafka's clients.
class ProducerIds {
 public:
  explicit ProducerIds(env::Random& random) : random_(random) {}
  int64_t take() { return static_cast<int64_t>(uint64_t{1} << 62 | random_.next() >> 2); }

 private:
  env::Random& random_;
};

struct Context {
  BrokerId self;
  env::Clock& clock;
  env::Executor& executor;
  cluster::Metadata& metadata;
  Shards& shards;
  StreamWatch& watch;
  FlowMetrics& metrics;
  ProducerIds& producer_ids;
  AdminCall admin;
};

// A stream made through another broker may be heard of a moment later: clients see no NOT_FOUND
// for one that exists.
inline constexpr int64_t kUnknownStreamGraceMs = 500;
inline constexpr int64_t kUnknownStreamPollMs = 50;

Status unknown_stream(std::string_view name);
// kPolicyViolation for a stream that the brokers keep their own state in.
Status check_not_internal(std::string_view name);
// Worth another try at the same or another broker.
bool is_retriable(Code code);

}  // namespace broker::handlers::grpc
