// DescribeUserScramCredentials and AlterUserScramCredentials (KIP-554): who has a password, by
// mechanism and iterations, and a new one. What a client makes of a password is turned into a
// verifier here; the coordinator keeps that in the Secret of the user's StreamUser.
#include <map>

#include "broker/base/utf8.h"
#include "broker/handlers/kafka/admin_batch.h"
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

const v1::ScramCredential* find_credential(const v1::Security& users, const std::string& name,
                                           int8_t mechanism) {
  for (const auto& user : users.users()) {
    if (user.name() != name) continue;
    for (const auto& credential : user.scram()) {
      if (number_of(credential.mechanism()) == mechanism) return &credential;
    }
  }
  return nullptr;
}

const char* mechanism_of(int8_t number) {
  if (number == 1) return security::kScramSha256;
  return number == 2 ? security::kScramSha512 : nullptr;
}

using Alter = wire::AlterUserScramCredentialsRequest;

constexpr size_t kSaltBytesMax = 1024;
constexpr int32_t kAlterTimeoutMs = 30'000;  // the API carries none

// What becomes of one user: the coordinator is asked while there is no error.
struct Alteration {
  Error error = Error::kNone;
  std::string why;
  v1::AlterScram change;
};

Alteration bad(Error error, std::string why) {
  return {error, std::move(why), {}};
}

// Kafka's checks, in its order and words.
Alteration start(const std::string& user, int8_t mechanism) {
  if (user.empty()) return bad(Error::kUnacceptableCredential, "Username must not be empty");
  if (!mechanism_of(mechanism)) {
    return bad(Error::kUnsupportedSaslMechanism, "Unknown SCRAM mechanism");
  }
  if (!is_utf8(user)) return bad(Error::kUnacceptableCredential, "Username must be UTF-8");
  Alteration out;
  out.change.set_user(user);
  return out;
}

Alteration judge(const v1::Security& users, const Alter::Deletion& asked) {
  Alteration out = start(asked.name, asked.mechanism);
  if (out.error != Error::kNone) return out;
  if (!find_credential(users, asked.name, asked.mechanism)) {
    return bad(Error::kResourceNotFound, "Attempt to delete a user credential that does not exist");
  }
  out.change.set_remove(mechanism_of(asked.mechanism));
  return out;
}

Alteration judge(const Alter::Upsertion& asked) {
  Alteration out = start(asked.name, asked.mechanism);
  if (out.error != Error::kNone) return out;
  const Error unacceptable = Error::kUnacceptableCredential;
  if (asked.iterations < security::kIterationsMin) return bad(unacceptable, "Too few iterations");
  if (asked.iterations > security::kIterationsMax) return bad(unacceptable, "Too many iterations");
  // Nobody could log in with these; Kafka takes them.
  if (asked.salt.empty() || asked.salt.size() > kSaltBytesMax) {
    return bad(unacceptable, "salt: it has " + std::to_string(asked.salt.size()) + " bytes; 1 to " +
                                 std::to_string(kSaltBytesMax) + " can be kept");
  }
  const char* mechanism = mechanism_of(asked.mechanism);
  const size_t bytes = security::salted_password_bytes(mechanism);
  if (asked.salted_password.size() != bytes) {
    return bad(unacceptable, "salted password: it has " +
                                 std::to_string(asked.salted_password.size()) + " bytes; that of " +
                                 mechanism + " has " + std::to_string(bytes));
  }
  *out.change.mutable_set() = security::credential_of_salted(mechanism, asked.salted_password,
                                                             asked.salt, asked.iterations);
  return out;
}

Error scram_error(Code code) {
  switch (code) {
    case Code::kNotFound:
      return Error::kResourceNotFound;
    case Code::kInvalidArgument:
      return Error::kUnacceptableCredential;
    case Code::kPermissionDenied:  // the operator's right to write the Secret, not the client's
      return Error::kUnknownServerError;
    default:
      return admin_error(code);
  }
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

void handle(Context& context, const ExchangePtr& exchange, Alter request) {
  const Services& services = context.services;
  const bool may = allowed_on_cluster(services, *exchange, Operation::kAlter);
  std::map<std::string, Alteration> users;
  auto add = [&](const std::string& user, Alteration alteration) {
    if (!may) alteration = bad(Error::kClusterAuthorizationFailed, "Cluster authorization failed.");
    auto [it, first] = users.emplace(user, std::move(alteration));
    // As Kafka has it: the first mistake of a user stands, and one change is all that a user gets.
    if (!first && it->second.error == Error::kNone) {
      it->second = bad(Error::kDuplicateResource,
                       "A user credential cannot be altered twice in the same request");
    }
  };
  for (const auto& asked : request.deletions) {
    add(asked.name, judge(users_of(services), asked));
  }
  for (const auto& asked : request.upsertions) add(asked.name, judge(asked));

  using Batch = AdminBatch<wire::AlterUserScramCredentialsResponse>;
  auto batch = std::make_shared<Batch>(services, exchange, kAlterTimeoutMs);
  auto& results = batch->response.results;
  results.reserve(users.size());
  for (auto& [user, alteration] : users) {
    auto& result = results.emplace_back();
    result.user = user;
    result.error_code = exchange->fail(alteration.error);
    if (alteration.error != Error::kNone) {
      result.error_message = alteration.why;
      continue;
    }
    v1::AdminRequest ask;
    *ask.mutable_alter_scram() = std::move(alteration.change);
    batch->ask(std::move(ask),
               [b = batch.get(), at = results.size() - 1](const Result<v1::AdminResponse>& answer) {
                 auto& result = b->response.results[at];
                 result.error_code = b->exchange().fail(scram_error(answer.code()));
                 if (!answer.ok()) result.error_message = answer.status().message();
               });
  }
  batch->finish();
}

}  // namespace broker::handlers::kafka
