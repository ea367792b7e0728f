#pragma once
// AWS's rates of the operations that read or change metadata: so many a second for the account, or
// for a stream, or for a shard. Counted by the broker that answers. On the reactor.
#include <map>
#include <optional>
#include <string>
#include <unordered_map>

#include "broker/handlers/kinesis/context.h"
#include "broker/partition/shard_limits.h"

namespace broker::handlers::kinesis {

class OperationRates {
 public:
  OperationRates(env::Clock& clock, bool enabled) : clock_(clock), enabled_(enabled) {}
  // The refusal of a call that comes too soon after the others. `subject` is the stream (or its
  // shard) where the rate is one's own, ignored otherwise.
  std::optional<wire::Error> admit(wire::Operation operation, const std::string& subject,
                                   const wire::Caller& caller);

 private:
  struct Window {
    partition::RateWindow rate;
    int64_t used_ms;
  };
  void forget_idle(int64_t now_ms);

  env::Clock& clock_;
  const bool enabled_;
  std::map<std::pair<wire::Operation, std::string>, Window> windows_;
  int64_t cleaned_ms_ = 0;
};

}  // namespace broker::handlers::kinesis
