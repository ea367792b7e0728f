#pragma once
// Client quotas at the Kinesis door (broker/quotas): SDKs know how to wait, so a client over its quota
// is refused rather than delayed: ProvisionedThroughputExceededException for records and iterators,
// LimitExceededException otherwise. The client id is the access key. On the reactor.
#include <optional>

#include "broker/handlers/kinesis/context.h"

namespace broker::handlers::kinesis {

class Throttle {
 public:
  explicit Throttle(const Services& services) : services_(services) {}
  // The refusal of a call whose client has used its quotas up; counts its mutations of shards.
  std::optional<wire::Error> admit(wire::Call& call) const;
  // What an operation did, key and data of records.
  void put(const wire::Caller& caller, size_t bytes) const;
  void got(const wire::Caller& caller, size_t bytes) const;
  void worked(const wire::Caller& caller, int64_t work_us) const;
  bool counts_work() const;

 private:
  std::optional<wire::Error> over(quotas::Quota quota, wire::Call& call) const;
  const Services& services_;
};

}  // namespace broker::handlers::kinesis
