#pragma once
// The operator's pages for machines: /metrics (Prometheus), /livez and /readyz. Answers come from
// the HTTP library's few threads, so the checks must not block.
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "broker/base/metrics.h"
#include "broker/base/status.h"

namespace sluice_operator::runtime {

class HttpPages {
 public:
  // kOk: 200; otherwise 503 with the message.
  using Check = std::function<broker::Status()>;
  // `address` is "0.0.0.0:8080" or "[::]:8080". The checks and the metrics must outlive the pages.
  static broker::Result<std::unique_ptr<HttpPages>> open(const std::string& address,
                                                         const broker::Metrics& metrics, Check live,
                                                         Check ready);
  ~HttpPages();

 private:
  struct Impl;
  explicit HttpPages(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace sluice_operator::runtime
