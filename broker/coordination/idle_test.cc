// A coordinator without brokers and maps: it is ticked when there is something to do, and otherwise not
// at all. Every other test of the coordinator is driven in the same way, by what tick() answers.
#include <gtest/gtest.h>

#include "tests/support/coordination_world.h"

namespace broker::coordination {
namespace {

constexpr int64_t kHourMs = 3'600'000;

// Somebody wants a stream, and there is no broker for it.
class Idle : public testing::Test {
 protected:
  Idle() {
    w.store.declares = true;
    StreamDeclaration declaration;
    declaration.name = "s";
    declaration.config.set_replication(1);
    w.store.declarations = {declaration};
  }
  // How many ticks the next hour takes.
  int ticks_in_an_hour() {
    const int before = w.ticks;
    w.run(kHourMs);
    return w.ticks - before;
  }
  void fall_asleep() {
    w.run(20'000);
    ASSERT_EQ(ticks_in_an_hour(), 0);
  }
  World w{0};
};

TEST_F(Idle, WithoutBrokersNoTickIsNeeded) {
  w.run(20'000);
  EXPECT_TRUE(w.coordinator->stream_waits("s"));
  EXPECT_EQ(ticks_in_an_hour(), 0);
  EXPECT_EQ(w.coordinator->tick(), kNever);
}

TEST_F(Idle, ABrokerThatComesIsServedAtOnce) {
  fall_asleep();
  w.add_broker(0, "z0");
  EXPECT_TRUE(w.run_until([&] { return w.coordinator->map_of("s") != nullptr; }, 300));
}

TEST_F(Idle, AStreamThatIsDeclaredIsLookedAtAtOnce) {
  fall_asleep();
  StreamDeclaration declaration;
  declaration.name = "t";
  w.coordinator->stream_declared(declaration);
  EXPECT_TRUE(w.coordinator->stream_waits("t"));
  EXPECT_EQ(w.tick_due_ms, 0);
}

// The time in which nobody ticked was taken for a standstill of the process, in which brokers could not
// be heard: one that fell silent would have stayed alive for as long.
TEST_F(Idle, ABrokerThatFallsSilentAfterwardsIsNoticed) {
  w.store.declarations.clear();  // a shard's votes and reports would be heard
  fall_asleep();
  w.add_broker(0, "z0");
  auto is_alive = [&] {
    const auto brokers = w.coordinator->brokers();
    return !brokers.empty() && brokers[0].broker.alive();
  };
  ASSERT_TRUE(w.run_until(is_alive, 100));
  w.brokers[0].last_heartbeat = w.clock.time_ms + kHourMs;
  EXPECT_TRUE(w.run_until([&] { return !is_alive(); }, w.options.silent_ms + 100));
}

TEST_F(Idle, PricesAreToldAtOnce) {
  int changes = 0;
  w.coordinator->set_change_callback([&] { ++changes; });
  fall_asleep();
  changes = 0;
  sluice::v1::Prices prices;
  prices.set_currency("EUR");
  w.coordinator->set_prices(&prices);
  w.run(100);
  EXPECT_EQ(changes, 1);
}

// An operator says every wish again with every look.
TEST_F(Idle, WhatIsSaidAgainWakesNobody) {
  StreamDefaults defaults;
  defaults.replication = 2;
  auto say = [&](int32_t brokers) {
    std::vector<ExpectedBroker> expected;
    for (int32_t id = 0; id < brokers; ++id) expected.push_back({id, "z0"});
    w.coordinator->set_defaults(defaults);
    w.coordinator->set_expected_brokers(expected);
    for (int32_t id = 0; id < brokers; ++id) w.coordinator->set_draining(id, id == 1);
    w.coordinator->set_moves_paused(true);
    w.coordinator->set_balancing({.propose = true});
    w.coordinator->set_security({});
    w.coordinator->set_prices(nullptr);
    w.coordinator->set_metering_interval(30'000);
  };
  say(2);
  fall_asleep();
  say(2);
  EXPECT_EQ(ticks_in_an_hour(), 0);
  say(3);
  EXPECT_GT(ticks_in_an_hour(), 0);
  say(2);  // one fewer
  EXPECT_GT(ticks_in_an_hour(), 0);
  defaults.min_insync = 1;
  say(2);
  EXPECT_GT(ticks_in_an_hour(), 0);
}

TEST_F(Idle, ALoadThatFailedIsTriedAgain) {
  w.store.down = true;
  w.run(20'000);
  EXPECT_FALSE(w.coordinator->loaded());
  EXPECT_LE(w.ticks, 85);  // two for each of forty loads, not one each 20 ms
  w.store.down = false;
  w.run(1000);
  EXPECT_TRUE(w.coordinator->loaded());
}

// What the ledger is to be is written although nobody is connected any more; and read again, when the
// store cannot tell what became of it.
TEST_F(Idle, ALedgerThatCouldNotBeWrittenIsWritten) {
  w.store.declarations.clear();
  w.add_broker(0, "z0");
  w.store.ledger_fault = [](int) { return WriteFault::kUnavailable; };
  ASSERT_TRUE(w.run_until([&] { return w.store.ledger_writes == 1; }));
  w.store.down = true;
  w.kill(0);
  w.run(20'000);
  EXPECT_FALSE(w.store.ledger);
  w.store.down = false;
  w.store.ledger_fault = nullptr;
  w.run(100'000);
  EXPECT_TRUE(w.store.ledger);
  EXPECT_EQ(ticks_in_an_hour(), 0);
}

}  // namespace
}  // namespace broker::coordination
