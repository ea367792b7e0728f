// Kafka's filter semantics, case by case: what each kind of pattern finds by name, and that every
// other part is compared as it is written.
#include "broker/security/acls/acls.h"

#include <gtest/gtest.h>

namespace broker::security::acls {
namespace {

namespace v1 = ::sluice::v1;
using Filter = v1::AclFilter;

v1::Acl topic(const std::string& name, bool prefix = false) {
  v1::Acl acl;
  acl.set_resource("Topic");
  acl.set_name(name);
  acl.set_prefix(prefix);
  acl.set_operation("Read");
  return acl;
}

bool found(Filter::Pattern pattern, const std::string& name, const v1::Acl& acl) {
  Filter filter;
  filter.set_pattern(pattern);
  filter.set_name(name);
  return matches(filter, "alice", acl);
}

TEST(AclFilter, WithNothingInItMatchesAll) {
  EXPECT_TRUE(matches({}, "alice", topic("orders")));
  EXPECT_TRUE(matches({}, "", topic("o", true)));
}

TEST(AclFilter, LiteralAndPrefixedComparePatternsNotResources) {
  EXPECT_TRUE(found(Filter::PATTERN_LITERAL, "orders", topic("orders")));
  EXPECT_FALSE(found(Filter::PATTERN_LITERAL, "orders", topic("*"))) << "the name is another";
  EXPECT_TRUE(found(Filter::PATTERN_LITERAL, "*", topic("*")));
  EXPECT_FALSE(found(Filter::PATTERN_LITERAL, "*", topic("orders")));
  EXPECT_FALSE(found(Filter::PATTERN_LITERAL, "orders", topic("orders", true)));
  EXPECT_TRUE(found(Filter::PATTERN_PREFIXED, "orders", topic("orders", true)));
  EXPECT_FALSE(found(Filter::PATTERN_PREFIXED, "orders-eu", topic("orders", true)));
  EXPECT_FALSE(found(Filter::PATTERN_PREFIXED, "orders", topic("orders")));
}

TEST(AclFilter, AnyTakesBothKindsByTheirName) {
  EXPECT_TRUE(found(Filter::PATTERN_ANY, "orders", topic("orders")));
  EXPECT_TRUE(found(Filter::PATTERN_ANY, "orders", topic("orders", true)));
  EXPECT_FALSE(found(Filter::PATTERN_ANY, "orders", topic("*")));
  EXPECT_FALSE(found(Filter::PATTERN_ANY, "orders", topic("ord", true)));
}

TEST(AclFilter, MatchFindsWhateverCoversTheResource) {
  EXPECT_TRUE(found(Filter::PATTERN_MATCH, "orders", topic("orders")));
  EXPECT_TRUE(found(Filter::PATTERN_MATCH, "orders", topic("*")));
  EXPECT_TRUE(found(Filter::PATTERN_MATCH, "orders", topic("ord", true)));
  EXPECT_TRUE(found(Filter::PATTERN_MATCH, "orders", topic("orders", true)));
  EXPECT_FALSE(found(Filter::PATTERN_MATCH, "orders", topic("orders-eu", true)));
  EXPECT_FALSE(found(Filter::PATTERN_MATCH, "orders", topic("order")));
}

TEST(AclFilter, WithoutANameThePatternStillCounts) {
  Filter filter;
  filter.set_pattern(Filter::PATTERN_PREFIXED);
  EXPECT_FALSE(matches(filter, "alice", topic("orders")));
  EXPECT_TRUE(matches(filter, "alice", topic("orders", true)));
  filter.set_pattern(Filter::PATTERN_MATCH);
  EXPECT_TRUE(matches(filter, "alice", topic("orders")));
}

TEST(AclFilter, EveryOtherPartIsComparedAsItIsWritten) {
  v1::Acl acl = topic("orders");
  acl.set_operation("All");
  acl.set_deny(true);
  acl.set_host("10.0.0.1");
  auto with = [&](auto set) {
    Filter filter;
    set(filter);
    return matches(filter, "alice", acl);
  };
  EXPECT_TRUE(with([](Filter& f) { f.set_resource("Topic"); }));
  EXPECT_FALSE(with([](Filter& f) { f.set_resource("Group"); }));
  EXPECT_TRUE(with([](Filter& f) { f.set_principal("User:alice"); }));
  EXPECT_FALSE(with([](Filter& f) { f.set_principal("alice"); }));
  EXPECT_FALSE(with([](Filter& f) { f.set_principal("User:*"); })) << "a name like any other";
  EXPECT_TRUE(with([](Filter& f) { f.set_host("10.0.0.1"); }));
  EXPECT_FALSE(with([](Filter& f) { f.set_host("*"); }));
  EXPECT_TRUE(with([](Filter& f) { f.set_operation("All"); }));
  EXPECT_FALSE(with([](Filter& f) { f.set_operation("Read"); })) << "All is no wildcard here";
  EXPECT_TRUE(with([](Filter& f) { f.set_deny(true); }));
  EXPECT_FALSE(with([](Filter& f) { f.set_deny(false); }));
}

TEST(Acls, WithoutAHostAreOfAnyHost) {
  v1::Acl unsaid = topic("orders"), said = topic("orders");
  said.set_host("*");
  EXPECT_TRUE(same(unsaid, said));
  Filter filter;
  filter.set_host("*");
  EXPECT_TRUE(matches(filter, "alice", unsaid));
  said.set_host("10.0.0.1");
  EXPECT_FALSE(same(unsaid, said));
}

TEST(Acls, AreOneOnlyWhenEveryPartIs) {
  const v1::Acl acl = topic("orders");
  EXPECT_TRUE(same(acl, topic("orders")));
  EXPECT_FALSE(same(acl, topic("orders", true)));
  v1::Acl other = acl;
  other.set_deny(true);
  EXPECT_FALSE(same(acl, other));
  other = acl;
  other.set_operation("Write");
  EXPECT_FALSE(same(acl, other));
}

}  // namespace
}  // namespace broker::security::acls
