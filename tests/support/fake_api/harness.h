#pragma once
// What tests of the Kubernetes client need around it.
#include <functional>
#include <memory>

#include "broker/env/posix/posix.h"
#include "operator/kube/client/client.h"

namespace sluice_tests {

struct ClientHarness {
  broker::env::PosixClock clock;
  broker::env::PosixFileSystem fs;
  broker::env::SystemRandom random;
  broker::Metrics metrics;

  std::unique_ptr<sluice_operator::kube::Client> connect(
      const sluice_operator::kube::ClientConfig& config,
      sluice_operator::kube::ClientOptions options = {}) {
    auto client =
        sluice_operator::kube::Client::open(config, fs, clock, random, metrics, options);
    CHECK(client.ok());
    return std::move(client).value();
  }

  // Waits up to 10 s for `condition`.
  bool eventually(const std::function<bool()>& condition) {
    sluice_operator::kube::StopSignal never;
    for (int64_t end_ms = clock.mono_ms() + 10'000; clock.mono_ms() < end_ms; never.wait_ms(5)) {
      if (condition()) return true;
    }
    return condition();
  }
};

}  // namespace sluice_tests
