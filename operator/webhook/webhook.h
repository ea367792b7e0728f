#pragma once
// The validating admission webhook: an HTTPS server that the API server asks, on every replica of the
// operator, active or not. It remembers nothing: each question is answered from the API server's own
// objects (admission/). Beside it a thread keeps the certificate fresh and its CA in the
// ValidatingWebhookConfiguration. Made and destroyed by the operator's process.
#include <functional>
#include <memory>
#include <string>

#include "broker/base/metrics.h"
#include "broker/env/env.h"
#include "operator/kube/client/client.h"

namespace sluice_operator::webhook {

struct ServerKeys {
  std::string ca;  // PEM: what the API server is to trust
  std::string cert, key;
};

struct WebhookOptions {
  std::string listen;         // "0.0.0.0:9444"
  std::string configuration;  // name of the ValidatingWebhookConfiguration
  // Certificates as they are to be now; asked every `refresh_ms`, on the webhook's thread.
  std::function<broker::Result<ServerKeys>()> keys;
  int64_t refresh_ms = 60'000;
};

class Webhook {
 public:
  // kUnavailable when the port cannot be had or there are no certificates.
  static broker::Result<std::unique_ptr<Webhook>> open(WebhookOptions options, kube::Client& client,
                                                       broker::env::Clock& clock,
                                                       broker::Metrics& metrics);
  // Returns when no question is being answered any more; later ones are turned away. The client must
  // be stopped before.
  ~Webhook();

 private:
  struct Impl;
  explicit Webhook(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// The configuration with this CA in every webhook; absent when it has it already. Pure.
std::optional<kube::Json> with_ca(const kube::Json& configuration, const std::string& ca_pem);

}  // namespace sluice_operator::webhook
