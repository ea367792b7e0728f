#pragma once
// Our codes as gRPC status codes, the one place where they meet. Pure.
#include <grpcpp/support/status_code_enum.h>

#include "broker/base/status.h"

namespace broker::handlers::grpc {

::grpc::StatusCode to_grpc_status(Code code);

}  // namespace broker::handlers::grpc
