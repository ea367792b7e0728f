// Leadership that an administrator asked for, beside what the coordinator evens out by itself.
#include <gtest/gtest.h>

#include "tests/support/coordination_world.h"

namespace broker::coordination {
namespace {

void elect_preferred(World& w, const std::string& stream) {
  for (int index = 0; index < 12; ++index) {
    sluice::v1::AdminRequest request;
    request.mutable_elect_preferred()->set_stream(stream);
    request.mutable_elect_preferred()->set_index(index);
    const std::string code = w.ask(request).code();
    EXPECT_TRUE(code == "OK" || code == "ALREADY_EXISTS") << code;
  }
}

// kafka-leader-election: what it moves to the preferred replicas, balance moved away again, each
// time anew.
TEST(Leadership, BalanceLeavesAPreferredLeaderWhereAClientHadItElected) {
  World w(3);
  w.run(100);
  w.kill(2);
  w.run(3000);
  ASSERT_EQ(w.create("s", 12).code(), "OK");
  w.revive(2);
  // The shards' first replicas are brokers 0 and 1, and balance has taken a third of them to
  // broker 2.
  ASSERT_TRUE(w.run_until([&] { return w.all_led() && w.leaders_on(2) == 4; }, 60'000));
  w.run(5000);
  elect_preferred(w, "s");
  w.run(30'000);
  int elsewhere = 0, uneven = 0;
  for (const auto& shard : w.map("s")->shards()) {
    elsewhere += shard.leader() != shard.replicas(0).broker();
    uneven += shard.replicas(0).broker() == 2;
  }
  EXPECT_EQ(elsewhere, 0);
  EXPECT_NE(uneven, 4) << "it was even, so that there was nothing to see";
}

}  // namespace
}  // namespace broker::coordination
