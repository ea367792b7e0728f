// ACLs and SCRAM credentials as Kafka's admin clients see them.
#include <gtest/gtest.h>

#include "broker/handlers/kafka/acl_bindings.h"
#include "broker/handlers/kafka/test_broker.h"

namespace broker::handlers::kafka {
namespace {

constexpr int8_t kAny = 1, kTopic = 2, kGroup = 3, kCluster = 4, kMatch = 2, kLiteral = 3,
                 kPrefixed = 4, kAll = 2, kRead = 3, kWrite = 4, kDescribe = 8, kDeny = 2,
                 kAllow = 3;

v1::Acl acl(const std::string& resource, const std::string& name, const std::string& operation) {
  v1::Acl out;
  out.set_resource(resource);
  out.set_name(name);
  out.set_operation(operation);
  return out;
}

v1::Acl prefixed(v1::Acl acl) {
  acl.set_prefix(true);
  return acl;
}

v1::Acl denied(v1::Acl acl, const std::string& host) {
  acl.set_deny(true);
  acl.set_host(host);
  return acl;
}

v1::Security people() {
  v1::Security security;
  security.set_authorize(true);
  security.add_super_users("root");
  auto* alice = security.add_users();
  alice->set_name("alice");
  *alice->add_acls() = acl("Topic", "orders", "Read");
  *alice->add_acls() = acl("Topic", "orders", "Read");  // by two rules
  *alice->add_acls() = prefixed(acl("Topic", "ord", "Write"));
  *alice->add_acls() = acl("Topic", "*", "Describe");
  auto* credential = alice->add_scram();
  credential->set_mechanism("SCRAM-SHA-256");
  credential->set_iterations(4096);
  credential = alice->add_scram();
  credential->set_mechanism("SCRAM-SHA-512");
  credential->set_iterations(8192);
  auto* bob = security.add_users();
  bob->set_name("bob");
  *bob->add_acls() = denied(acl("Topic", "orders", "All"), "10.0.0.1");
  *bob->add_acls() = acl("Cluster", "kafka-cluster", "Describe");
  return security;
}

class AclsTest : public testing::Test {
 protected:
  AclsTest() : broker({}, &authorizer) {
    authorizer.update(people());
    become("root");
  }
  void become(const std::string& user) {
    broker.client = std::make_shared<Client>();
    broker.client->principal.user = user;
  }
  static wire::DescribeAclsRequest everything() {
    wire::DescribeAclsRequest request;
    request.resource_type_filter = kAny;
    request.pattern_type_filter = kAny;
    request.operation = kAny;
    request.permission_type = kAny;
    return request;
  }
  wire::DescribeAclsResponse describe(const wire::DescribeAclsRequest& request,
                                      int16_t version = 3) {
    return broker.call<wire::DescribeAclsResponse>(version, request);
  }
  // "2 orders 3: User:alice * 3 3, ..."
  std::vector<std::string> described(const wire::DescribeAclsRequest& request,
                                     int16_t version = 3) {
    auto response = describe(request, version);
    EXPECT_EQ(response.error_code, 0) << response.error_message.value_or("");
    std::vector<std::string> out;
    for (const auto& r : response.resources) {
      std::string line = std::to_string(r.resource_type) + " " + r.resource_name + " " +
                         std::to_string(r.pattern_type) + ":";
      for (const auto& a : r.acls) {
        line += " " + a.principal + " " + a.host + " " + std::to_string(a.operation) + " " +
                std::to_string(a.permission_type);
      }
      out.push_back(line);
    }
    return out;
  }

  security::Authorizer authorizer;
  TestBroker broker;
};

TEST_F(AclsTest, AreDescribedByResource) {
  const std::vector<std::string> all{
      "2 * 3: User:alice * 8 3",
      "2 ord 4: User:alice * 4 3",
      "2 orders 3: User:alice * 3 3 User:bob 10.0.0.1 2 2",
      "4 kafka-cluster 3: User:bob * 8 3",
  };
  for (int16_t version : {1, 2, 3}) EXPECT_EQ(described(everything(), version), all);
}

TEST_F(AclsTest, AreFiltered) {
  auto with = [&](auto set) {
    auto request = everything();
    set(request);
    return described(request);
  };
  EXPECT_EQ(with([](auto& r) { r.resource_type_filter = kCluster; }).size(), 1u);
  EXPECT_EQ(with([](auto& r) { r.resource_type_filter = kGroup; }).size(), 0u);
  EXPECT_EQ(with([](auto& r) { r.resource_type_filter = 7; }).size(), 0u) << "User: none here";
  EXPECT_EQ(with([](auto& r) { r.pattern_type_filter = kPrefixed; }),
            (std::vector<std::string>{"2 ord 4: User:alice * 4 3"}));
  EXPECT_EQ(with([](auto& r) { r.resource_name_filter = "orders"; }).size(), 1u);
  EXPECT_EQ(with([](auto& r) {
              r.resource_name_filter = "orders";
              r.pattern_type_filter = kMatch;
              r.resource_type_filter = kTopic;
            }).size(),
            3u);
  EXPECT_EQ(with([](auto& r) {
              r.resource_name_filter = "orders";
              r.pattern_type_filter = kLiteral;
              r.principal_filter = "User:alice";
            }),
            (std::vector<std::string>{"2 orders 3: User:alice * 3 3"}));
  EXPECT_EQ(with([](auto& r) { r.principal_filter = "Group:alice"; }).size(), 0u);
  EXPECT_EQ(with([](auto& r) { r.host_filter = "10.0.0.1"; }),
            (std::vector<std::string>{"2 orders 3: User:bob 10.0.0.1 2 2"}));
  EXPECT_EQ(with([](auto& r) { r.operation = kDescribe; }).size(), 2u);
  EXPECT_EQ(with([](auto& r) { r.operation = 13; }).size(), 0u) << "CreateTokens: none here";
  EXPECT_EQ(with([](auto& r) { r.permission_type = kDeny; }).size(), 1u);
  EXPECT_EQ(with([](auto& r) { r.permission_type = kAllow; }).size(), 4u);
}

TEST_F(AclsTest, FiltersWithUnknownPartsAreRefused) {
  auto refused = [&](auto set) {
    auto request = everything();
    set(request);
    auto response = describe(request);
    EXPECT_EQ(response.error_code, wire::wire(Error::kInvalidRequest));
    return response.error_message.value_or("");
  };
  EXPECT_EQ(refused([](auto& r) { r.resource_type_filter = 0; }), "resource type: 0 is unknown");
  EXPECT_EQ(refused([](auto& r) { r.resource_type_filter = 8; }), "resource type: 8 is unknown");
  EXPECT_EQ(refused([](auto& r) { r.pattern_type_filter = 5; }), "pattern type: 5 is unknown");
  EXPECT_EQ(refused([](auto& r) { r.operation = -1; }), "operation: -1 is unknown");
  EXPECT_EQ(refused([](auto& r) { r.operation = 16; }), "operation: 16 is unknown");
  EXPECT_EQ(refused([](auto& r) { r.permission_type = 0; }), "permission type: 0 is unknown");
}

TEST_F(AclsTest, AskForTheRightToDescribeTheCluster) {
  become("bob");
  EXPECT_EQ(describe(everything()).error_code, 0);
  become("alice");
  auto response = describe(everything());
  EXPECT_EQ(response.error_code, wire::wire(Error::kClusterAuthorizationFailed));
  EXPECT_EQ(response.error_message, "Cluster authorization failed.");
  EXPECT_TRUE(response.resources.empty());
}

TEST_F(AclsTest, WithoutAuthorizationThereAreNone) {
  auto open = people();
  open.set_authorize(false);
  authorizer.update(open);
  become("alice");
  auto response = describe(everything());
  EXPECT_EQ(response.error_code, wire::wire(Error::kSecurityDisabled));
  EXPECT_EQ(response.error_message, "No Authorizer is configured.");
  TestBroker without;
  EXPECT_EQ(without.call<wire::DescribeAclsResponse>(1, everything()).error_code,
            wire::wire(Error::kSecurityDisabled));
}

class ScramTest : public AclsTest {
 protected:
  wire::DescribeUserScramCredentialsResponse describe_users(
      std::optional<std::vector<std::string>> names) {
    wire::DescribeUserScramCredentialsRequest request;
    if (names) {
      request.users.emplace();
      for (auto& name : *names) request.users->push_back({name, {}});
    }
    return broker.call<wire::DescribeUserScramCredentialsResponse>(0, request);
  }
};

TEST_F(ScramTest, CredentialsAreDescribedOfAllWhoHaveSome) {
  for (const auto& names :
       {std::optional<std::vector<std::string>>(), std::optional(std::vector<std::string>())}) {
    auto response = describe_users(names);
    ASSERT_EQ(response.results.size(), 1u) << "bob has no password";
    const auto& alice = response.results[0];
    EXPECT_EQ(alice.user, "alice");
    EXPECT_EQ(alice.error_code, 0);
    ASSERT_EQ(alice.credential_infos.size(), 2u);
    EXPECT_EQ(alice.credential_infos[0].mechanism, 1);
    EXPECT_EQ(alice.credential_infos[0].iterations, 4096);
    EXPECT_EQ(alice.credential_infos[1].mechanism, 2);
    EXPECT_EQ(alice.credential_infos[1].iterations, 8192);
  }
}

TEST_F(ScramTest, UnknownAndRepeatedUsersAreToldByUser) {
  auto response = describe_users({{"nobody", "alice", "bob", "carol", "carol"}});
  ASSERT_EQ(response.results.size(), 4u);
  EXPECT_EQ(response.error_code, 0);
  EXPECT_EQ(response.results[0].user, "alice");
  EXPECT_EQ(response.results[0].error_code, 0);
  EXPECT_EQ(response.results[1].error_code, wire::wire(Error::kResourceNotFound));
  EXPECT_EQ(response.results[1].error_message,
            "Attempt to describe a user credential that does not exist: bob");
  EXPECT_EQ(response.results[2].user, "carol");
  EXPECT_EQ(response.results[2].error_code, wire::wire(Error::kDuplicateResource));
  EXPECT_TRUE(response.results[2].credential_infos.empty());
  EXPECT_EQ(response.results[3].error_code, wire::wire(Error::kResourceNotFound));
}

TEST_F(ScramTest, AsksForTheRightToDescribeTheCluster) {
  become("alice");
  EXPECT_EQ(describe_users({{"alice"}}).error_code, wire::wire(Error::kClusterAuthorizationFailed));
  become("bob");
  EXPECT_EQ(describe_users({{"alice"}}).error_code, 0);
}

}  // namespace
}  // namespace broker::handlers::kafka
