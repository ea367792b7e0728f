#include "broker/cli/client.h"

#include <openssl/evp.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <thread>

namespace broker::cli {

namespace {

constexpr int kMessageBytesMax = 32 << 20;

std::string default_address() {
  const char* set = std::getenv("SLUICE_BROKER");
  return set && *set ? set : "localhost:9090";
}

// gRPC's target for an address, or for a list of them, of which any that answers will do. Lists
// are of numeric addresses: that is what gRPC takes.
std::string target_of(std::string address) {
  if (address.find(',') == std::string::npos) return address;
  for (size_t at; (at = address.find("localhost:")) != std::string::npos;) {
    address.replace(at, 9, "127.0.0.1");
  }
  return "ipv4:" + address;
}

Code code_of(grpc::StatusCode code) {
  switch (code) {
    case grpc::StatusCode::NOT_FOUND: return Code::kNotFound;
    case grpc::StatusCode::ALREADY_EXISTS: return Code::kAlreadyExists;
    case grpc::StatusCode::INVALID_ARGUMENT: return Code::kInvalidArgument;
    case grpc::StatusCode::UNAVAILABLE: return Code::kUnavailable;
    case grpc::StatusCode::DEADLINE_EXCEEDED: return Code::kTimeout;
    case grpc::StatusCode::OUT_OF_RANGE: return Code::kOutOfRange;
    case grpc::StatusCode::PERMISSION_DENIED: return Code::kPermissionDenied;
    default: return Code::kInternal;
  }
}

// Files that cannot be read are told by the failing handshake too; here they are named.
std::string read_text(const std::string& path) {
  std::ifstream file(path);
  if (!file) {
    std::fprintf(stderr, "sluice: cannot read %s\n", path.c_str());
    std::exit(2);
  }
  return {std::istreambuf_iterator<char>(file), {}};
}

// $SLUICE_PASSWORD, or the first line of --password-file: not on the command line, which others see.
std::string password_of(const Arguments& arguments) {
  const char* set = std::getenv("SLUICE_PASSWORD");
  std::string password = set ? set : "";
  if (arguments.has("password-file")) password = read_text(arguments.get("password-file"));
  return password.substr(0, password.find('\n'));
}

std::string base64(const std::string& bytes) {
  std::string out(4 * ((bytes.size() + 2) / 3), '\0');
  EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                  reinterpret_cast<const unsigned char*>(bytes.data()),
                  static_cast<int>(bytes.size()));
  return out;
}

class PasswordPlugin : public grpc::MetadataCredentialsPlugin {
 public:
  PasswordPlugin(const std::string& user, const std::string& password)
      : header_("Basic " + base64(user + ":" + password)) {}
  grpc::Status GetMetadata(grpc::string_ref, grpc::string_ref, const grpc::AuthContext&,
                           std::multimap<grpc::string, grpc::string>* metadata) override {
    metadata->emplace("authorization", header_);
    return grpc::Status::OK;
  }

 private:
  const std::string header_;
};

std::shared_ptr<grpc::CallCredentials> password_credentials(const std::string& user,
                                                            const std::string& password) {
  return grpc::MetadataCredentialsFromPlugin(std::make_unique<PasswordPlugin>(user, password));
}

}  // namespace

Client::Client(const Arguments& arguments)
    : Client(arguments, arguments.get("broker", default_address())) {}

Client::Client(const Arguments& arguments, std::string address) : address_(std::move(address)) {
  grpc::ChannelArguments options;
  options.SetMaxReceiveMessageSize(kMessageBytesMax);
  options.SetMaxSendMessageSize(kMessageBytesMax);
  options.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  options.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 1000);
  options.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  options.SetInt(GRPC_ARG_DNS_MIN_TIME_BETWEEN_RESOLUTIONS_MS, 500);
  options.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 10'000);
  options.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 5'000);
  options.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  std::shared_ptr<grpc::ChannelCredentials> credentials = grpc::InsecureChannelCredentials();
  if (arguments.has("tls-ca")) {
    grpc::SslCredentialsOptions tls;
    tls.pem_root_certs = read_text(arguments.get("tls-ca"));
    if (arguments.has("tls-cert")) tls.pem_cert_chain = read_text(arguments.get("tls-cert"));
    if (arguments.has("tls-key")) tls.pem_private_key = read_text(arguments.get("tls-key"));
    credentials = grpc::SslCredentials(tls);
    if (arguments.has("user")) {
      credentials = grpc::CompositeChannelCredentials(
          credentials, password_credentials(arguments.get("user"), password_of(arguments)));
    }
  }
  channel_ = grpc::CreateCustomChannel(target_of(address_), credentials, options);
  stub_ = v1::Sluice::NewStub(channel_);
}

void Client::set_deadline(grpc::ClientContext& context, int seconds) {
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(seconds));
}

Status Client::explain(const grpc::Status& status) const {
  Code code = code_of(status.error_code());
  if (code == Code::kUnavailable) {
    return Status(code, "no broker answers at " + address_ + " (" + status.error_message() +
                            "): set --broker or SLUICE_BROKER to one that runs");
  }
  if (code == Code::kTimeout) {
    return Status(code, "no answer from " + address_ +
                            " in time; what was asked for may still happen: look before you retry");
  }
  if (status.error_code() == grpc::StatusCode::UNIMPLEMENTED) {
    return Status(code, address_ + " does not speak Sluice's gRPC API: is it the gRPC port (9090)?");
  }
  return Status(code, status.error_message());
}

bool is_passing(const grpc::Status& status) {
  switch (status.error_code()) {
    case grpc::StatusCode::UNAVAILABLE:
    case grpc::StatusCode::DEADLINE_EXCEEDED:
    case grpc::StatusCode::ABORTED:
    case grpc::StatusCode::CANCELLED:  // never by us: a broker that ended in the middle of a call
      return true;
    default:
      return false;
  }
}

int64_t mono_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

int64_t wall_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

void sleep_ms(int64_t ms) { std::this_thread::sleep_for(std::chrono::milliseconds(ms)); }

}  // namespace broker::cli
