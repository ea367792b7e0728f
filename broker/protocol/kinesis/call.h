#pragma once
// The seam between the HTTP server and the operations: one call, its caller, and its one answer.
// The server makes a Call for each request that is signed and well-formed; a Service answers it,
// now or later. Everything on the reactor's thread.
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "broker/protocol/kinesis/codec.h"

namespace broker::protocol::kinesis {

// Whose signature the request bears.
struct Caller {
  std::string access_key;
  std::string account;  // twelve digits
  std::string region;   // of the signature
  std::string user;     // whose access key it is; empty: anybody's
  std::string host;     // address, as text
};

class Call {
 public:
  // `body` is encoded already; `error` is null for a success.
  using Reply = std::function<void(std::string body, const Error* error)>;

  Call(Caller caller, Format format, Reply reply)
      : caller_(std::move(caller)), format_(format), reply_(std::move(reply)) {}
  // A call that nobody answered is an internal failure, not a client that waits for ever.
  ~Call() {
    if (reply_) fail(internal_failure("The request was dropped."));
  }
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

  const Caller& caller() const { return caller_; }
  Operation operation() const { return static_cast<Operation>(request_.index()); }
  Request& request() { return request_; }

  // The first answer counts.
  template <class Response>
  void respond(const Response& response) {
    if (reply_) std::exchange(reply_, nullptr)(encode(format_, response), nullptr);
  }
  void fail(const Error& error) {
    if (reply_) std::exchange(reply_, nullptr)(encode_error(format_, error), &error);
  }

 private:
  Caller caller_;
  Format format_;
  Request request_;
  Reply reply_;
};
using CallPtr = std::shared_ptr<Call>;

// Answers one call; keeps it, and its request, alive meanwhile. Cheap to copy.
template <class Response>
class Done {
 public:
  explicit Done(CallPtr call) : call_(std::move(call)) {}
  void operator()(const Response& response) const { call_->respond(response); }
  void operator()(const Error& error) const { call_->fail(error); }
  const Caller& caller() const { return call_->caller(); }

 private:
  CallPtr call_;
};

class Service {
 public:
  virtual ~Service() = default;
  virtual void handle(CallPtr call) = 0;
};

// Calls handlers.handle(call, request, Done<Response>) with the request's own type. The request may
// be moved from; it lives as long as the call.
template <class Handlers>
void dispatch(Handlers& handlers, const CallPtr& call) {
  std::visit(
      [&](auto& request) {
        using R = std::remove_reference_t<decltype(request)>;
        handlers.handle(call, request, Done<typename R::Response>(call));
      },
      call->request());
}

}  // namespace broker::protocol::kinesis
