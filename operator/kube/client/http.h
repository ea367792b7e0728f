#pragma once
// HTTP to one server with TLS and kept-alive connections: the only door to cpprestsdk, whose
// exceptions end in http.cc. Calls block the caller; any number of threads may call.
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "broker/env/env.h"
#include "operator/kube/client/config.h"
#include "operator/kube/task/task.h"

namespace sluice_operator::kube {

struct HttpRequest {
  std::string method;
  std::string target;  // path and query, encoded
  std::string authorization;
  std::string content_type;
  std::string body;
};

struct HttpResponse {
  int code = 0;
  int64_t retry_after_ms = -1;  // -1: the server did not say
  std::string body;
};

// cpprestsdk starts 40 threads at its first use unless told otherwise: everything that uses it calls
// this first.
void limit_http_library_threads();

class HttpClient {
 public:
  static constexpr size_t kBodyBytesMax = 256 << 20;
  // Gets the body's bytes as they come; not kOk ends the exchange with that Status.
  using OnBytes = std::function<broker::Status(std::string_view)>;

  static broker::Result<std::unique_ptr<HttpClient>> open(const ClientConfig& config,
                                                          broker::env::Clock& clock);
  ~HttpClient();

  // The whole answer, whatever its code. kUnavailable: certainly not sent; kTimeout: sent, and no
  // answer within `timeout_ms`, or the connection broke, or `stop` fired.
  broker::Result<HttpResponse> send(const HttpRequest& request, int64_t timeout_ms, StopSignal& stop);

  // Streams the body of a 200 to `on_bytes` on the calling thread; other codes come back whole.
  // Fails with kTimeout when the headers take longer than `head_timeout_ms` or no byte arrives for
  // `idle_timeout_ms`, with kUnavailable when the connection breaks or `stop` fires.
  broker::Result<HttpResponse> stream(const HttpRequest& request, int64_t head_timeout_ms,
                                      int64_t idle_timeout_ms, StopSignal& stop,
                                      const OnBytes& on_bytes);

 private:
  struct Impl;
  explicit HttpClient(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace sluice_operator::kube
