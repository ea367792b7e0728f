#include "broker/base/status.h"

namespace broker {

std::string_view to_string(Code code) {
  switch (code) {
    case Code::kOk: return "OK";
    case Code::kInvalidArgument: return "INVALID_ARGUMENT";
    case Code::kNotFound: return "NOT_FOUND";
    case Code::kAlreadyExists: return "ALREADY_EXISTS";
    case Code::kNotLeader: return "NOT_LEADER";
    case Code::kFenced: return "FENCED";
    case Code::kUnavailable: return "UNAVAILABLE";
    case Code::kTimeout: return "TIMEOUT";
    case Code::kConflict: return "CONFLICT";
    case Code::kOutOfRange: return "OUT_OF_RANGE";
    case Code::kCorruption: return "CORRUPTION";
    case Code::kIoError: return "IO_ERROR";
    case Code::kNoSpace: return "NO_SPACE";
    case Code::kTooLarge: return "TOO_LARGE";
    case Code::kUnsupported: return "UNSUPPORTED";
    case Code::kPolicyViolation: return "POLICY_VIOLATION";
    case Code::kPermissionDenied: return "PERMISSION_DENIED";
    case Code::kResourceExhausted: return "RESOURCE_EXHAUSTED";
    case Code::kOutOfOrderSequence: return "OUT_OF_ORDER_SEQUENCE";
    case Code::kDuplicateSequence: return "DUPLICATE_SEQUENCE";
    case Code::kInvalidProducerEpoch: return "INVALID_PRODUCER_EPOCH";
    case Code::kUnknownProducer: return "UNKNOWN_PRODUCER";
    case Code::kTooFewBrokers: return "TOO_FEW_BROKERS";
    case Code::kInternal: return "INTERNAL";
  }
  return "UNKNOWN";
}

std::string Status::to_string() const {
  std::string text(broker::to_string(code_));
  if (!message_.empty()) text += ": " + message_;
  return text;
}

Status Status::with_context(std::string_view context) const {
  if (ok()) return *this;
  return Status(code_, std::string(context) + ": " + message_);
}

}  // namespace broker
