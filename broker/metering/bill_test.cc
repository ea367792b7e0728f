// Money, to the last digit, and bills that add up.
#include "broker/metering/bill.h"

#include <gtest/gtest.h>

#include "broker/metering/prices_file.h"

namespace broker::metering {
namespace {

constexpr const char* kTable =
    "currency: USD\n"
    "asOf: 2026-01-31\n"
    "shardHour: 0.015\n"
    "millionPutUnits: 0.014\n"
    "extendedRetentionShardHour: 0.02\n"
    "longTermRetentionGBMonth: 0.023\n"
    "brokerHour: 0.21\n"
    "crossZoneGB: 0.01\n";

TEST(Money, PricesAreDecimalNumbers) {
  EXPECT_EQ(*parse_price("0.015"), 15'000'000);
  EXPECT_EQ(*parse_price("1000000"), 1'000'000'000'000'000);
  EXPECT_EQ(*parse_price(""), 0);
  for (const char* bad : {"-1", "1e3", ".5", "1.", "0.0000000001", "1000000.1", "x", "99999999"}) {
    EXPECT_FALSE(parse_price(bad).ok()) << bad;
  }
}

TEST(Money, TablesNameWhatIsWrong) {
  EXPECT_TRUE(parse_prices(kTable).ok());
  auto why = [](const std::string& yaml) { return parse_prices(yaml).status().message(); };
  EXPECT_NE(why("asOf: 2026-01-31").find("currency"), std::string::npos);
  EXPECT_NE(why("currency: USD").find("asOf"), std::string::npos);
  EXPECT_NE(why("currency: USD\nasOf: 2026-13-01").find("asOf"), std::string::npos);
  EXPECT_NE(why(std::string(kTable) + "shardhour: 1").find("shardhour"), std::string::npos);
  EXPECT_NE(why("currency: USD\nasOf: 2026-01-31\nbrokerHour: cheap").find("brokerHour"),
            std::string::npos);
}

// AWS's example month: 4 shards, 267.84 million units, and the rest of the table beside it.
TEST(Money, CostsAreExact) {
  v1::Usage usage;
  usage.set_shard_ms(4 * 744 * kHourMs);
  usage.set_put_units(267'840'000);
  usage.set_extended_shard_ms(4 * 744 * kHourMs);
  usage.set_long_term_byte_hours(730LL * 5'000'000'000'000);
  usage.set_broker_us(3 * 744 * kHourMs * 1000);
  usage.set_replicated_bytes(1'500'000'000);
  auto cost = cost_of(usage, *parse_prices(kTable));
  EXPECT_EQ(cost.shard_hours(), "44.640000");
  EXPECT_EQ(cost.put_units(), "3.749760");
  EXPECT_EQ(cost.extended_retention(), "59.520000");
  EXPECT_EQ(cost.long_term_retention(), "115.000000");
  EXPECT_EQ(cost.broker_hours(), "468.720000");
  EXPECT_EQ(cost.cross_zone(), "0.015000");
  EXPECT_EQ(cost.total(), "691.644760");
}

TEST(Bill, LinesAddUpToTheTotal) {
  v1::ShardMap map;
  map.set_stream("s");
  map.set_stream_id("id");
  auto* shard = map.add_shards();
  shard->set_state(v1::SHARD_STATE_OPEN);
  shard->add_replicas()->set_broker(0);
  v1::ShardMap old = map;
  old.set_stream_id("old");
  old.set_stream("old");
  accrue(map, 1000);
  accrue(old, 1000);
  v1::MeterLedger ledger;
  change_levels(ledger, levels_of({&map, &old}, {0, 1}), 1000);
  fold(ledger, old, 1000 + kHourMs);
  change_levels(ledger, levels_of({&map}, {0, 1}), 1000 + kHourMs);
  BillInput input;
  input.maps = {&map, &old};  // folded, its map not gone yet: not counted again
  input.ledger = &ledger;
  auto prices = *parse_prices(kTable);
  input.prices = &prices;
  input.now_ms = 1000 + 2 * kHourMs;
  auto bill = make_bill(input);
  ASSERT_EQ(bill.lines_size(), 3);
  EXPECT_EQ(bill.lines(0).usage().shard_ms(), 2 * kHourMs);
  EXPECT_EQ(bill.lines(0).usage().broker_us(), 1500 * kHourMs);
  EXPECT_TRUE(bill.lines(1).gone());
  EXPECT_EQ(bill.lines(1).usage().broker_us(), 500 * kHourMs);
  EXPECT_EQ(bill.lines(2).usage().broker_us(), 2000 * kHourMs);
  EXPECT_EQ(bill.total().usage().broker_us(), 4000 * kHourMs);
  EXPECT_EQ(bill.total().usage().shard_ms(), 3 * kHourMs);
  EXPECT_EQ(bill.total().cost().total(), "0.885000");
  EXPECT_EQ(bill_of(bill, "s").total().usage().shard_ms(), 2 * kHourMs);
  EXPECT_EQ(hours_text(1500 * kHourMs), "1.500");
}

}  // namespace
}  // namespace broker::metering
