// Certificates verify against their CA, and are issued again when they must be.
#include "operator/certs/certs.h"

#include <gtest/gtest.h>

namespace sluice_operator::certs {
namespace {

constexpr int64_t kNow = 1'800'000'000;

TEST(Certs, IssuedOnesHoldUntilTheLastThirdOfTheirLife) {
  auto ca = make_ca("sluice", kNow);
  ASSERT_TRUE(ca.ok()) << ca.status().to_string();
  std::vector<std::string> names{"quickstart.default.svc", "*.quickstart-brokers.default.svc"};
  auto leaf = issue(*ca, names, kNow);
  ASSERT_TRUE(leaf.ok()) << leaf.status().to_string();
  EXPECT_EQ(*expires_at(leaf->cert), kNow + kLeafDays * 86400);
  EXPECT_FALSE(needs_issue(leaf->cert, ca->cert, names, kNow));
  EXPECT_TRUE(needs_issue(leaf->cert, ca->cert, names, kNow + kLeafDays * 86400 * 7 / 10));
}

TEST(Certs, OtherNamesAnotherCaAndDamageAskForANewOne) {
  auto ca = make_ca("sluice", kNow), other = make_ca("sluice", kNow);
  ASSERT_TRUE(ca.ok() && other.ok());
  auto leaf = issue(*ca, {"a"}, kNow);
  ASSERT_TRUE(leaf.ok());
  EXPECT_TRUE(needs_issue(leaf->cert, ca->cert, {"b"}, kNow));
  EXPECT_TRUE(needs_issue(leaf->cert, other->cert, {"a"}, kNow));
  EXPECT_TRUE(needs_issue("", ca->cert, {"a"}, kNow));
  EXPECT_EQ(issue({"x", "y"}, {"a"}, kNow).code(), broker::Code::kCorruption);
}

}  // namespace
}  // namespace sluice_operator::certs
