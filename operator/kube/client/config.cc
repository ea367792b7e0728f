#include "operator/kube/client/config.h"

#include <cstdlib>

#include "broker/base/log.h"

namespace sluice_operator::kube {

using broker::Code;
using broker::Result;
using broker::Status;

namespace {

constexpr uint64_t kFileBytesMax = 1 << 20;

std::string trimmed(std::string text) {
  size_t from = text.find_first_not_of(" \t\r\n");
  if (from == std::string::npos) return {};
  size_t to = text.find_last_not_of(" \t\r\n");
  return text.substr(from, to - from + 1);
}

}  // namespace

Result<ClientConfig> in_cluster_config(broker::env::FileSystem& fs, const std::string& dir) {
  const char* host = std::getenv("KUBERNETES_SERVICE_HOST");
  const char* port = std::getenv("KUBERNETES_SERVICE_PORT");
  if (!host || !*host) {
    return Status(Code::kNotFound,
                  "not inside Kubernetes (KUBERNETES_SERVICE_HOST is not set); give --kubeconfig");
  }
  ClientConfig config;
  std::string shown = host;
  if (shown.find(':') != std::string::npos) shown = "[" + shown + "]";
  config.server = "https://" + shown + ":" + (port && *port ? port : "443");
  ASSIGN_OR_RETURN(config.ca_pem, broker::env::read_file(fs, dir + "/ca.crt", kFileBytesMax));
  config.token_file = dir + "/token";
  ASSIGN_OR_RETURN(config.token, broker::env::read_file(fs, config.token_file, kFileBytesMax));
  config.token = trimmed(config.token);
  auto ns = broker::env::read_file(fs, dir + "/namespace", kFileBytesMax);
  config.ns = ns.ok() ? trimmed(*ns) : "";
  if (config.ns.empty()) config.ns = "default";
  return config;
}

Result<ClientConfig> kubeconfig(broker::env::FileSystem& fs, const std::string& path,
                                const std::string& context) {
  ASSIGN_OR_RETURN(std::string text, broker::env::read_file(fs, path, kFileBytesMax));
  size_t slash = path.rfind('/');
  auto config = parse_kubeconfig(fs, text, context,
                                 slash == std::string::npos ? "." : path.substr(0, slash));
  if (!config.ok()) return config.status().with_context(path);
  return config;
}

TokenSource::TokenSource(const ClientConfig& config, broker::env::FileSystem& fs,
                         broker::env::Clock& clock)
    : file_(config.token_file), fs_(fs), clock_(clock), token_(config.token) {}

std::string TokenSource::current() {
  std::lock_guard lock(mutex_);
  if (file_.empty() || clock_.mono_ms() < read_again_ms_) return token_;
  read_again_ms_ = clock_.mono_ms() + kRereadMs;
  auto text = broker::env::read_file(fs_, file_, kFileBytesMax);
  if (text.ok() && !trimmed(*text).empty()) {
    token_ = trimmed(*text);
  } else {
    broker::log_warn("kube", "cannot read the token again, keeping the old one",
                     {{"file", file_}, {"error", text.status().to_string()}});
  }
  return token_;
}

void TokenSource::refresh() {
  std::lock_guard lock(mutex_);
  read_again_ms_ = INT64_MIN;
}

}  // namespace sluice_operator::kube
