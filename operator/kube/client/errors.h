#pragma once
// What the API server answered, as our Status. Pure.
//
// The contract for writes: kUnavailable means that the request was certainly not carried out,
// kTimeout that nobody knows (read the object again and compare), everything else that it was
// refused.
#include <string_view>

#include "broker/base/status.h"

namespace sluice_operator::kube {

// `http_code` is not 2xx; `body` may be a Status object of the API, some proxy's page, or empty.
//   400, 422 kInvalidArgument    401, 403 kPermissionDenied   404 kNotFound
//   409 kAlreadyExists | kConflict, by reason                 410 kOutOfRange ("expired")
//   405, 406, 415 kUnsupported   413 kTooLarge                429 kUnavailable
//   5xx: a read kUnavailable, a write kTimeout
broker::Status api_error(int http_code, std::string_view body, bool is_write);

// The resourceVersion is older than what the server remembers: list again.
inline bool is_expired(const broker::Status& s) { return s.code() == broker::Code::kOutOfRange; }
// A write's outcome is unknown.
inline bool is_ambiguous(const broker::Status& s) { return s.code() == broker::Code::kTimeout; }
// The same request may succeed later.
inline bool is_retriable(const broker::Status& s) {
  return s.code() == broker::Code::kUnavailable || s.code() == broker::Code::kTimeout;
}

}  // namespace sluice_operator::kube
