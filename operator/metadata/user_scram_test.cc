// Whose password it is: a client's while the Secret has what the client set, else the operator's.
#include "operator/metadata/user_scram.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "broker/security/scram.h"
#include "operator/kube/client/base64.h"
#include "operator/metadata/secrets.h"

namespace sluice_operator::metadata {
namespace {

namespace v1 = ::sluice::v1;
namespace security = broker::security;
using broker::Code;
using kube::Json;

Json secret_with(const std::map<std::string, std::string>& data) {
  Json out{{"metadata", {{"name", "alice"}, {"resourceVersion", "7"}}}, {"data", Json::object()}};
  for (const auto& [key, value] : data) out["data"][key] = kube::base64_encode(value);
  return out;
}

v1::AlterScram set(const std::string& mechanism, const std::string& password) {
  v1::AlterScram change;
  change.set_user("alice");
  *change.mutable_set() = security::make_credential(mechanism, password, "a salt", 8192);
  return change;
}

v1::AlterScram remove(const std::string& mechanism) {
  v1::AlterScram change;
  change.set_user("alice");
  change.set_remove(mechanism);
  return change;
}

Json changed(Json secret, const v1::AlterScram& change) {
  auto patch = scram_patch(secret, change);
  EXPECT_TRUE(patch.ok()) << patch.status().to_string();
  if (!patch.ok() || patch->is_null()) return secret;
  EXPECT_EQ((*patch)["metadata"]["resourceVersion"], "7") << "it is a compare-and-swap";
  secret.merge_patch(*patch);
  return secret;
}

// The password of each mechanism that a client has set, by trying.
bool lets_in(const Json& secret, const std::string& mechanism, const std::string& password) {
  auto credentials = client_credentials(secret);
  if (!credentials.ok() || !*credentials) return false;
  for (const auto& one : **credentials) {
    if (one.mechanism() == mechanism) return security::is_password(one, password);
  }
  return false;
}

TEST(UserScram, APasswordOfTheOperatorsIsNoClients) {
  auto credentials = client_credentials(secret_with({{"password", "made"}}));
  ASSERT_TRUE(credentials.ok());
  EXPECT_FALSE(credentials->has_value());
  EXPECT_FALSE(client_credentials(Json())->has_value()) << "there is no Secret yet";
}

TEST(UserScram, WhatAClientSetsIsKeptAndThePasswordIsForgotten) {
  Json secret = changed(
      secret_with({{"password", "made"}, {"sasl.jaas.config", "made"}, {"username", "alice"}}),
      set(security::kScramSha256, "chosen"));
  EXPECT_EQ(data_of(secret, "password"), "");
  EXPECT_EQ(data_of(secret, "sasl.jaas.config"), "");
  EXPECT_EQ(data_of(secret, "username"), "alice");
  EXPECT_TRUE(lets_in(secret, security::kScramSha256, "chosen"));
  EXPECT_TRUE(lets_in(secret, security::kScramSha512, "made")) << "the other mechanism's stays";
  EXPECT_EQ(data_of(secret, kScramCredentials).find("chosen"), std::string::npos);

  secret = changed(secret, set(security::kScramSha512, "another"));
  EXPECT_TRUE(lets_in(secret, security::kScramSha256, "chosen"));
  EXPECT_TRUE(lets_in(secret, security::kScramSha512, "another"));
  auto again = scram_patch(secret, set(security::kScramSha512, "another"));
  EXPECT_TRUE(again.ok() && again->is_null()) << "it is so already";
}

TEST(UserScram, WhatIsTakenAwayIsNotMadeAgain) {
  Json secret = changed(secret_with({{"password", "made"}}), remove(security::kScramSha256));
  EXPECT_FALSE(lets_in(secret, security::kScramSha256, "made"));
  EXPECT_TRUE(lets_in(secret, security::kScramSha512, "made"));
  EXPECT_EQ(scram_patch(secret, remove(security::kScramSha256)).code(), Code::kNotFound);
  secret = changed(secret, remove(security::kScramSha512));
  auto credentials = client_credentials(secret);
  ASSERT_TRUE(credentials.ok() && *credentials) << "that there are none is the client's will, too";
  EXPECT_TRUE((*credentials)->empty());
}

TEST(UserScram, WhatCannotBeReadIsSaidAndMendedByTheNextChange) {
  const std::string good =
      data_of(changed(secret_with({{"password", "made"}}), set(security::kScramSha256, "chosen")),
              kScramCredentials);
  auto edited = [&](const std::function<void(Json&)>& edit) {
    Json list = Json::parse(good);
    edit(list);
    return list.dump();
  };
  for (const std::string& text : {std::string("{"), std::string("{}"), std::string("[1]"),
                                  good.substr(1), edited([](Json& list) { list[0].erase("salt"); }),
                                  edited([](Json& list) { list[0]["mechanism"] = "PLAIN"; }),
                                  edited([](Json& list) { list[0]["iterations"] = 1; }),
                                  edited([](Json& list) { list[0]["iterations"] = 1e12; }),
                                  edited([](Json& list) { list[0]["storedKey"] = "AAAA"; }),
                                  edited([](Json& list) { list[0]["serverKey"] = 7; })}) {
    Json secret = secret_with({{kScramCredentials, text}});
    auto credentials = client_credentials(secret);
    EXPECT_EQ(credentials.code(), Code::kInvalidArgument) << text;
    EXPECT_NE(credentials.status().message().find("delete the Secret"), std::string::npos);
    EXPECT_EQ(scram_patch(secret, remove(security::kScramSha256)).code(), Code::kInvalidArgument);
    EXPECT_TRUE(lets_in(changed(secret, set(security::kScramSha256, "new")), security::kScramSha256,
                        "new"));
  }
}

}  // namespace
}  // namespace sluice_operator::metadata
