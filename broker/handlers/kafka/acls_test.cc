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

// Changes, with the coordinator's part played by the test.
class ChangesTest : public AclsTest {
 protected:
  ChangesTest() {
    broker.take_admin = [this](const v1::AdminRequest& request, const AdminDone& done) {
      asked.push_back(request);
      done(answer ? answer(request) : v1::AdminResponse());
      return true;
    };
  }
  std::vector<v1::AdminRequest> asked;
  std::function<Result<v1::AdminResponse>(const v1::AdminRequest&)> answer;
};

class ChangedAclsTest : public ChangesTest {
 protected:
  using Creation = wire::CreateAclsRequest::Creation;
  static Creation creation(const std::string& principal = "User:alice") {
    Creation out;
    out.resource_type = kTopic;
    out.resource_name = "t";
    out.resource_pattern_type = kLiteral;
    out.principal = principal;
    out.host = "*";
    out.operation = kRead;
    out.permission_type = kAllow;
    return out;
  }
  std::vector<wire::CreateAclsResponse::Result> create(std::vector<Creation> creations,
                                                       int16_t version = 3) {
    wire::CreateAclsRequest request;
    request.creations = std::move(creations);
    auto response = broker.call<wire::CreateAclsResponse>(version, request);
    EXPECT_EQ(response.results.size(), request.creations.size());
    return response.results;
  }
  std::string why_not(const std::function<void(Creation&)>& set) {
    Creation one = creation();
    set(one);
    auto result = create({one}).at(0);
    EXPECT_EQ(result.error_code, wire::wire(Error::kInvalidRequest));
    EXPECT_TRUE(asked.empty()) << "the coordinator was asked for what cannot be";
    return result.error_message.value_or("");
  }
  static wire::DeleteAclsRequest::Filter any() {
    wire::DeleteAclsRequest::Filter filter;
    filter.resource_type_filter = kAny;
    filter.pattern_type_filter = kAny;
    filter.operation = kAny;
    filter.permission_type = kAny;
    return filter;
  }
  std::vector<wire::DeleteAclsResponse::FilterResult> remove(
      std::vector<wire::DeleteAclsRequest::Filter> filters, int16_t version = 3) {
    wire::DeleteAclsRequest request;
    request.filters = std::move(filters);
    return broker.call<wire::DeleteAclsResponse>(version, request).filter_results;
  }
};

TEST_F(ChangedAclsTest, OfOneUserAreAskedForTogether) {
  Creation group = creation(), bobs = creation("User:bob");
  group.resource_type = kGroup;
  group.resource_pattern_type = kPrefixed;
  group.operation = kAll;
  group.permission_type = kDeny;
  group.host = "10.0.0.1";
  for (const auto& result : create({creation(), bobs, group})) {
    EXPECT_EQ(result.error_code, 0);
    EXPECT_EQ(result.error_message, std::nullopt);
  }
  ASSERT_EQ(asked.size(), 2u);
  const auto& alice = asked[0].create_acls();
  EXPECT_EQ(alice.user(), "alice");
  ASSERT_EQ(alice.acls_size(), 2);
  EXPECT_EQ(alice.acls(0).resource(), "Topic");
  EXPECT_FALSE(alice.acls(0).deny());
  EXPECT_EQ(alice.acls(1).resource(), "Group");
  EXPECT_EQ(alice.acls(1).name(), "t");
  EXPECT_TRUE(alice.acls(1).prefix());
  EXPECT_TRUE(alice.acls(1).deny());
  EXPECT_EQ(alice.acls(1).operation(), "All");
  EXPECT_EQ(alice.acls(1).host(), "10.0.0.1");
  EXPECT_EQ(asked[1].create_acls().user(), "bob");
}

TEST_F(ChangedAclsTest, WhatNoAclCanSayIsRefusedByItsName) {
  auto refused = [&](auto set) { return why_not(set); };
  EXPECT_EQ(refused([](auto& c) { c.principal = "Group:admins"; }),
            "principal: 'Group:admins' is not of the form User:NAME");
  EXPECT_EQ(refused([](auto& c) { c.principal = "alice"; }),
            "principal: 'alice' is not of the form User:NAME");
  EXPECT_EQ(refused([](auto& c) { c.principal = "User:"; }),
            "principal: 'User:' is not of the form User:NAME");
  EXPECT_EQ(refused([](auto& c) { c.principal = "User:\xff"; }), "principal: it is not UTF-8");
  EXPECT_EQ(refused([](auto& c) { c.resource_name = "\xff"; }), "resource name: it is not UTF-8");
  EXPECT_EQ(refused([](auto& c) { c.host = "\xff"; }), "host: it is not UTF-8");
  EXPECT_EQ(refused([](auto& c) { c.host = ""; }), "host: it is empty; * stands for any");
  EXPECT_EQ(refused([](auto& c) { c.resource_type = 6; }),
            "resource type: there are no ACLs of DelegationToken; there are those of Topic, Group, "
            "Cluster and TransactionalId");
  EXPECT_EQ(refused([](auto& c) { c.resource_type = kAny; }), "resource type: 1 is unknown");
  EXPECT_EQ(refused([](auto& c) { c.resource_name = ""; }), "resource name: it is empty");
  EXPECT_EQ(refused([](auto& c) { c.resource_name = std::string(250, 'x'); }),
            "resource name: it has more than 249 bytes");
  EXPECT_EQ(refused([](auto& c) { c.resource_type = kCluster; }),
            "resource name: that of the Cluster is kafka-cluster");
  EXPECT_EQ(refused([](auto& c) { c.resource_pattern_type = kMatch; }),
            "pattern type: an ACL is LITERAL or PREFIXED");
  EXPECT_EQ(refused([](auto& c) { c.operation = 13; }), "operation: there is no CreateTokens here");
  EXPECT_EQ(refused([](auto& c) { c.operation = kAny; }), "operation: 1 is unknown");
  EXPECT_EQ(refused([](auto& c) { c.permission_type = kAny; }),
            "permission type: an ACL is ALLOW or DENY");
}

TEST_F(ChangedAclsTest, EveryEntryHasItsOwnResult) {
  answer = [](const v1::AdminRequest& request) -> Result<v1::AdminResponse> {
    if (request.create_acls().user() == "nobody") return Status(Code::kNotFound, "make one first");
    if (request.create_acls().user() == "many") return Status(Code::kInvalidArgument, "too many");
    if (request.create_acls().user() == "old") return Status(Code::kPermissionDenied, "RBAC");
    return v1::AdminResponse();
  };
  Creation wrong = creation();
  wrong.host = "";
  auto results = create({creation("User:nobody"), wrong, creation(), creation("User:many"),
                         creation("User:nobody"), creation("User:old")},
                        1);
  EXPECT_EQ(results[0].error_code, wire::wire(Error::kResourceNotFound));
  EXPECT_EQ(results[0].error_message, "make one first");
  EXPECT_EQ(results[1].error_code, wire::wire(Error::kInvalidRequest));
  EXPECT_EQ(results[2].error_code, 0);
  EXPECT_EQ(results[3].error_code, wire::wire(Error::kInvalidRequest));
  EXPECT_EQ(results[4].error_code, wire::wire(Error::kResourceNotFound));
  EXPECT_EQ(results[5].error_code, wire::wire(Error::kUnknownServerError))
      << "that the operator may not is no lack of the client's rights";
}

TEST_F(ChangedAclsTest, AreDeletedByFilter) {
  answer = [](const v1::AdminRequest& request) {
    v1::AdminResponse response;
    for (const auto& filter : request.delete_acls().filters()) {
      auto& found = *response.add_deleted_acls();
      if (!filter.has_name()) continue;
      auto& one = *found.add_acls();
      one.set_user("alice");
      *one.mutable_acl() = acl("Topic", filter.name(), "Read");
      one.set_code("OK");
      auto& other = *found.add_acls();
      other.set_user("bob");
      *other.mutable_acl() = denied(prefixed(acl("Topic", filter.name(), "All")), "10.0.0.1");
      other.set_code("UNAVAILABLE");
      other.set_message("down");
    }
    return response;
  };
  auto wrong = any();
  wrong.operation = 0;
  auto garbage = any();
  garbage.principal_filter = "User:\xff";
  EXPECT_EQ(remove({garbage}).at(0).error_message, "principal: it is not UTF-8");
  EXPECT_TRUE(asked.empty());
  auto orders = any();
  orders.resource_name_filter = "orders";
  for (int16_t version : {1, 2, 3}) {
    asked.clear();
    auto results = remove({any(), wrong, orders}, version);
    ASSERT_EQ(asked.size(), 1u) << "filters of one request go together";
    EXPECT_EQ(asked[0].delete_acls().filters_size(), 2);
    ASSERT_EQ(results.size(), 3u);
    EXPECT_EQ(results[0].error_code, 0);
    EXPECT_TRUE(results[0].matching_acls.empty());
    EXPECT_EQ(results[1].error_code, wire::wire(Error::kInvalidRequest));
    EXPECT_EQ(results[2].error_code, 0);
    ASSERT_EQ(results[2].matching_acls.size(), 2u);
    const auto& one = results[2].matching_acls[0];
    EXPECT_EQ(one.error_code, 0);
    EXPECT_EQ(one.resource_type, kTopic);
    EXPECT_EQ(one.resource_name, "orders");
    EXPECT_EQ(one.pattern_type, kLiteral);
    EXPECT_EQ(one.principal, "User:alice");
    EXPECT_EQ(one.host, "*");
    EXPECT_EQ(one.operation, kRead);
    EXPECT_EQ(one.permission_type, kAllow);
    const auto& other = results[2].matching_acls[1];
    EXPECT_EQ(other.error_code, wire::wire(Error::kNotController)) << "to be tried again";
    EXPECT_EQ(other.error_message, "down");
    EXPECT_EQ(other.pattern_type, kPrefixed);
    EXPECT_EQ(other.host, "10.0.0.1");
    EXPECT_EQ(other.permission_type, kDeny);
  }
}

TEST_F(ChangedAclsTest, AFailureIsThatOfEveryFilter) {
  answer = [](const v1::AdminRequest&) { return Status(Code::kPolicyViolation, "edit the file"); };
  auto results = remove({any(), any()});
  ASSERT_EQ(results.size(), 2u);
  for (const auto& result : results) {
    EXPECT_EQ(result.error_code, wire::wire(Error::kPolicyViolation));
    EXPECT_EQ(result.error_message, "edit the file");
  }
}

TEST_F(ChangedAclsTest, AskForTheRightToAlterTheCluster) {
  become("bob");  // who may describe it
  EXPECT_EQ(create({creation()})[0].error_code, wire::wire(Error::kClusterAuthorizationFailed));
  EXPECT_EQ(remove({any()}).at(0).error_code, wire::wire(Error::kClusterAuthorizationFailed));
  EXPECT_TRUE(asked.empty());
}

TEST_F(ChangedAclsTest, WithoutAuthorizationThereAreNone) {
  auto open = people();
  open.set_authorize(false);
  authorizer.update(open);
  EXPECT_EQ(create({creation()})[0].error_message, "No Authorizer is configured.");
  EXPECT_EQ(remove({any()}).at(0).error_code, wire::wire(Error::kSecurityDisabled));
  EXPECT_TRUE(asked.empty());
}

TEST_F(AclsTest, OfAUsersFileAreNotChanged) {
  wire::CreateAclsRequest request;
  auto& creation = request.creations.emplace_back();
  creation.resource_type = kTopic;
  creation.resource_name = "t";
  creation.principal = "User:alice";
  creation.host = "*";
  creation.operation = kWrite;
  creation.permission_type = kAllow;
  auto result = broker.call<wire::CreateAclsResponse>(3, request).results.at(0);
  EXPECT_EQ(result.error_code, wire::wire(Error::kPolicyViolation));
  EXPECT_NE(result.error_message.value_or("").find("--users"), std::string::npos);
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

class AlteredScramTest : public ChangesTest {
 protected:
  using Request = wire::AlterUserScramCredentialsRequest;
  // "alice 44", by user
  std::vector<std::string> alter(const std::vector<std::pair<std::string, int8_t>>& deletions,
                                 const std::vector<Request::Upsertion>& upsertions) {
    Request request;
    for (const auto& [name, mechanism] : deletions) {
      request.deletions.push_back({name, mechanism, {}});
    }
    request.upsertions = upsertions;
    std::vector<std::string> out;
    for (const auto& result :
         broker.call<wire::AlterUserScramCredentialsResponse>(0, request).results) {
      out.push_back(result.user + " " + std::to_string(result.error_code));
      message = result.error_message.value_or("");
    }
    return out;
  }
  static Request::Upsertion upsertion(const std::string& name, int8_t mechanism = 1,
                                      int32_t iterations = 4096) {
    return {name, mechanism, iterations, "salt", std::string(mechanism == 2 ? 64 : 32, 's'), {}};
  }
  using Told = std::vector<std::string>;
  std::string message;  // the last
};

TEST_F(AlteredScramTest, WhatIsMadeOfThePasswordIsKeptAsAVerifier) {
  const std::string salt = "a salt", salted(64, 's');
  EXPECT_EQ(alter({{"alice", 1}}, {{"carol", 2, 8192, salt, salted, {}}}),
            (Told{"alice 0", "carol 0"}));
  ASSERT_EQ(asked.size(), 2u) << "one for each user";
  EXPECT_EQ(asked[0].alter_scram().user(), "alice");
  EXPECT_EQ(asked[0].alter_scram().remove(), "SCRAM-SHA-256");
  EXPECT_EQ(asked[1].alter_scram().user(), "carol");
  EXPECT_EQ(asked[1].alter_scram().set().SerializeAsString(),
            security::credential_of_salted("SCRAM-SHA-512", salted, salt, 8192).SerializeAsString());
  EXPECT_EQ(asked[1].SerializeAsString().find(salted), std::string::npos)
      << "who has it can log in";
}

TEST_F(AlteredScramTest, WhatKafkaRefusesIsRefusedAsThere) {
  EXPECT_EQ(alter({}, {upsertion("a", 3), upsertion("b", 1, 4095), upsertion("c", 2, 16385),
                       upsertion("", 1), upsertion("\xff")}),
            (Told{" 93", "a 33", "b 93", "c 93", "\xff 93"}));
  EXPECT_EQ(alter({{"bob", 1}, {"nobody", 2}, {"alice", 0}}, {}),
            (Told{"alice 33", "bob 91", "nobody 91"}));
  EXPECT_TRUE(asked.empty());
}

TEST_F(AlteredScramTest, WhatNobodyCouldLogInWithIsRefusedByItsName) {
  auto short_one = upsertion("alice", 2);
  short_one.salted_password = "short";
  EXPECT_EQ(alter({}, {short_one}), (Told{"alice 93"}));
  EXPECT_EQ(message, "salted password: it has 5 bytes; that of SCRAM-SHA-512 has 64");
  auto unsalted = upsertion("alice");
  unsalted.salt = "";
  EXPECT_EQ(alter({}, {unsalted}), (Told{"alice 93"}));
  EXPECT_EQ(message, "salt: it has 0 bytes; 1 to 1024 can be kept");
  unsalted.salt = std::string(1025, 's');
  EXPECT_EQ(alter({}, {unsalted}), (Told{"alice 93"}));
  EXPECT_TRUE(asked.empty());
}

TEST_F(AlteredScramTest, AUserIsNamedOnce) {
  EXPECT_EQ(alter({{"alice", 1}}, {upsertion("alice", 2), upsertion("bob"), upsertion("bob", 2)}),
            (Told{"alice 92", "bob 92"}));
  EXPECT_EQ(alter({{"alice", 7}}, {upsertion("alice")}), (Told{"alice 33"}))
      << "the first mistake stands";
  EXPECT_TRUE(asked.empty());
}

TEST_F(AlteredScramTest, EveryUserHasAResult) {
  answer = [](const v1::AdminRequest& request) -> Result<v1::AdminResponse> {
    const std::string& user = request.alter_scram().user();
    if (user == "given") return Status(Code::kPolicyViolation, "change it there");
    if (user == "nobody") return Status(Code::kNotFound, "make one first");
    if (user == "old") return Status(Code::kPermissionDenied, "RBAC");
    if (user == "soon") return Status(Code::kUnavailable, "later");
    return v1::AdminResponse();
  };
  EXPECT_EQ(alter({}, {upsertion("soon"), upsertion("old"), upsertion("nobody"),
                       upsertion("alice"), upsertion("given")}),
            (Told{"alice 0", "given 44", "nobody 91", "old -1", "soon 41"}));
}

TEST_F(AlteredScramTest, AsksForTheRightToAlterTheCluster) {
  become("bob");
  EXPECT_EQ(alter({{"alice", 1}}, {upsertion("bob"), upsertion("bob")}),
            (Told{"alice 31", "bob 31"}));
  EXPECT_TRUE(asked.empty());
}

TEST_F(AclsTest, PasswordsOfAUsersFileAreNotChanged) {
  wire::AlterUserScramCredentialsRequest request;
  request.deletions.push_back({"alice", 1, {}});
  auto result = broker.call<wire::AlterUserScramCredentialsResponse>(0, request).results.at(0);
  EXPECT_EQ(result.error_code, wire::wire(Error::kPolicyViolation));
  EXPECT_NE(result.error_message.value_or("").find("--users"), std::string::npos);
}

}  // namespace
}  // namespace broker::handlers::kafka
