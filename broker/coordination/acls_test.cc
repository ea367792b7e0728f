// ACLs that clients change: the store has the last word, and the answer comes when they hold.
#include "tests/support/coordination_world.h"

namespace broker::coordination {
namespace {

sluice::v1::Acl read_of(const std::string& topic) {
  sluice::v1::Acl acl;
  acl.set_resource("Topic");
  acl.set_name(topic);
  acl.set_operation("Read");
  return acl;
}

class AclsTest : public testing::Test {
 protected:
  AclsTest() : w(1) {
    w.run(100);
    w.store.acls["alice"] = {};
    serve();
  }
  // What the operator does when it has looked at the resources.
  void serve() {
    sluice::v1::Security security;
    for (const auto& [name, list] : w.store.acls) {
      auto& user = *security.add_users();
      user.set_name(name);
      user.mutable_acls()->Add(list.begin(), list.end());
      for (const auto& [mechanism, credential] : credentials) *user.add_scram() = credential;
    }
    w.coordinator->set_security(security);
  }
  void begin(const sluice::v1::AdminRequest& request) {
    answer.reset();
    w.coordinator->admin(request, [this](const sluice::v1::AdminResponse& got) { answer = got; });
  }
  static sluice::v1::AdminRequest create(const std::string& user, const std::string& topic) {
    sluice::v1::AdminRequest request;
    request.mutable_create_acls()->set_user(user);
    *request.mutable_create_acls()->add_acls() = read_of(topic);
    return request;
  }
  static sluice::v1::ScramCredential credential(int iterations) {
    sluice::v1::ScramCredential out;
    out.set_mechanism("SCRAM-SHA-256");
    out.set_iterations(iterations);
    out.set_salt("salt");
    return out;
  }
  World w;
  std::map<std::string, sluice::v1::ScramCredential> credentials;  // of everybody, by mechanism
  std::optional<sluice::v1::AdminResponse> answer;
};

TEST_F(AclsTest, AreAnsweredWhenTheyHold) {
  begin(create("alice", "t"));
  w.run(1000);
  EXPECT_FALSE(answer) << "stored, and not in force";
  EXPECT_EQ(w.store.acls["alice"].size(), 1u);
  serve();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->code(), "OK");

  sluice::v1::AdminRequest request;
  request.mutable_delete_acls()->add_filters()->set_principal("User:alice");
  request.mutable_delete_acls()->add_filters()->set_principal("User:bob");
  begin(request);
  w.run(1000);
  EXPECT_FALSE(answer);
  serve();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->code(), "OK");
  ASSERT_EQ(answer->deleted_acls_size(), 2) << "one for each filter";
  ASSERT_EQ(answer->deleted_acls(0).acls_size(), 1);
  EXPECT_EQ(answer->deleted_acls(0).acls(0).acl().name(), "t");
  EXPECT_EQ(answer->deleted_acls(1).acls_size(), 0);
}

TEST_F(AclsTest, WithoutAHostAreThoseOfAnyHost) {
  auto request = create("alice", "t");
  request.mutable_create_acls()->mutable_acls(0)->set_host("*");
  begin(request);
  w.run(100);
  w.store.acls["alice"][0].clear_host();  // as the resource has it
  serve();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->code(), "OK");
}

TEST_F(AclsTest, ThatAreStoredAreNotRefusedForBeingLate) {
  begin(create("alice", "t"));
  w.run(60'000);
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->code(), "OK");
}

TEST_F(AclsTest, OfUsersWhoAreNotServedAreNotWaitedFor) {
  w.store.acls["new"] = {};  // declared, and not looked at yet
  begin(create("new", "t"));
  w.run(100);
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->code(), "OK");
}

TEST_F(AclsTest, AreRefusedAsTheStoreRefusesThem) {
  begin(create("nobody", "t"));
  w.run(100);
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->code(), "NOT_FOUND");
  w.store.down = true;
  begin(create("alice", "t"));
  w.run(100);
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->code(), "UNAVAILABLE");
  begin(create("", "t"));
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->code(), "INVALID_ARGUMENT");
}

TEST_F(AclsTest, CredentialsAreAnsweredWhenTheyLetSomebodyIn) {
  credentials["SCRAM-SHA-256"] = credential(4096);
  serve();
  sluice::v1::AdminRequest request;
  request.mutable_alter_scram()->set_user("alice");
  *request.mutable_alter_scram()->mutable_set() = credential(8192);
  begin(request);
  w.run(1000);
  ASSERT_EQ(w.store.altered_scram.size(), 1u);
  EXPECT_FALSE(answer) << "the old one of the mechanism is still in force";
  credentials["SCRAM-SHA-256"] = credential(8192);
  serve();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->code(), "OK");

  request.mutable_alter_scram()->set_remove("SCRAM-SHA-256");
  begin(request);
  w.run(1000);
  EXPECT_FALSE(answer);
  credentials.clear();
  serve();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->code(), "OK");
}

TEST_F(AclsTest, CredentialsAreRefusedAsTheStoreRefusesThem) {
  sluice::v1::AdminRequest request;
  request.mutable_alter_scram()->set_user("nobody");
  begin(request);
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->code(), "INVALID_ARGUMENT") << "neither one to set nor one to remove";
  request.mutable_alter_scram()->set_remove("SCRAM-SHA-256");
  begin(request);
  w.run(100);
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->code(), "NOT_FOUND");
}

}  // namespace
}  // namespace broker::coordination
