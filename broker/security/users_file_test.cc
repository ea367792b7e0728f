// The users' file: what it gives, and that errors name the user and the field.
#include "broker/security/users_file.h"

#include <gtest/gtest.h>

#include "broker/security/authorizer.h"
#include "broker/security/scram.h"

namespace broker::security {
namespace {

TEST(UsersFile, GivesVerifiersAndRights) {
  auto security = parse_users(
      "superUsers: [admin]\n"
      "users:\n"
      "  - name: alice\n"
      "    password: secret\n"
      "    acls:\n"
      "      - {resource: Topic, name: orders-, prefix: true, operations: [Read, Write]}\n"
      "      - {resource: Cluster, operations: [Describe]}\n");
  ASSERT_TRUE(security.ok()) << security.status().to_string();
  Authorizer authorizer;
  authorizer.update(*security);
  EXPECT_TRUE(authorizer.enforcing());
  EXPECT_TRUE(authorizer.allowed({"alice", ""}, Operation::kWrite, Resource::kTopic, "orders-1"));
  EXPECT_FALSE(authorizer.allowed({"alice", ""}, Operation::kDelete, Resource::kTopic, "orders-1"));
  EXPECT_TRUE(
      authorizer.allowed({"alice", ""}, Operation::kDescribe, Resource::kCluster, kClusterName));
  EXPECT_TRUE(is_password(*authorizer.credential("alice", kScramSha512), "secret"));
  EXPECT_EQ(security->SerializeAsString().find("secret"), std::string::npos);
}

TEST(UsersFile, GivesAccessKeys) {
  auto security = parse_users(
      "users: [{name: a, accessKeys: [{accessKeyId: AKIA1, secretAccessKey: s}]}]");
  ASSERT_TRUE(security.ok()) << security.status().to_string();
  EXPECT_EQ(security->users(0).access_keys(0).id(), "AKIA1");
  EXPECT_EQ(security->users(0).access_keys(0).secret(), "s");
}

TEST(UsersFile, ErrorsNameTheField) {
  auto message = [](const std::string& yaml) { return parse_users(yaml).status().message(); };
  EXPECT_NE(message("users: [{name: a, acls: [{resource: Topik, name: t, operations: [Read]}]}]")
                .find("users[0].acls[0].resource"),
            std::string::npos);
  EXPECT_NE(message("users: [{name: a, acls: [{resource: Topic, name: t, operations: [Reed]}]}]")
                .find("'Reed'"),
            std::string::npos);
  EXPECT_NE(message("users: [{nme: a}]").find("'nme'"), std::string::npos);
  EXPECT_NE(message("users: [{name: a}, {name: a}]").find("twice"), std::string::npos);
  EXPECT_NE(message("users: [{name: a, accessKeys: [{accessKeyId: k}]}]")
                .find("users[0].accessKeys[0].secretAccessKey"),
            std::string::npos);
  EXPECT_NE(message("users: [{name: a, accessKeys: [{accessKeyId: k, secretAccessKey: s}]}, "
                    "{name: b, accessKeys: [{accessKeyId: k, secretAccessKey: t}]}]")
                .find("accessKeyId 'k' is there twice"),
            std::string::npos);
  EXPECT_NE(message("- x").find("expected a map"), std::string::npos);
  EXPECT_NE(message("users: [").find("users file"), std::string::npos);
}

}  // namespace
}  // namespace broker::security
