#include "broker/protocol/kafka/errors.h"

namespace broker::protocol::kafka {

std::string_view to_string(Error error) {
  switch (error) {
#define SL_KAFKA_ERROR(name, number, text) \
  case Error::name:                        \
    return text;
    SL_KAFKA_ERRORS(SL_KAFKA_ERROR)
#undef SL_KAFKA_ERROR
  }
  return "UNKNOWN";
}

Error to_kafka_error(Code code) {
  switch (code) {
    case Code::kOk: return Error::kNone;
    case Code::kInvalidArgument: return Error::kInvalidRequest;
    case Code::kNotFound: return Error::kUnknownTopicOrPartition;
    case Code::kAlreadyExists: return Error::kTopicAlreadyExists;
    case Code::kNotLeader: return Error::kNotLeaderOrFollower;
    case Code::kFenced: return Error::kFencedLeaderEpoch;
    case Code::kUnavailable: return Error::kLeaderNotAvailable;
    case Code::kTimeout: return Error::kRequestTimedOut;
    case Code::kConflict: return Error::kInvalidRequest;
    case Code::kOutOfRange: return Error::kOffsetOutOfRange;
    case Code::kCorruption: return Error::kCorruptMessage;
    case Code::kIoError: return Error::kKafkaStorageError;
    case Code::kNoSpace: return Error::kKafkaStorageError;
    case Code::kTooLarge: return Error::kMessageTooLarge;
    case Code::kUnsupported: return Error::kUnsupportedVersion;
    case Code::kPolicyViolation: return Error::kPolicyViolation;
    case Code::kPermissionDenied: return Error::kClusterAuthorizationFailed;
    case Code::kResourceExhausted: return Error::kThrottlingQuotaExceeded;
    case Code::kOutOfOrderSequence: return Error::kOutOfOrderSequenceNumber;
    case Code::kDuplicateSequence: return Error::kDuplicateSequenceNumber;
    case Code::kInvalidProducerEpoch: return Error::kInvalidProducerEpoch;
    case Code::kUnknownProducer: return Error::kUnknownProducerId;
    case Code::kTooFewBrokers: return Error::kInvalidReplicationFactor;
    case Code::kInternal: return Error::kUnknownServerError;
  }
  return Error::kUnknownServerError;
}

}  // namespace broker::protocol::kafka
