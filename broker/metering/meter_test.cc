// The meter in a map: time by what the map says, counts by offsets, traffic by directories.
#include "broker/metering/meter.h"

#include <gtest/gtest.h>

#include "broker/metering/ledger.h"

namespace broker::metering {
namespace {

constexpr int64_t kStart = 1'700'000'000'000;

v1::ShardMap map_of(int shards, int64_t retention_ms) {
  v1::ShardMap map;
  map.set_stream_id("s");
  map.set_stream("s");
  map.mutable_config()->set_retention_ms(retention_ms);
  for (int i = 0; i < shards; ++i) {
    auto* shard = map.add_shards();
    shard->set_index(i);
    shard->set_state(v1::SHARD_STATE_OPEN);
    shard->add_replicas()->set_broker(0);
  }
  return map;
}

v1::ShardUsage report(int32_t shard, int64_t from, int64_t to, int64_t units) {
  v1::ShardUsage out;
  out.set_shard(shard);
  out.set_from_offset(from);
  out.set_to_offset(to);
  out.set_put_units(units);
  out.set_records(to - from);
  out.set_bytes(100 * (to - from));
  return out;
}

TEST(Meter, TimeFollowsFromTheMap) {
  auto map = map_of(2, kExtendedAfterMs);
  accrue(map, kStart);
  EXPECT_EQ(usage_at(map, kStart + kHourMs).shard_ms(), 2 * kHourMs);
  EXPECT_EQ(usage_at(map, kStart + kHourMs).extended_shard_ms(), 0);
  accrue(map, kStart + kHourMs);
  map.mutable_config()->set_retention_ms(kExtendedAfterMs + 1);
  map.mutable_shards(0)->set_state(v1::SHARD_STATE_CLOSED);
  const auto usage = usage_at(map, kStart + 3 * kHourMs);
  EXPECT_EQ(usage.shard_ms(), 4 * kHourMs);
  EXPECT_EQ(usage.extended_shard_ms(), 2 * kHourMs);
  accrue(map, kStart);  // a clock that went back takes nothing away
  EXPECT_EQ(map.metering().at_ms(), kStart + kHourMs);
}

TEST(Meter, ARangeIsCountedOnce) {
  auto map = map_of(1, 0);
  accrue(map, kStart);
  EXPECT_TRUE(add_usage(map, report(0, 0, 10, 12), kStart));
  EXPECT_FALSE(add_usage(map, report(0, 0, 10, 12), kStart));
  EXPECT_FALSE(add_usage(map, report(0, 5, 15, 10), kStart));
  EXPECT_FALSE(add_usage(map, report(7, 0, 15, 10), kStart));
  EXPECT_TRUE(add_usage(map, report(0, 10, 11, 1), kStart));
  EXPECT_EQ(map.metering().usage().put_units(), 13);
  EXPECT_EQ(map.metering().usage().records(), 11);
}

TEST(Meter, TrafficIsAddedByHowMuchEachDirectoryHasGrown) {
  auto map = map_of(1, 0);
  v1::ZoneTraffic a;
  a.set_directory("a");
  a.set_replicated_bytes(100);
  EXPECT_TRUE(add_traffic(map, a, kStart));
  EXPECT_FALSE(add_traffic(map, a, kStart));
  v1::ZoneTraffic b = a;
  b.set_directory("b");
  b.set_fetched_bytes(7);
  EXPECT_TRUE(add_traffic(map, b, kStart));
  a.set_replicated_bytes(150);
  EXPECT_TRUE(add_traffic(map, a, kStart));
  EXPECT_EQ(cross_zone_bytes(map.metering().usage()), 257);
  a.set_replicated_bytes(10);  // a count that goes back takes nothing away, and is not added again
  EXPECT_FALSE(add_traffic(map, a, kStart));
}

TEST(Meter, OldBytesAreCountedByTheHour) {
  auto map = map_of(1, -1);
  accrue(map, kStart);
  v1::ShardUsage old = report(0, 0, 0, 0);
  old.set_long_term_bytes(3'000'000'000'000);
  EXPECT_TRUE(add_usage(map, old, kStart));
  accrue(map, kStart + 1);
  for (int i = 1; i <= 60; ++i) accrue(map, kStart + i * kHourMs / 60);
  EXPECT_EQ(map.metering().usage().long_term_byte_hours(), 3'000'000'000'000);
  EXPECT_EQ(map.metering().usage().long_term_byte_ms(), 0);
}

TEST(Meter, GoingBackIsRefused) {
  auto before = map_of(1, 0);
  accrue(before, kStart);
  add_usage(before, report(0, 0, 10, 12), kStart);
  auto map = before;
  EXPECT_TRUE(check_meter(map, before).ok());
  map.mutable_shards(0)->set_metered_offset(9);
  EXPECT_FALSE(check_meter(map, before).ok());
  map = before;
  map.mutable_metering()->mutable_usage()->set_put_units(11);
  EXPECT_FALSE(check_meter(map, before).ok());
}

TEST(Ledger, SharesAndIdleTimeAddUp) {
  auto a = map_of(3, 0), b = map_of(1, 0);
  b.set_stream_id("b");
  b.set_stream("b");
  b.mutable_shards(0)->add_replicas()->set_broker(1);
  v1::MeterLedger ledger;
  EXPECT_TRUE(change_levels(ledger, levels_of({&a, &b}, {0, 1, 2}), kStart));
  EXPECT_FALSE(change_levels(ledger, levels_of({&a, &b}, {0, 1, 2}), kStart + 5));
  accrue(ledger, kStart + kHourMs);
  EXPECT_EQ(ledger.broker_us(), 3 * kHourMs * 1000);
  ASSERT_EQ(ledger.shares_size(), 2);
  EXPECT_EQ(ledger.shares(0).stream(), "b");
  EXPECT_EQ(ledger.shares(0).broker_us(), kHourMs * 1250);  // a quarter of 0, all of 1
  EXPECT_EQ(ledger.shares(1).broker_us(), kHourMs * 750);
}

TEST(Ledger, AStreamThatGoesIsTakenOverOnce) {
  auto a = map_of(2, 0);
  accrue(a, kStart);
  add_usage(a, report(0, 0, 10, 12), kStart);
  v1::MeterLedger ledger;
  change_levels(ledger, levels_of({&a}, {0}), kStart);
  fold(ledger, a, kStart + kHourMs);
  fold(ledger, a, kStart + 2 * kHourMs);
  EXPECT_EQ(ledger.removed().put_units(), 12);
  EXPECT_EQ(ledger.removed().shard_ms(), 2 * kHourMs);
  EXPECT_EQ(ledger.removed().broker_us(), kHourMs * 1000);
  EXPECT_EQ(ledger.shares_size(), 0);
  EXPECT_TRUE(forget_folded(ledger, "s"));
  EXPECT_FALSE(forget_folded(ledger, "s"));
}

}  // namespace
}  // namespace broker::metering
