#pragma once
// The exceptions of the Kinesis API and of AWS's front end before it, with the words and the HTTP
// status that AWS answers with. Made by the decoder, the signature check, the handlers and the
// server; the server writes them. Plain values.
#include <string>

namespace broker::protocol::kinesis {

struct Error {
  std::string type;     // "ResourceNotFoundException", what clients switch on
  std::string message;  // may be empty
  int http_status = 400;
  bool operator==(const Error&) const = default;
};

// Of the API. A stream's own words ("Stream x under account y not found.") are the handlers'.
Error access_denied(std::string message);
Error dry_run_operation();  // the call would have succeeded
Error expired_iterator(std::string message);
Error expired_next_token(std::string message);
Error internal_failure(std::string message);  // 500: clients try again
Error invalid_argument(std::string message);
Error kms_access_denied(std::string message);
Error kms_disabled(std::string message);
Error kms_invalid_state(std::string message);
Error kms_not_found(std::string message);
Error kms_opt_in_required(std::string message);
Error kms_throttling(std::string message);
Error limit_exceeded(std::string message);
Error provisioned_throughput_exceeded(std::string message);
Error resource_in_use(std::string message);
Error resource_not_found(std::string message);
Error validation(std::string message);

// Of the front end.
Error serialization(std::string message);
Error unknown_operation();
Error missing_authentication_token();
Error incomplete_signature(std::string message);
Error invalid_signature(std::string message);
Error unrecognized_client(std::string message);
Error service_unavailable(std::string message);  // 503: clients try again
Error request_too_large();                       // 413

}  // namespace broker::protocol::kinesis
