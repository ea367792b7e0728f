// How often metering may change a status: once a minute while something is counted, else once an hour.
#include "operator/reconcile/metering_status.h"

#include <gtest/gtest.h>

namespace sluice_operator::reconcile {
namespace {

constexpr int64_t kHour = 1'700'000'000'000 / 3'600'000 * 3'600'000;
constexpr int64_t kMinute = 60'000;

api::MeteringStatus shown_at(int64_t ms) {
  api::MeteringStatus shown;
  shown.as_of = api::rfc3339(ms);
  return shown;
}

TEST(MeteringStatus, TheHourIsShownOnce) {
  EXPECT_EQ(moment_to_show(-1, kHour + 5, std::nullopt, nullptr), kHour);
  EXPECT_EQ(moment_to_show(-1, kHour + 59 * kMinute, shown_at(kHour), nullptr), std::nullopt);
  EXPECT_EQ(moment_to_show(-1, kHour + 60 * kMinute, shown_at(kHour), nullptr), kHour + 60 * kMinute);
  EXPECT_EQ(ms_to_next_moment(-1, kHour + kMinute), 59 * kMinute);
}

TEST(MeteringStatus, ACountIsShownBehindItsMinute) {
  const int64_t counted = kHour + 10 * kMinute + 500;
  EXPECT_EQ(moment_to_show(counted, counted + 10, shown_at(kHour), nullptr), kHour + 10 * kMinute);
  const auto shown = shown_at(kHour + 10 * kMinute);
  EXPECT_EQ(moment_to_show(counted, counted + 20, shown, nullptr), std::nullopt);
  EXPECT_EQ(ms_to_next_moment(counted, counted + 20), kMinute - 520);
  EXPECT_EQ(moment_to_show(counted, kHour + 11 * kMinute, shown, nullptr), kHour + 11 * kMinute);
  EXPECT_EQ(moment_to_show(counted, kHour + 12 * kMinute, shown_at(kHour + 11 * kMinute), nullptr),
            std::nullopt);
}

TEST(MeteringStatus, ANewPriceTableIsShownAtOnce) {
  sluice::v1::Prices prices;
  prices.set_currency("EUR");
  prices.set_as_of("2026-01-31");
  EXPECT_EQ(moment_to_show(-1, kHour + 5, shown_at(kHour), &prices), kHour);
}

TEST(MeteringStatus, HoldsTheBillsTotal) {
  sluice::v1::Bill bill;
  bill.set_at_ms(kHour + kMinute);
  bill.set_since_ms(kHour);
  auto& usage = *bill.mutable_total()->mutable_usage();
  usage.set_put_units(7);
  usage.set_shard_ms(90 * kMinute);
  usage.set_broker_us(45 * kMinute * 1000);
  auto status = metering_status(bill);
  EXPECT_EQ(status.put_units, 7);
  EXPECT_EQ(status.shard_hours, "1.500");
  EXPECT_EQ(status.broker_hours, "0.750");
  EXPECT_EQ(status.as_of, api::rfc3339(kHour + kMinute));
  EXPECT_TRUE(status.currency.empty());
  bill.mutable_prices()->set_currency("EUR");
  bill.mutable_prices()->set_as_of("2026-01-31");
  bill.mutable_total()->mutable_cost()->set_total("1.250000");
  status = metering_status(bill);
  EXPECT_EQ(status.costs.at("total"), "1.250000");
  EXPECT_EQ(status.prices_as_of, "2026-01-31");
}

}  // namespace
}  // namespace sluice_operator::reconcile
