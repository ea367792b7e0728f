// Certificates verify against their CA, and are issued again when they must be.
#include "operator/certs/certs.h"

#include <gtest/gtest.h>

namespace sluice_operator::certs {
namespace {

constexpr int64_t kNow = 1'800'000'000;
constexpr int64_t kDay = 86400;

TEST(Certs, IssuedOnesHoldUntilTheLastThirdOfTheirLife) {
  auto ca = make_ca("sluice", kNow);
  ASSERT_TRUE(ca.ok()) << ca.status().to_string();
  auto names = for_hosts({"quickstart.default.svc", "*.quickstart-brokers.default.svc"});
  auto leaf = issue(*ca, names, kNow);
  ASSERT_TRUE(leaf.ok()) << leaf.status().to_string();
  EXPECT_EQ(validity(leaf->cert)->ends_s, kNow + kLeafDays * kDay);
  EXPECT_FALSE(needs_issue(*leaf, ca->cert, names, kNow));
  EXPECT_TRUE(needs_issue(*leaf, ca->cert, names, kNow + kLeafDays * kDay * 7 / 10));
  EXPECT_TRUE(verifies(leaf->cert, ca->cert, kNow));
  EXPECT_FALSE(verifies(leaf->cert, ca->cert, kNow + (kLeafDays + 1) * kDay));
}

TEST(Certs, OtherNamesAnotherCaAndDamageAskForANewOne) {
  auto ca = make_ca("sluice", kNow), other = make_ca("sluice", kNow);
  ASSERT_TRUE(ca.ok() && other.ok());
  auto leaf = issue(*ca, for_hosts({"a"}), kNow), second = issue(*ca, for_hosts({"a"}), kNow);
  ASSERT_TRUE(leaf.ok() && second.ok());
  EXPECT_TRUE(needs_issue(*leaf, ca->cert, for_hosts({"b"}), kNow));
  EXPECT_TRUE(needs_issue(*leaf, other->cert, for_hosts({"a"}), kNow));
  EXPECT_TRUE(needs_issue({}, ca->cert, for_hosts({"a"}), kNow));
  EXPECT_TRUE(needs_issue({leaf->cert, second->key}, ca->cert, for_hosts({"a"}), kNow));
  EXPECT_EQ(issue({"x", "y"}, for_hosts({"a"}), kNow).code(), broker::Code::kCorruption);
  EXPECT_FALSE(verifies(leaf->cert, other->cert, kNow));
  EXPECT_TRUE(verifies(leaf->cert, other->cert + ca->cert, kNow)) << "of the same name, told apart";
}

TEST(Certs, AddressesAreHostsToo) {
  auto ca = make_ca("sluice", kNow);
  auto hosts = for_hosts({"a.example.com", "10.0.0.7", "fd00::7"});
  auto leaf = issue(*ca, hosts, kNow);
  ASSERT_TRUE(leaf.ok()) << leaf.status().to_string();
  EXPECT_FALSE(needs_issue(*leaf, ca->cert, hosts, kNow));
  EXPECT_TRUE(needs_issue(*leaf, ca->cert, for_hosts({"a.example.com", "10.0.0.8", "fd00::7"}), kNow));
}

TEST(Certs, AUserIsTheirName) {
  auto ca = make_ca("clients", kNow);
  auto alice = issue(*ca, for_user("alice"), kNow);
  ASSERT_TRUE(alice.ok());
  EXPECT_FALSE(needs_issue(*alice, ca->cert, for_user("alice"), kNow));
  EXPECT_TRUE(needs_issue(*alice, ca->cert, for_user("bob"), kNow));
  EXPECT_EQ(issue(*ca, for_user(std::string(65, 'a')), kNow).code(), broker::Code::kInvalidArgument);
  EXPECT_EQ(issue(*ca, for_user(""), kNow).code(), broker::Code::kInvalidArgument);
}

TEST(Certs, NobodyOutlivesTheirCa) {
  auto ca = make_ca("sluice", kNow);
  const int64_t late = kNow + (kCaDays - 10) * kDay;
  auto leaf = issue(*ca, for_hosts({"a"}), late);
  ASSERT_TRUE(leaf.ok());
  EXPECT_EQ(validity(leaf->cert)->ends_s, validity(ca->cert)->ends_s);
}

TEST(Certs, WhatSomebodyElseMadeIsLookedAt) {
  auto ca = make_ca("theirs", kNow);
  auto leaf = issue(*ca, for_hosts({"a"}), kNow);
  EXPECT_EQ(pair_problem(*ca, true, kNow), "");
  EXPECT_EQ(pair_problem(*leaf, false, kNow), "");
  EXPECT_NE(pair_problem(*leaf, true, kNow).find("no CA"), std::string::npos);
  EXPECT_NE(pair_problem({leaf->cert, ca->key}, false, kNow).find("not the key"), std::string::npos);
  EXPECT_NE(pair_problem({"", leaf->key}, false, kNow).find("tls.crt"), std::string::npos);
  EXPECT_NE(pair_problem({leaf->cert, "x"}, false, kNow).find("tls.key"), std::string::npos);
  EXPECT_NE(pair_problem(*leaf, false, kNow + 366 * kDay).find("expired"), std::string::npos);
  EXPECT_EQ(split(ca->cert + "\n" + leaf->cert), (std::vector<std::string>{ca->cert, leaf->cert}));
  EXPECT_TRUE(split("nothing").empty());
}

}  // namespace
}  // namespace sluice_operator::certs
