// Kafka's eight levels, what is refused, and that a user's resource and AlterClientQuotas do not fight.
#include "broker/quotas/entity.h"

#include <gtest/gtest.h>

namespace broker::quotas {
namespace {

using sluice::v1::AlterClientQuotas;
using sluice::v1::ClientQuotas;
using sluice::v1::Security;

AlterClientQuotas change_of(const std::vector<std::pair<std::string, std::optional<std::string>>>& parts,
                            const std::string& key, std::optional<double> value) {
  AlterClientQuotas change;
  for (const auto& [type, name] : parts) {
    auto* part = change.add_entity();
    part->set_type(type);
    if (name) part->set_name(*name);
  }
  auto* op = change.add_ops();
  op->set_key(key);
  if (value) op->set_value(*value);
  return change;
}

TEST(Entity, TheMostSpecificOfEightLevelsHolds) {
  const Part absent, any = Part::of_default(), alice = Part::named("alice"),
                     app = Part::named("app");
  const std::vector<std::pair<Entity, Entity>> levels{
      {{alice, app}, {alice, app}},    {{alice, any}, {alice, app}},
      {{alice, absent}, {alice, absent}}, {{any, app}, {alice, app}},
      {{any, any}, {alice, app}},      {{any, absent}, {alice, absent}},
      {{absent, app}, {absent, app}},  {{absent, any}, {absent, app}}};
  Limits limits;
  for (size_t i = 0; i < levels.size(); ++i) limits[levels[i].first] = static_cast<double>(i + 1);
  limits[{Part::named("bob"), absent}] = 99;
  for (size_t i = 0; i < levels.size(); ++i) {
    auto match = find_limit(limits, "alice", "app");
    ASSERT_TRUE(match) << i;
    EXPECT_EQ(match->limit, static_cast<double>(i + 1));
    EXPECT_EQ(match->counted, levels[i].second) << i;
    limits.erase(levels[i].first);
  }
  EXPECT_FALSE(find_limit(limits, "alice", "app"));
}

TEST(Entity, WhatCannotBeIsRefusedByName) {
  auto refusal = [](const AlterClientQuotas& change) {
    return check_change(change, nullptr).message();
  };
  EXPECT_NE(refusal(change_of({}, "producer_byte_rate", 1)).find("needs an entity"), std::string::npos);
  EXPECT_NE(refusal(change_of({{"ip", "10.0.0.1"}}, "connection_creation_rate", 1)).find("'ip'"),
            std::string::npos);
  EXPECT_NE(refusal(change_of({{"group", "g"}}, "producer_byte_rate", 1)).find("'group'"),
            std::string::npos);
  EXPECT_NE(refusal(change_of({{"user", "a"}, {"user", "b"}}, "producer_byte_rate", 1)).find("twice"),
            std::string::npos);
  EXPECT_NE(refusal(change_of({{"user", ""}}, "producer_byte_rate", 1)).find("empty"),
            std::string::npos);
  EXPECT_NE(refusal(change_of({{"user", "a"}}, "bytes", 1)).find("'bytes'"), std::string::npos);
  EXPECT_NE(refusal(change_of({{"user", "a"}}, "producer_byte_rate", 0)).find("above 0"),
            std::string::npos);
  EXPECT_NE(refusal(change_of({{"user", "a"}}, "producer_byte_rate", 1.5)).find("whole number"),
            std::string::npos);
  EXPECT_EQ(refusal(change_of({{"user", "a"}}, "request_percentage", 0.5)), "");
  EXPECT_EQ(refusal(change_of({{"client-id", std::nullopt}}, "controller_mutation_rate", 2.5)), "");
}

TEST(Entity, ChangesAreAppliedAndCanBeRepeated) {
  ClientQuotas quotas;
  for (int i = 0; i < 2; ++i) {
    apply(change_of({{"client-id", "app"}, {"user", "alice"}}, "producer_byte_rate", 1000), quotas);
    apply(change_of({{"user", "alice"}, {"client-id", "app"}}, "consumer_byte_rate", 7), quotas);
  }
  ASSERT_EQ(quotas.quotas_size(), 1);
  EXPECT_EQ(quotas.quotas(0).values().size(), 2u);
  for (const char* key : {"producer_byte_rate", "consumer_byte_rate", "request_percentage"}) {
    apply(change_of({{"user", "alice"}, {"client-id", "app"}}, key, std::nullopt), quotas);
  }
  EXPECT_EQ(quotas.quotas_size(), 0);
}

TEST(Entity, AUsersResourceIsTheOnlyTruthOfItsQuotas) {
  Security security;
  auto* alice = security.add_users();
  alice->set_name("alice");
  (*alice->mutable_quotas())["producer_byte_rate"] = 500;
  for (auto change : {change_of({{"user", "alice"}}, "producer_byte_rate", 1),
                      change_of({{"user", "alice"}, {"client-id", "x"}}, "request_percentage", 1)}) {
    Status status = check_change(change, &security);
    EXPECT_EQ(status.code(), Code::kPolicyViolation);
    EXPECT_NE(status.message().find("spec.quotas"), std::string::npos);
  }
  EXPECT_TRUE(check_change(change_of({{"user", "alice"}}, "producer_byte_rate", std::nullopt), &security).ok());
  EXPECT_TRUE(check_change(change_of({{"user", "bob"}}, "producer_byte_rate", 1), &security).ok());
  EXPECT_TRUE(check_change(change_of({{"user", std::nullopt}}, "producer_byte_rate", 1), &security).ok());

  // What was set before the resource came is not in force beside it.
  ClientQuotas stored;
  apply(change_of({{"user", "alice"}, {"client-id", "x"}}, "producer_byte_rate", 9), stored);
  apply(change_of({{"user", "alice"}}, "consumer_byte_rate", 9), stored);
  apply(change_of({{"user", "bob"}}, "consumer_byte_rate", 8), stored);
  ClientQuotas now = in_force(stored, &security);
  ASSERT_EQ(now.quotas_size(), 2);
  EXPECT_EQ(now.quotas(0).entity(0).name(), "alice");
  EXPECT_EQ(now.quotas(0).values().size(), 1u);
  EXPECT_EQ(now.quotas(0).values().at("producer_byte_rate"), 500);
  EXPECT_EQ(now.quotas(1).entity(0).name(), "bob");
}

}  // namespace
}  // namespace broker::quotas
