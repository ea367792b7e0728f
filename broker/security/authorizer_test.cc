// The decision: deny by default, denials first, prefixes, implied permissions, super users.
#include "broker/security/authorizer.h"

#include <gtest/gtest.h>

namespace broker::security {
namespace {

sluice::v1::Acl* grant(sluice::v1::User& user, const std::string& resource, const std::string& name,
                       const std::string& operation) {
  auto* acl = user.add_acls();
  acl->set_resource(resource);
  acl->set_name(name);
  acl->set_operation(operation);
  return acl;
}

class AuthorizerTest : public testing::Test {
 protected:
  AuthorizerTest() {
    security_.set_authorize(true);
    security_.add_super_users("root");
    alice_ = security_.add_users();
    alice_->set_name("alice");
  }
  bool may(const std::string& user, Operation operation, Resource resource, std::string_view name,
           const std::string& host = "10.0.0.1") {
    Authorizer authorizer;
    authorizer.update(security_);
    return authorizer.allowed({user, host}, operation, resource, name);
  }
  sluice::v1::Security security_;
  sluice::v1::User* alice_;
};

TEST_F(AuthorizerTest, WhatIsNotPermittedIsDenied) {
  EXPECT_FALSE(may("alice", Operation::kRead, Resource::kTopic, "t"));
  EXPECT_FALSE(may("", Operation::kRead, Resource::kTopic, "t"));
  EXPECT_FALSE(may("stranger", Operation::kDescribe, Resource::kCluster, kClusterName));
  EXPECT_TRUE(may("root", Operation::kDelete, Resource::kTopic, "t"));
  security_.set_authorize(false);
  EXPECT_TRUE(may("stranger", Operation::kRead, Resource::kTopic, "t"));
}

TEST_F(AuthorizerTest, NamesPrefixesAndStars) {
  grant(*alice_, "Topic", "orders", "Read");
  grant(*alice_, "Topic", "logs-", "Write")->set_prefix(true);
  grant(*alice_, "Group", "*", "Read");
  EXPECT_TRUE(may("alice", Operation::kRead, Resource::kTopic, "orders"));
  EXPECT_FALSE(may("alice", Operation::kRead, Resource::kTopic, "orders2"));
  EXPECT_TRUE(may("alice", Operation::kWrite, Resource::kTopic, "logs-eu"));
  EXPECT_FALSE(may("alice", Operation::kWrite, Resource::kTopic, "log"));
  EXPECT_TRUE(may("alice", Operation::kRead, Resource::kGroup, "any"));
  EXPECT_FALSE(may("alice", Operation::kRead, Resource::kTopic, "any"));
}

TEST_F(AuthorizerTest, ADenialWins) {
  grant(*alice_, "Topic", "*", "All");
  grant(*alice_, "Topic", "secret", "Read")->set_deny(true);
  EXPECT_TRUE(may("alice", Operation::kRead, Resource::kTopic, "open"));
  EXPECT_FALSE(may("alice", Operation::kRead, Resource::kTopic, "secret"));
  EXPECT_TRUE(may("alice", Operation::kWrite, Resource::kTopic, "secret"));
}

TEST_F(AuthorizerTest, WhoMayReadMayDescribe) {
  grant(*alice_, "Topic", "t", "Read");
  grant(*alice_, "Topic", "c", "AlterConfigs");
  EXPECT_TRUE(may("alice", Operation::kDescribe, Resource::kTopic, "t"));
  EXPECT_FALSE(may("alice", Operation::kDescribeConfigs, Resource::kTopic, "t"));
  EXPECT_TRUE(may("alice", Operation::kDescribeConfigs, Resource::kTopic, "c"));
  EXPECT_FALSE(may("alice", Operation::kDescribe, Resource::kTopic, "c"));
}

TEST_F(AuthorizerTest, HostsAndEverybody) {
  grant(*alice_, "Topic", "t", "Read")->set_host("10.0.0.1");
  auto* everybody = security_.add_users();
  everybody->set_name("*");
  grant(*everybody, "Topic", "public", "Read");
  EXPECT_TRUE(may("alice", Operation::kRead, Resource::kTopic, "t"));
  EXPECT_FALSE(may("alice", Operation::kRead, Resource::kTopic, "t", "10.0.0.2"));
  EXPECT_TRUE(may("alice", Operation::kRead, Resource::kTopic, "public"));
  EXPECT_TRUE(may("", Operation::kRead, Resource::kTopic, "public"));
}

TEST_F(AuthorizerTest, AnUnreadableRuleLocksTheUserOut) {
  grant(*alice_, "Topic", "*", "All");
  grant(*alice_, "Topic", "secret", "Reed")->set_deny(true);
  EXPECT_FALSE(may("alice", Operation::kRead, Resource::kTopic, "secret"));
  EXPECT_FALSE(may("alice", Operation::kRead, Resource::kTopic, "open"));
}

TEST_F(AuthorizerTest, TellsWhatIsAllowed) {
  grant(*alice_, "Topic", "t", "Read");
  Authorizer authorizer;
  authorizer.update(security_);
  EXPECT_EQ(authorizer.operations_on({"alice", ""}, Resource::kTopic, "t"), 1 << 3 | 1 << 8);
  EXPECT_TRUE(authorizer.allowed_on_any({"alice", ""}, Operation::kRead, Resource::kTopic));
  EXPECT_FALSE(authorizer.allowed_on_any({"alice", ""}, Operation::kWrite, Resource::kTopic));
}

}  // namespace
}  // namespace broker::security
