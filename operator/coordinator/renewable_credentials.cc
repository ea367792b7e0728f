#include "operator/coordinator/renewable_credentials.h"

#include <grpc/grpc.h>
#include <grpc/grpc_security.h>

#include <mutex>

#include "broker/base/check.h"

namespace sluice_operator::coordinator {

// gRPC keeps what it was given last until it is told of something else.
struct TlsSource::State {
  std::mutex mutex;
  ServerTls tls;
  uint64_t version = 1;
  uint64_t given = 0;
};

namespace {

// On gRPC's threads, at every handshake.
grpc_ssl_certificate_config_reload_status fetch(void* source,
                                                grpc_ssl_server_certificate_config** config) {
  auto& state = static_cast<TlsSource*>(source)->state();
  std::lock_guard lock(state.mutex);
  if (state.given == state.version) return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;
  grpc_ssl_pem_key_cert_pair pair{state.tls.key.c_str(), state.tls.cert.c_str()};
  *config = grpc_ssl_server_certificate_config_create(state.tls.ca.c_str(), &pair, 1);
  state.given = state.version;
  return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW;
}

// gRPC's C++ API offers certificates that can be replaced only as files; its C API as a callback.
class RenewableCredentials : public grpc::ServerCredentials {
 public:
  explicit RenewableCredentials(TlsSource& source) {
    auto* options = grpc_ssl_server_credentials_create_options_using_config_fetcher(
        GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY, fetch, &source);
    credentials_ = grpc_ssl_server_credentials_create_with_options(options);
  }
  ~RenewableCredentials() override { grpc_server_credentials_release(credentials_); }
  void SetAuthMetadataProcessor(const std::shared_ptr<grpc::AuthMetadataProcessor>&) override {
    CHECK(false);  // nobody here processes call metadata
  }

 private:
  int AddPortToServer(const std::string& address, grpc_server* server) override {
    return grpc_server_add_http2_port(server, address.c_str(), credentials_);
  }
  grpc_server_credentials* credentials_;
};

}  // namespace

TlsSource::TlsSource(ServerTls tls) : state_(std::make_unique<State>()) { state_->tls = std::move(tls); }
TlsSource::~TlsSource() = default;

void TlsSource::renew(ServerTls tls) {
  std::lock_guard lock(state_->mutex);
  if (tls == state_->tls) return;
  state_->tls = std::move(tls);
  ++state_->version;
}

std::shared_ptr<grpc::ServerCredentials> renewable_credentials(TlsSource& source) {
  return std::make_shared<RenewableCredentials>(source);
}

}  // namespace sluice_operator::coordinator
