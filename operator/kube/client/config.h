#pragma once
// Where the API server is and who we are to it: from the pod's service account, or from a
// kubeconfig file. Read once at start; only the token is read again, because it rotates.
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>

#include "broker/env/env.h"

namespace sluice_operator::kube {

struct ClientConfig {
  std::string server;  // https://host:port[/prefix]; plain http is for tests
  std::string ca_pem;  // empty: the system's roots
  bool verify_server = true;
  std::string client_cert_pem;
  std::string client_key_pem;
  std::string token;
  std::string token_file;  // wins over token
  std::string ns;          // the default namespace; "default" when nothing says otherwise
};

// A pod's own: KUBERNETES_SERVICE_HOST and _PORT, and the mounted service account in `dir`.
broker::Result<ClientConfig> in_cluster_config(
    broker::env::FileSystem& fs,
    const std::string& dir = "/var/run/secrets/kubernetes.io/serviceaccount");

// Reads a kubeconfig file. An empty `context` means its current-context. Credential plugins (exec,
// auth-provider) are refused: the operator runs no foreign commands.
broker::Result<ClientConfig> kubeconfig(broker::env::FileSystem& fs, const std::string& path,
                                        const std::string& context);

// The same from text; file names in it are relative to `dir`.
broker::Result<ClientConfig> parse_kubeconfig(broker::env::FileSystem& fs, const std::string& text,
                                              const std::string& context, const std::string& dir);

// The bearer token of the moment. A token file is read again every minute, and when refresh() was
// called because the server refused the last one; a file that cannot be read keeps the old token.
// Thread-safe.
class TokenSource {
 public:
  static constexpr int64_t kRereadMs = 60'000;
  TokenSource(const ClientConfig& config, broker::env::FileSystem& fs, broker::env::Clock& clock);
  // Empty when there is none.
  std::string current();
  void refresh();

 private:
  const std::string file_;
  broker::env::FileSystem& fs_;
  broker::env::Clock& clock_;
  std::mutex mutex_;
  std::string token_;
  int64_t read_again_ms_ = INT64_MIN;
};

}  // namespace sluice_operator::kube
