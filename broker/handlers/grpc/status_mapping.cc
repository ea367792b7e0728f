#include "broker/handlers/grpc/status_mapping.h"

namespace broker::handlers::grpc {

::grpc::StatusCode to_grpc_status(Code code) {
  switch (code) {
    case Code::kOk: return ::grpc::OK;
    case Code::kInvalidArgument: return ::grpc::INVALID_ARGUMENT;
    case Code::kNotFound: return ::grpc::NOT_FOUND;
    case Code::kAlreadyExists: return ::grpc::ALREADY_EXISTS;
    case Code::kNotLeader: return ::grpc::UNAVAILABLE;
    case Code::kFenced: return ::grpc::ABORTED;
    case Code::kUnavailable: return ::grpc::UNAVAILABLE;
    case Code::kTimeout: return ::grpc::DEADLINE_EXCEEDED;
    case Code::kConflict: return ::grpc::ABORTED;
    case Code::kOutOfRange: return ::grpc::OUT_OF_RANGE;
    case Code::kCorruption: return ::grpc::DATA_LOSS;
    case Code::kIoError: return ::grpc::INTERNAL;
    case Code::kNoSpace: return ::grpc::RESOURCE_EXHAUSTED;
    case Code::kTooLarge: return ::grpc::INVALID_ARGUMENT;
    case Code::kUnsupported: return ::grpc::UNIMPLEMENTED;
    case Code::kPolicyViolation: return ::grpc::FAILED_PRECONDITION;
    case Code::kPermissionDenied: return ::grpc::PERMISSION_DENIED;
    case Code::kResourceExhausted: return ::grpc::RESOURCE_EXHAUSTED;
    case Code::kOutOfOrderSequence: return ::grpc::FAILED_PRECONDITION;
    case Code::kDuplicateSequence: return ::grpc::ALREADY_EXISTS;
    case Code::kInvalidProducerEpoch: return ::grpc::FAILED_PRECONDITION;
    case Code::kUnknownProducer: return ::grpc::FAILED_PRECONDITION;
    case Code::kTooFewBrokers: return ::grpc::FAILED_PRECONDITION;
    case Code::kInternal: return ::grpc::INTERNAL;
  }
  return ::grpc::UNKNOWN;
}

}  // namespace broker::handlers::grpc
