#include "broker/cli/kafka_door.h"

#include <netdb.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>

#include "broker/protocol/kafka/messages/sasl_authenticate.h"
#include "broker/protocol/kafka/messages/sasl_handshake.h"

namespace broker::cli {
namespace {

constexpr int kTimeoutSeconds = 30;
constexpr int32_t kFrameBytesMax = 100 << 20;

Status failed(const std::string& address, const std::string& why) {
  return Status(Code::kUnavailable, "cannot talk to the Kafka door at " + address + ": " + why);
}

std::string address_of(const sluice::v1::Endpoint& e) {
  return e.host() + ":" + std::to_string(e.port());
}

struct FreeContext {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
  void operator()(SSL* ssl) const { SSL_free(ssl); }
};

std::string password_of(const Arguments& arguments) {
  const char* set = std::getenv("SLUICE_PASSWORD");
  std::string password = set ? set : "";
  if (arguments.has("password-file")) {
    std::ifstream file(arguments.get("password-file"));
    std::getline(file, password);
  }
  return password;
}

}  // namespace

Status kafka_status(int16_t error, const std::string& what, const std::string& detail) {
  if (error == 0) return {};
  std::string name(wire::to_string(static_cast<wire::Error>(error)));
  return Status(Code::kInternal, what + ": " + name + (detail.empty() ? "" : " (" + detail + ")"));
}

class KafkaConnection {
 public:
  ~KafkaConnection() {
    ssl_.reset();
    if (socket_ >= 0) ::close(socket_);
  }

  Status open(const sluice::v1::Endpoint& broker, const Arguments& arguments) {
    address_ = address_of(broker);
    RETURN_IF_ERROR(dial(broker));
    if (arguments.has("tls-ca")) RETURN_IF_ERROR(start_tls(broker.host(), arguments));
    return {};
  }

  Result<Buffer> exchange(const std::string& frame) {
    RETURN_IF_ERROR(write_all(frame));
    std::string length(4, '\0');
    RETURN_IF_ERROR(read_all(length));
    int32_t size = load_be<int32_t>(length.data());
    if (size < 4 || size > kFrameBytesMax) return failed(address_, "it does not speak Kafka");
    std::string answer(static_cast<size_t>(size), '\0');
    RETURN_IF_ERROR(read_all(answer));
    return Buffer::from_string(std::move(answer));
  }

 private:
  Status dial(const sluice::v1::Endpoint& broker) {
    addrinfo hints{}, *found = nullptr;
    hints.ai_socktype = SOCK_STREAM;
    int error = getaddrinfo(broker.host().c_str(), std::to_string(broker.port()).c_str(), &hints,
                            &found);
    if (error != 0) return failed(address_, gai_strerror(error));
    std::string why = "no address";
    for (addrinfo* each = found; each && socket_ < 0; each = each->ai_next) {
      int fd = ::socket(each->ai_family, each->ai_socktype | SOCK_CLOEXEC, each->ai_protocol);
      if (fd < 0) continue;
      timeval limit{kTimeoutSeconds, 0};
      setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
      setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
      if (::connect(fd, each->ai_addr, each->ai_addrlen) == 0) {
        socket_ = fd;
      } else {
        why = std::strerror(errno);
        ::close(fd);
      }
    }
    freeaddrinfo(found);
    return socket_ >= 0 ? Status() : failed(address_, why);
  }

  Status start_tls(const std::string& host, const Arguments& arguments) {
    context_.reset(SSL_CTX_new(TLS_client_method()));
    bool ready = SSL_CTX_load_verify_file(context_.get(), arguments.get("tls-ca").c_str()) == 1;
    if (ready && arguments.has("tls-cert")) {
      ready = SSL_CTX_use_certificate_chain_file(context_.get(),
                                                 arguments.get("tls-cert").c_str()) == 1 &&
              SSL_CTX_use_PrivateKey_file(context_.get(), arguments.get("tls-key").c_str(),
                                          SSL_FILETYPE_PEM) == 1;
    }
    if (!ready) return Status(Code::kInvalidArgument, "the TLS files cannot be used");
    SSL_CTX_set_verify(context_.get(), SSL_VERIFY_PEER, nullptr);
    ssl_.reset(SSL_new(context_.get()));
    SSL_set_tlsext_host_name(ssl_.get(), host.c_str());
    // An address is checked against the certificate's addresses, a name against its names.
    if (X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl_.get()), host.c_str()) != 1) {
      SSL_set1_host(ssl_.get(), host.c_str());
    }
    SSL_set_fd(ssl_.get(), socket_);
    if (SSL_connect(ssl_.get()) == 1) return {};
    return failed(address_, std::string("TLS: ") + ERR_reason_error_string(ERR_peek_last_error()));
  }

  Status write_all(std::string_view bytes) {
    while (!bytes.empty()) {
      ssize_t n = ssl_ ? SSL_write(ssl_.get(), bytes.data(), static_cast<int>(bytes.size()))
                       : ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n <= 0) return failed(address_, "the connection was lost");
      bytes.remove_prefix(static_cast<size_t>(n));
    }
    return {};
  }

  Status read_all(std::string& out) {
    for (size_t at = 0; at < out.size();) {
      ssize_t n = ssl_ ? SSL_read(ssl_.get(), out.data() + at, static_cast<int>(out.size() - at))
                       : ::recv(socket_, out.data() + at, out.size() - at, 0);
      if (n <= 0) return failed(address_, "no answer; does it ask for TLS or a password?");
      at += static_cast<size_t>(n);
    }
    return {};
  }

  std::string address_;
  int socket_ = -1;
  std::unique_ptr<SSL_CTX, FreeContext> context_;
  std::unique_ptr<SSL, FreeContext> ssl_;
};

KafkaDoor::KafkaDoor(const Arguments& arguments) : arguments_(arguments) {}
KafkaDoor::~KafkaDoor() = default;

Result<KafkaConnection*> KafkaDoor::connect(const sluice::v1::Endpoint& broker) {
  auto& connection = connections_[address_of(broker)];
  if (connection) return connection.get();
  auto made = std::make_unique<KafkaConnection>();
  RETURN_IF_ERROR(made->open(broker, arguments_));
  connection = std::move(made);
  if (!arguments_.has("user")) return connection.get();
  std::string user = arguments_.get("user");
  wire::SaslHandshakeRequest mechanism;
  mechanism.mechanism = "PLAIN";
  ASSIGN_OR_RETURN(auto agreed, call<wire::SaslHandshakeResponse>(broker, 1, mechanism));
  RETURN_IF_ERROR(kafka_status(agreed.error_code, "the broker does not take passwords here"));
  wire::SaslAuthenticateRequest token;
  token.auth_bytes = std::string(1, '\0') + user + std::string(1, '\0') + password_of(arguments_);
  ASSIGN_OR_RETURN(auto done, call<wire::SaslAuthenticateResponse>(broker, 2, token));
  RETURN_IF_ERROR(kafka_status(done.error_code, "user '" + user + "' is not let in"));
  return connection.get();
}

Result<Buffer> KafkaDoor::exchange(const sluice::v1::Endpoint& broker, const std::string& frame) {
  ASSIGN_OR_RETURN(KafkaConnection * connection, connect(broker));
  return connection->exchange(frame);
}

}  // namespace broker::cli
