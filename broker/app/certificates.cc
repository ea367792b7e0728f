#include "broker/app/certificates.h"

#include <google/protobuf/util/message_differencer.h>

#include <algorithm>

#include "broker/base/log.h"
#include "broker/security/tls.h"

namespace broker::app {
namespace {

constexpr uint64_t kFileBytesMax = 1 << 20;

bool tls_for_clients(const Config& config) {
  return config.kafka.tls || config.grpc.tls ||
         std::any_of(config.kafka_listeners.begin(), config.kafka_listeners.end(),
                     [](const auto& listener) { return listener.tls; });
}

}  // namespace

Certificates::Certificates(env::FileSystem& fs, env::Clock& clock, Metrics& metrics,
                           const Config& config)
    : fs_(fs),
      clock_(clock),
      ca_(config.tls_ca),
      cert_(config.tls_cert),
      client_ca_(tls_for_clients(config) ? config.client_tls_ca : ""),
      client_cert_(tls_for_clients(config) ? config.client_tls_cert : "") {
  for (const auto& [name, path] : {std::pair{"brokers", cert_}, {"listeners", client_cert_}}) {
    if (path.empty() || ends_.contains(path)) continue;
    ends_[path].left = &metrics.gauge("sluice_broker_certificate_seconds_left",
                                      "Seconds until a certificate that the broker shows ends.",
                                      {{"certificate", name}});
  }
  seen_ = loaded_ = read_all();  // the doors open with these
}

std::string Certificates::read(const std::string& path) const {
  if (path.empty()) return {};
  auto text = env::read_file(fs_, path, kFileBytesMax);
  if (text.ok()) return std::move(*text);
  log_warn("broker", "a certificate's file cannot be read", {{"error", text.status().to_string()}});
  return {};
}

sluice::v1::Certificates Certificates::read_all() {
  sluice::v1::Certificates out;
  auto hash = [&](const std::string& path) {
    std::string text = read(path);
    if (auto it = ends_.find(path); it != ends_.end() && !text.empty()) {
      it->second.ends_s = security::certificate_end(text);
    }
    return text.empty() ? std::string() : security::sha256_hex(text);
  };
  out.set_ca(hash(ca_));
  out.set_cert(hash(cert_));
  out.set_client_ca(hash(client_ca_));
  out.set_client_cert(hash(client_cert_));
  return out;
}

void Certificates::look() {
  auto now = read_all();
  if (google::protobuf::util::MessageDifferencer::Equals(now, seen_)) loaded_ = now;
  seen_ = std::move(now);
}

void Certificates::refresh() {
  const int64_t now_s = clock_.wall_ms() / 1000;
  for (auto& [path, end] : ends_) {
    if (end.left) end.left->Set(static_cast<double>(end.ends_s - now_s));
  }
}

}  // namespace broker::app
