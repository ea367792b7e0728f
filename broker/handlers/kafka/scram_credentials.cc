// DescribeUserScramCredentials (KIP-554): who has a password, by mechanism and iterations.
#include <map>

#include "broker/handlers/kafka/authorize.h"
#include "broker/handlers/kafka/handlers.h"

namespace broker::handlers::kafka {
namespace {

// As on the wire; 0 is unknown.
int8_t number_of(const std::string& mechanism) {
  if (mechanism == security::kScramSha256) return 1;
  return mechanism == security::kScramSha512 ? 2 : 0;
}

const v1::Security& users_of(const Services& services) {
  return services.authorizer ? services.authorizer->security() : services.metadata.security();
}

}  // namespace

void handle(Context& context, const ExchangePtr& exchange,
            wire::DescribeUserScramCredentialsRequest request) {
  using Response = wire::DescribeUserScramCredentialsResponse;
  std::map<std::string, const v1::User*> with_passwords;
  for (const auto& user : users_of(context.services).users()) {
    if (user.scram_size() > 0) with_passwords[user.name()] = &user;
  }
  std::map<std::string, int> asked;  // how often
  if (!request.users || request.users->empty()) {
    for (const auto& [name, user] : with_passwords) asked[name] = 1;
  } else {
    for (const auto& user : *request.users) ++asked[user.name];
  }
  Response response;
  for (const auto& [name, times] : asked) {
    auto& result = response.results.emplace_back();
    result.user = name;
    auto refuse = [&, &r = result](Error error, const std::string& why) {
      r.error_code = exchange->fail(error);
      r.error_message = why + name;
    };
    auto it = with_passwords.find(name);
    if (times > 1) {
      refuse(Error::kDuplicateResource,
             "Cannot describe SCRAM credentials for the same user twice in a single request: ");
    } else if (it == with_passwords.end()) {
      refuse(Error::kResourceNotFound,
             "Attempt to describe a user credential that does not exist: ");
    } else {
      for (const auto& credential : it->second->scram()) {
        auto& info = result.credential_infos.emplace_back();
        info.mechanism = number_of(credential.mechanism());
        info.iterations = credential.iterations();
      }
    }
  }
  respond(*exchange, response);
}

}  // namespace broker::handlers::kafka
