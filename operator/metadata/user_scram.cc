#include "operator/metadata/user_scram.h"

#include <google/protobuf/util/message_differencer.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "broker/security/scram.h"
#include "broker/security/users_file.h"
#include "operator/kube/client/base64.h"
#include "operator/kube/client/resource.h"
#include "operator/metadata/secrets.h"

namespace sluice_operator::metadata {

namespace v1 = ::sluice::v1;
namespace security = broker::security;
using broker::Code;
using broker::Result;
using broker::Status;
using kube::Json;
using Credentials = std::vector<v1::ScramCredential>;
using google::protobuf::util::MessageDifferencer;

namespace {

constexpr size_t kSaltBytes = 20;

std::optional<std::string> bytes_of(const Json& entry, const char* key) {
  auto text = entry.find(key);
  if (text == entry.end() || !text->is_string()) return std::nullopt;
  return kube::base64_decode(text->get<std::string>());
}

std::optional<v1::ScramCredential> read_credential(const Json& entry) {
  if (!entry.is_object()) return std::nullopt;
  auto mechanism = entry.find("mechanism"), iterations = entry.find("iterations");
  if (mechanism == entry.end() || !mechanism->is_string()) return std::nullopt;
  if (iterations == entry.end() || !iterations->is_number_integer()) return std::nullopt;
  const auto salt = bytes_of(entry, "salt"), stored = bytes_of(entry, "storedKey"),
             server = bytes_of(entry, "serverKey");
  if (!salt || !stored || !server) return std::nullopt;
  v1::ScramCredential out;
  out.set_mechanism(mechanism->get<std::string>());
  if (!security::is_scram(out.mechanism())) return std::nullopt;
  const int64_t count = iterations->get<int64_t>();
  if (count < security::kIterationsMin || count > security::kIterationsMax) return std::nullopt;
  const size_t key_bytes = security::salted_password_bytes(out.mechanism());
  if (salt->empty() || stored->size() != key_bytes || server->size() != key_bytes) {
    return std::nullopt;
  }
  out.set_iterations(static_cast<int32_t>(count));
  out.set_salt(*salt);
  out.set_stored_key(*stored);
  out.set_server_key(*server);
  return out;
}

std::string text_of(const Credentials& credentials) {
  Json list = Json::array();
  for (const auto& credential : credentials) {
    list.push_back({{"mechanism", credential.mechanism()},
                    {"iterations", credential.iterations()},
                    {"salt", kube::base64_encode(credential.salt())},
                    {"storedKey", kube::base64_encode(credential.stored_key())},
                    {"serverKey", kube::base64_encode(credential.server_key())}});
  }
  return list.dump();
}

// What the password of the operator's stands for.
Credentials made_of(const std::string& password) {
  Credentials out;
  if (password.empty()) return out;
  for (const char* mechanism : {security::kScramSha256, security::kScramSha512}) {
    out.push_back(
        security::make_credential(mechanism, password, security::random_bytes(kSaltBytes)));
  }
  return out;
}

}  // namespace

Result<std::optional<Credentials>> client_credentials(const Json& secret) {
  const std::string text = data_of(secret, kScramCredentials);
  if (text.empty()) return std::optional<Credentials>();
  const Json list = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  Credentials out;
  bool good = list.is_array();
  for (size_t i = 0; good && i < list.size(); i++) {
    auto credential = read_credential(list[i]);
    good = credential.has_value();
    if (good) out.push_back(std::move(*credential));
  }
  if (good) return std::optional(std::move(out));
  return Status(Code::kInvalidArgument, "Secret '" + kube::metadata_text(secret, "name") +
                                            "' has an unreadable " + kScramCredentials +
                                            ": delete the Secret to have a password made, or set "
                                            "the user's credentials again");
}

Result<Json> scram_patch(const Json& secret, const v1::AlterScram& change) {
  auto known = client_credentials(secret);
  Credentials credentials;
  if (!known.ok()) {
    // Whoever sets one mends it.
    if (!change.has_set()) return known.status();
  } else {
    credentials = *known ? **known : made_of(data_of(secret, kPassword));
  }
  const std::string& mechanism = change.has_set() ? change.set().mechanism() : change.remove();
  auto at = std::find_if(credentials.begin(), credentials.end(),
                         [&](const auto& one) { return one.mechanism() == mechanism; });
  if (change.has_set()) {
    if (at != credentials.end() && MessageDifferencer::Equals(*at, change.set())) return Json();
    if (at != credentials.end()) credentials.erase(at);
    credentials.push_back(change.set());
    std::sort(credentials.begin(), credentials.end(),
              [](const auto& a, const auto& b) { return a.mechanism() < b.mechanism(); });
  } else {
    if (at == credentials.end()) {
      return Status(Code::kNotFound, "the user has no credential for " + mechanism);
    }
    credentials.erase(at);
  }
  return Json{{"metadata", {{"resourceVersion", kube::metadata_text(secret, "resourceVersion")}}},
              {"data",
               {{kScramCredentials, kube::base64_encode(text_of(credentials))},
                {kPassword, nullptr},
                {kJaasConfig, nullptr}}}};
}

}  // namespace sluice_operator::metadata
