#pragma once
// Status and Result<T>: the one channel for expected failures (a peer, a disk, an API, user input).
// Broken invariants use CHECK (check.h). Codes are mapped to each protocol's errors in one
// exhaustive switch per front door.
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "broker/base/check.h"

namespace broker {

enum class Code {
  kOk,
  kInvalidArgument,     // the caller's input is wrong; the message names the field and the fix
  kNotFound,            // stream, shard, broker, file
  kAlreadyExists,
  kNotLeader,           // retriable: ask another broker
  kFenced,              // a newer term or epoch exists
  kUnavailable,         // retriable: no quorum, connection lost, starting or stopping
  kTimeout,             // the outcome is unknown
  kConflict,            // compare-and-swap failed
  kOutOfRange,          // offset below the log start or above the end
  kCorruption,          // checksum or format
  kIoError,
  kNoSpace,
  kTooLarge,            // record, batch or frame above its limit
  kUnsupported,         // known, but not offered
  kPolicyViolation,     // refused by the stream's mode or the cluster's policy
  kPermissionDenied,
  kResourceExhausted,   // throttled or a bounded queue is full
  kOutOfOrderSequence,  // idempotent producer: a gap
  kDuplicateSequence,   // idempotent producer: an old duplicate whose answer is forgotten
  kInvalidProducerEpoch,
  kUnknownProducer,
  kTooFewBrokers,  // fewer brokers take replicas than a stream asks for
  kInternal,
};

std::string_view to_string(Code code);

// A code and its context. An ignored Status does not compile.
class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(Code code, std::string message) : code_(code), message_(std::move(message)) {}

  static Status ok_status() { return {}; }
  bool ok() const { return code_ == Code::kOk; }
  Code code() const { return code_; }
  const std::string& message() const { return message_; }
  // "NOT_FOUND: no stream 'x'"
  std::string to_string() const;
  // The same code with `context: ` before the message.
  Status with_context(std::string_view context) const;
  // States why a failure does not matter here.
  void ignore_error(const char* /*why*/) const {}

 private:
  Code code_ = Code::kOk;
  std::string message_;
};

// A value or the Status that says why there is none.
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Status status) : state_(std::in_place_index<1>, std::move(status)) {
    CHECK(!std::get<1>(state_).ok());
  }
  bool ok() const { return state_.index() == 0; }
  Status status() const { return ok() ? Status() : std::get<1>(state_); }
  Code code() const { return ok() ? Code::kOk : std::get<1>(state_).code(); }
  T& value() & {
    CHECK(ok());
    return std::get<0>(state_);
  }
  const T& value() const& {
    CHECK(ok());
    return std::get<0>(state_);
  }
  T&& value() && {
    CHECK(ok());
    return std::get<0>(std::move(state_));
  }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

 private:
  std::variant<T, Status> state_;
};

}  // namespace broker

#define SL_CONCAT_(a, b) a##b
#define SL_CONCAT(a, b) SL_CONCAT_(a, b)
// Returns the Status from the enclosing function when it is an error.
#define RETURN_IF_ERROR(expr)                       \
  do {                                              \
    ::broker::Status sl_status_ = (expr);           \
    if (!sl_status_.ok()) return sl_status_;        \
  } while (0)
// ASSIGN_OR_RETURN(auto x, f()): x is f()'s value, or the function returns f()'s Status.
#define ASSIGN_OR_RETURN(lhs, expr) ASSIGN_OR_RETURN_(SL_CONCAT(sl_result_, __LINE__), lhs, expr)
#define ASSIGN_OR_RETURN_(tmp, lhs, expr)  \
  auto tmp = (expr);                       \
  if (!tmp.ok()) return tmp.status();      \
  lhs = std::move(tmp).value()
