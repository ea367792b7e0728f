// SaslHandshake and SaslAuthenticate: who sits at the other end of a connection. SCRAM (RFC 5802) on
// any listener that asks for it; PLAIN only under TLS, because it carries the password. A failure is
// told once, and the connection serves nothing more.
#include "broker/handlers/kafka/sasl.h"

#include "broker/base/log.h"
#include "broker/handlers/kafka/handlers.h"

namespace broker::handlers::kafka {
namespace {

constexpr const char* kPlain = "PLAIN";

std::vector<std::string> mechanisms(const Client& client) {
  std::vector<std::string> out{security::kScramSha512, security::kScramSha256};
  if (client.tls) out.push_back(kPlain);
  return out;
}

std::string hex(uint64_t value) {
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(value));
  return text;
}

std::unique_ptr<security::ScramServer> new_scram(const Services& services,
                                                 const std::string& mechanism) {
  static const std::string decoy = hex(services.random.next()) + hex(services.random.next());
  std::string nonce = hex(services.random.next()) + hex(services.random.next());
  return std::make_unique<security::ScramServer>(
      mechanism,
      [&services, mechanism](const std::string& user) {
        return services.authorizer->credential(user, mechanism);
      },
      nonce, decoy);
}

// "[authzid] NUL user NUL password" (RFC 4616). Gives the user.
Result<std::string> check_plain(const Services& services, std::string_view token) {
  size_t first = token.find('\0');
  size_t second = first == token.npos ? first : token.find('\0', first + 1);
  if (second == token.npos) {
    return Status(Code::kPermissionDenied, "malformed SASL PLAIN token");
  }
  std::string user(token.substr(first + 1, second - first - 1));
  std::string_view authorization = token.substr(0, first);
  if (!authorization.empty() && authorization != user) {
    return Status(Code::kPermissionDenied, "acting as another user is not supported");
  }
  for (const char* mechanism : {security::kScramSha512, security::kScramSha256}) {
    const auto* credential = services.authorizer->credential(user, mechanism);
    if (credential && security::is_password(*credential, token.substr(second + 1))) return user;
  }
  return Status(Code::kPermissionDenied, "Authentication failed: Invalid username or password");
}

void succeeded(Client& client, std::string user) {
  client.principal.user = std::move(user);
  client.authenticated = true;
  client.raw_tokens = false;
  client.scram.reset();
  client.sasl_mechanism.clear();
}

}  // namespace

Result<std::string> take_sasl_token(const Services& services, Client& client,
                                    std::string_view token) {
  if (client.sasl_mechanism == kPlain) {
    auto user = check_plain(services, token);
    if (user.ok()) {
      succeeded(client, *user);
      return std::string();
    }
    client.failed = true;
    return user.status();
  }
  auto answer = client.scram->step(token);
  if (!answer.ok()) {
    client.failed = true;
  } else if (client.scram->done()) {
    succeeded(client, client.scram->user());
  }
  return answer;
}

void handle(Context& context, const ExchangePtr& exchange, wire::SaslHandshakeRequest request) {
  Client& client = *exchange->client;
  wire::SaslHandshakeResponse response;
  if (client.authenticated || !context.services.authorizer) {
    response.error_code = exchange->fail(Error::kIllegalSaslState);
    return respond(*exchange, response);
  }
  response.mechanisms = mechanisms(client);
  const auto& offered = response.mechanisms;
  if (std::find(offered.begin(), offered.end(), request.mechanism) == offered.end()) {
    response.error_code = exchange->fail(Error::kUnsupportedSaslMechanism);
    client.failed = true;
    return respond(*exchange, response);
  }
  client.sasl_mechanism = request.mechanism;
  client.raw_tokens = exchange->version() == 0;
  if (security::is_scram(request.mechanism)) {
    client.scram = new_scram(context.services, request.mechanism);
  }
  respond(*exchange, response);
}

void handle(Context& context, const ExchangePtr& exchange, wire::SaslAuthenticateRequest request) {
  Client& client = *exchange->client;
  wire::SaslAuthenticateResponse response;
  if (client.sasl_mechanism.empty()) {
    response.error_code = exchange->fail(Error::kIllegalSaslState);
    response.error_message = "SaslHandshake comes first";
    return respond(*exchange, response);
  }
  auto answer = take_sasl_token(context.services, client, request.auth_bytes);
  if (answer.ok()) {
    response.auth_bytes = std::move(*answer);
  } else {
    log_warn("kafka", "authentication failed",
             {{"client", client.principal.host}, {"why", answer.status().message()}});
    response.error_code = exchange->fail(Error::kSaslAuthenticationFailed);
    response.error_message = answer.status().message();
  }
  respond(*exchange, response);
}

}  // namespace broker::handlers::kafka
