#pragma once
// The connection to a broker, and gRPC's errors as sentences. Used by every command; each command
// is one thread, but for what publisher.h says.
#include <memory>
#include <string>

#include <grpcpp/grpcpp.h>

#include "broker/base/status.h"
#include "broker/cli/arguments.h"
#include "broker/proto/sluice.grpc.pb.h"

namespace broker::cli {

namespace v1 = ::sluice::v1;

class Client {
 public:
  // --broker, else $SLUICE_BROKER, else localhost:9090; dials at the first call.
  explicit Client(const Arguments& arguments);
  // That broker, whatever --broker says.
  Client(const Arguments& arguments, std::string address);
  v1::Sluice::Stub& stub() { return *stub_; }
  // What went wrong, and what to do about it where that is known.
  Status explain(const grpc::Status& status) const;

  template <class Request, class Response>
  Result<Response> call(grpc::Status (v1::Sluice::Stub::*method)(grpc::ClientContext*,
                                                                 const Request&, Response*),
                        const Request& request) {
    grpc::ClientContext context;
    set_deadline(context, 30);
    Response response;
    grpc::Status status = ((*stub_).*method)(&context, request, &response);
    if (!status.ok()) return explain(status);
    return response;
  }

 private:
  static void set_deadline(grpc::ClientContext& context, int seconds);
  std::string address_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::Sluice::Stub> stub_;
};

// Worth another try: the broker is restarting, stopping, or not reachable now.
bool is_passing(const grpc::Status& status);
int64_t mono_ms();
int64_t wall_ms();
void sleep_ms(int64_t ms);

}  // namespace broker::cli
