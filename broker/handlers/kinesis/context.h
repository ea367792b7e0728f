#pragma once
// What every Kinesis operation works with: the broker's services and how AWS's errors are said.
// Made by app (Services). Reactor only.
#include <functional>
#include <string>

#include "broker/base/metrics.h"
#include "broker/cluster/session.h"
#include "broker/model/internal_streams.h"
#include "broker/protocol/kinesis/call.h"
#include "broker/quotas/client_quotas.h"
#include "broker/routing/router.h"
#include "broker/security/authorizer.h"

namespace broker::handlers::kinesis {

namespace wire = ::broker::protocol::kinesis;
namespace v1 = ::sluice::v1;
using cluster::StreamPtr;

struct Options {
  std::string limits = "aws";  // of streams made here: partition/shard_limits.h
  // AWS's rates of operations that read or change metadata; per broker. --dev lifts them, as its
  // streams are ACTIVE at once: test suites make hundreds of streams in a row.
  bool operation_rates = true;
  int32_t shard_limit = 20'000;  // of the account, provisioned
  int32_t on_demand_streams_max = 50;
  int32_t on_demand_shards_max = 200;  // what the autoscaler may reach
};

struct Services {
  env::Clock& clock;
  env::Executor& executor;
  cluster::Metadata& metadata;
  Metrics& metrics;
  BrokerId self;
  // Made after the doors are open; no call comes before.
  std::function<routing::Router&()> router;
  // cluster::Session::admin.
  std::function<void(v1::AdminRequest, int64_t timeout_ms, cluster::Session::AdminDone)> admin;
  Options options = {};
  // Who may do what, and how much of it; null: everybody everything.
  const security::Authorizer* authorizer = nullptr;
  quotas::ClientQuotas* quotas = nullptr;
};

inline constexpr int64_t kAdminTimeoutMs = 15'000;

// A failure inside, as AWS says it: clients try these again.
wire::Error to_error(const Status& status);
wire::Error stream_not_found(const std::string& name, const wire::Caller& caller);
wire::Error shard_not_found(const std::string& shard, const std::string& stream,
                            const wire::Caller& caller);
wire::Error stream_not_active(const std::string& name, const wire::Caller& caller,
                              std::string_view status);

}  // namespace broker::handlers::kinesis
