// An edit for a client changes what it is about and nothing else of a resource that a person wrote.
#include "operator/metadata/user_acls.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "operator/api/json.h"

namespace sluice_operator::metadata {
namespace {

namespace v1 = ::sluice::v1;
using kube::Json;

v1::Acl acl(const std::string& resource, const std::string& name, const std::string& operation) {
  v1::Acl out;
  out.set_resource(resource);
  out.set_name(name);
  out.set_operation(operation);
  out.set_host("*");
  return out;
}

class UserAclsTest : public testing::Test {
 protected:
  Json user_with(Json acls) {
    Json object{{"apiVersion", "sluice.dev/v1alpha1"},
                {"kind", "StreamUser"},
                {"metadata", {{"name", "alice"}, {"namespace", "default"}}},
                {"spec", {{"cluster", "c"}, {"somethingNew", 7}}}};
    if (!acls.is_null()) object["spec"]["acls"] = std::move(acls);
    return object;
  }
  static api::StreamUserSpec spec_of(const Json& object) {
    auto user = api::read_stream_user(object);
    EXPECT_TRUE(user.ok()) << user.status().to_string();
    return user->spec;
  }
  Json added(Json rules, const std::vector<v1::Acl>& acls) {
    Json object = user_with(std::move(rules));
    changed = add_acls(object, spec_of(object), acls);
    EXPECT_EQ(object["spec"]["somethingNew"], 7);
    return object["spec"]["acls"];
  }
  Json removed(Json rules, const std::function<bool(const v1::Acl&)>& leaves) {
    Json object = user_with(std::move(rules));
    changed = remove_acls(object, spec_of(object), leaves);
    return object["spec"].value("acls", Json());
  }
  bool changed = false;
};

TEST_F(UserAclsTest, ARuleIsOneAclForEachOperation) {
  const Json object =
      user_with({{{"resource", "Topic"}, {"name", "t"}, {"operations", {"Read", "Write"}}},
                 {{"resource", "Cluster"}, {"operations", {"Describe"}}, {"effect", "Deny"}}});
  auto acls = acls_of(spec_of(object));
  ASSERT_EQ(acls.size(), 3u);
  EXPECT_EQ(acls[1].operation(), "Write");
  EXPECT_EQ(acls[2].name(), "kafka-cluster");
  EXPECT_TRUE(acls[2].deny());
}

TEST_F(UserAclsTest, OneIsAddedToTheRuleThatItBelongsTo) {
  const Json rules{
      {{"resource", "Topic"}, {"name", "t"}, {"operations", {"Read"}}},
      {{"resource", "Topic"}, {"name", "t"}, {"operations", {"Read"}}, {"host", "::1"}}};
  Json out = added(rules, {acl("Topic", "t", "Write")});
  EXPECT_TRUE(changed);
  ASSERT_EQ(out.size(), 2u);
  EXPECT_EQ(out[0]["operations"], Json({"Read", "Write"}));
  EXPECT_EQ(out[1], rules[1]);
}

TEST_F(UserAclsTest, OneOfItsOwnIsANewRule) {
  v1::Acl denied = acl("Group", "g-", "All");
  denied.set_prefix(true);
  denied.set_deny(true);
  denied.set_host("10.0.0.1");
  Json out = added(Json(), {acl("Topic", "t", "Read"), denied, acl("Topic", "t", "Write")});
  EXPECT_TRUE(changed);
  ASSERT_EQ(out.size(), 2u);
  EXPECT_EQ(out[0],
            Json({{"resource", "Topic"}, {"name", "t"}, {"operations", {"Read", "Write"}}}));
  EXPECT_EQ(out[1], Json({{"resource", "Group"},
                          {"name", "g-"},
                          {"prefix", true},
                          {"operations", {"All"}},
                          {"effect", "Deny"},
                          {"host", "10.0.0.1"}}));
}

TEST_F(UserAclsTest, WhatIsThereIsNotAddedAgain) {
  const Json rules{{{"resource", "Cluster"}, {"operations", {"Describe"}}},
                   {{"resource", "Topic"}, {"name", "t"}, {"operations", {"Read"}}, {"host", "*"}}};
  Json out = added(rules, {acl("Cluster", "kafka-cluster", "Describe"), acl("Topic", "t", "Read")});
  EXPECT_FALSE(changed);
  EXPECT_EQ(out, rules);
}

TEST_F(UserAclsTest, OneIsTakenOutOfItsRule) {
  const Json rules{
      {{"resource", "Topic"}, {"name", "t"}, {"operations", {"Read", "Write", "Alter"}}},
      {{"resource", "Group"}, {"name", "*"}, {"operations", {"Read"}}}};
  Json out = removed(rules, [](const v1::Acl& acl) { return acl.operation() == "Write"; });
  EXPECT_TRUE(changed);
  ASSERT_EQ(out.size(), 2u);
  EXPECT_EQ(out[0]["operations"], Json({"Read", "Alter"}));
  EXPECT_EQ(out[1], rules[1]);
  out = removed(rules, [](const v1::Acl& acl) { return acl.resource() == "Topic"; });
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0], rules[1]);
  EXPECT_TRUE(removed(rules, [](const v1::Acl&) { return true; }).is_null());
  EXPECT_EQ(removed(rules, [](const v1::Acl&) { return false; }), rules);
  EXPECT_FALSE(changed);
}

}  // namespace
}  // namespace sluice_operator::metadata
