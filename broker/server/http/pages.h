#pragma once
// The pages for machines: /metrics (Prometheus text), /livez and /readyz. Plain HTTP/1.1 on the
// reactor, so that /livez answers only while the reactor turns. Built by app.
#include <functional>
#include <memory>
#include <string>

#include "broker/base/status.h"
#include "broker/env/posix/asio_executor.h"

namespace broker::server::http {

struct Health {
  bool ok = false;
  std::string text;  // why (not)
};

struct PagesOptions {
  std::string host = "0.0.0.0";
  uint16_t port = 9644;
  int64_t idle_ms = 30'000;
  size_t connections_max = 100;
};

class Pages {
 public:
  Pages(env::AsioExecutor& executor, PagesOptions options, std::function<std::string()> metrics,
        std::function<Health()> ready);
  ~Pages();
  // kUnavailable with the reason when the address cannot be bound.
  Status start();
  uint16_t port() const;

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace broker::server::http
