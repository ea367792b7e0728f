#include "broker/handlers/kinesis/context.h"

namespace broker::handlers::kinesis {

// kResourceExhausted of a shard is the operations' own to say: they know the shard.
wire::Error to_error(const Status& status) {
  switch (status.code()) {
    case Code::kInvalidArgument:
    case Code::kPolicyViolation:
    case Code::kOutOfRange:
    case Code::kUnsupported:
    case Code::kTooLarge:
    case Code::kTooFewBrokers:
      return wire::invalid_argument(status.message());
    case Code::kNotFound:
      return wire::resource_not_found(status.message());
    case Code::kAlreadyExists:
    case Code::kConflict:
      return wire::resource_in_use(status.message());
    case Code::kPermissionDenied:
      return wire::access_denied(status.message());
    case Code::kResourceExhausted:
      return wire::limit_exceeded(status.message());
    case Code::kNotLeader:
    case Code::kUnavailable:
    case Code::kFenced:
      return wire::service_unavailable(status.message());
    case Code::kOk:
    case Code::kTimeout:
    case Code::kCorruption:
    case Code::kIoError:
    case Code::kNoSpace:
    case Code::kOutOfOrderSequence:
    case Code::kDuplicateSequence:
    case Code::kInvalidProducerEpoch:
    case Code::kUnknownProducer:
    case Code::kInternal:
      return wire::internal_failure(status.message());
  }
  return wire::internal_failure(status.message());
}

wire::Error stream_not_found(const std::string& name, const wire::Caller& caller) {
  return wire::resource_not_found("Stream " + name + " under account " + caller.account +
                                  " not found.");
}

wire::Error shard_not_found(const std::string& shard, const std::string& stream,
                            const wire::Caller& caller) {
  return wire::resource_not_found("Could not find shard " + shard + " in stream " + stream +
                                  " under account " + caller.account + ".");
}

wire::Error stream_not_active(const std::string& name, const wire::Caller& caller,
                              std::string_view status) {
  return wire::resource_in_use("Stream " + name + " under account " + caller.account +
                               " not ACTIVE, instead in state " + std::string(status));
}

}  // namespace broker::handlers::kinesis
