#include "broker/protocol/kinesis/errors.h"

#include <utility>

namespace broker::protocol::kinesis {

Error access_denied(std::string message) {
  return {"AccessDeniedException", std::move(message)};
}
Error dry_run_operation() {
  return {"DryRunOperationException",
          "The request was rejected because the DryRun parameter was specified."};
}
Error expired_iterator(std::string message) {
  return {"ExpiredIteratorException", std::move(message)};
}
Error expired_next_token(std::string message) {
  return {"ExpiredNextTokenException", std::move(message)};
}
Error internal_failure(std::string message) {
  return {"InternalFailureException", std::move(message), 500};
}
Error invalid_argument(std::string message) {
  return {"InvalidArgumentException", std::move(message)};
}
Error kms_access_denied(std::string message) {
  return {"KMSAccessDeniedException", std::move(message)};
}
Error kms_disabled(std::string message) { return {"KMSDisabledException", std::move(message)}; }
Error kms_invalid_state(std::string message) {
  return {"KMSInvalidStateException", std::move(message)};
}
Error kms_not_found(std::string message) { return {"KMSNotFoundException", std::move(message)}; }
// Without "Exception", as in AWS's model.
Error kms_opt_in_required(std::string message) { return {"KMSOptInRequired", std::move(message)}; }
Error kms_throttling(std::string message) { return {"KMSThrottlingException", std::move(message)}; }
Error limit_exceeded(std::string message) {
  return {"LimitExceededException", std::move(message)};
}
Error provisioned_throughput_exceeded(std::string message) {
  return {"ProvisionedThroughputExceededException", std::move(message)};
}
Error resource_in_use(std::string message) {
  return {"ResourceInUseException", std::move(message)};
}
Error resource_not_found(std::string message) {
  return {"ResourceNotFoundException", std::move(message)};
}
Error validation(std::string message) { return {"ValidationException", std::move(message)}; }

Error serialization(std::string message) { return {"SerializationException", std::move(message)}; }
Error unknown_operation() { return {"UnknownOperationException", ""}; }
Error missing_authentication_token() {
  return {"MissingAuthenticationTokenException", "Missing Authentication Token"};
}
Error incomplete_signature(std::string message) {
  return {"IncompleteSignatureException", std::move(message)};
}
Error invalid_signature(std::string message) {
  return {"InvalidSignatureException", std::move(message)};
}
Error unrecognized_client(std::string message) {
  return {"UnrecognizedClientException", std::move(message)};
}
Error service_unavailable(std::string message) {
  return {"ServiceUnavailableException", std::move(message), 503};
}
Error request_too_large() {
  return {"RequestEntityTooLargeException", "Request body is too large", 413};
}

}  // namespace broker::protocol::kinesis
