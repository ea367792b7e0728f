#include "broker/metering/money.h"

#include <array>
#include <cctype>
#include <cstdio>

#include "broker/metering/meter.h"

namespace broker::metering {
namespace {

using Wide = __int128;
constexpr int64_t kBillion = 1'000'000'000;
constexpr int64_t kPriceMax = 1'000'000;
constexpr int64_t kHoursOfMonth = 730;

// Micro-units of the currency: amount × price / per, rounded half up.
Wide micros(Wide amount, int64_t price_nanos, Wide per) {
  const Wide divisor = per * 1000;
  return (amount * price_nanos + divisor / 2) / divisor;
}

std::string text_of(Wide micro_units) {
  char text[64];
  std::snprintf(text, sizeof text, "%lld.%06lld",
                static_cast<long long>(micro_units / 1'000'000),
                static_cast<long long>(micro_units % 1'000'000));
  return text;
}

int64_t price(const std::string& text) {
  auto nanos = parse_price(text);
  return nanos.ok() ? *nanos : 0;
}

bool is_date(const std::string& text) {
  if (text.size() != 10 || text[4] != '-' || text[7] != '-') return false;
  for (size_t i : {0, 1, 2, 3, 5, 6, 8, 9}) {
    if (!std::isdigit(static_cast<unsigned char>(text[i]))) return false;
  }
  const int month = std::stoi(text.substr(5, 2)), day = std::stoi(text.substr(8, 2));
  return month >= 1 && month <= 12 && day >= 1 && day <= 31;
}

}  // namespace

Result<int64_t> parse_price(const std::string& text) {
  if (text.empty()) return int64_t{0};
  const Status bad(Code::kInvalidArgument,
                   "'" + text + "' is no price: a decimal number from 0 to 1000000, with at most "
                   "nine digits behind the point");
  const size_t point = text.find('.');
  const std::string whole = text.substr(0, point);
  std::string part = point == std::string::npos ? "" : text.substr(point + 1);
  if (whole.empty() || whole.size() > 7 || part.size() > 9) return bad;
  if (point != std::string::npos && part.empty()) return bad;
  for (char c : whole + part) {
    if (!std::isdigit(static_cast<unsigned char>(c))) return bad;
  }
  part.resize(9, '0');
  const int64_t nanos = std::stoll(whole) * kBillion + std::stoll(part);
  if (nanos > kPriceMax * kBillion) return bad;
  return nanos;
}

Status check_prices(const v1::Prices& prices) {
  auto bad = [](const std::string& field, const std::string& why) {
    return Status(Code::kInvalidArgument, field + ": " + why);
  };
  const std::string& currency = prices.currency();
  bool three = currency.size() == 3;
  for (char c : currency) three = three && c >= 'A' && c <= 'Z';
  if (!three) return bad("currency", "three capital letters, such as USD");
  if (!is_date(prices.as_of())) return bad("asOf", "the date of the prices, as YYYY-MM-DD");
  const std::array<std::pair<const char*, const std::string*>, 6> all = {{
      {"shardHour", &prices.shard_hour()},
      {"millionPutUnits", &prices.million_put_units()},
      {"extendedRetentionShardHour", &prices.extended_retention_shard_hour()},
      {"longTermRetentionGBMonth", &prices.long_term_retention_gb_month()},
      {"brokerHour", &prices.broker_hour()},
      {"crossZoneGB", &prices.cross_zone_gb()},
  }};
  for (const auto& [field, text] : all) {
    auto parsed = parse_price(*text);
    if (!parsed.ok()) return bad(field, parsed.status().message());
  }
  return {};
}

v1::Cost cost_of(const v1::Usage& usage, const v1::Prices& prices) {
  v1::Cost cost;
  Wide total = 0;
  auto item = [&](Wide amount, const std::string& unit_price, Wide per) {
    const Wide value = micros(amount, price(unit_price), per);
    total += value;
    return text_of(value);
  };
  cost.set_shard_hours(item(usage.shard_ms(), prices.shard_hour(), kHourMs));
  cost.set_put_units(item(usage.put_units(), prices.million_put_units(), 1'000'000));
  cost.set_extended_retention(
      item(usage.extended_shard_ms(), prices.extended_retention_shard_hour(), kHourMs));
  cost.set_long_term_retention(item(usage.long_term_byte_hours(),
                                    prices.long_term_retention_gb_month(),
                                    Wide{kBillion} * kHoursOfMonth));
  cost.set_broker_hours(item(usage.broker_us(), prices.broker_hour(), Wide{kHourMs} * 1000));
  cost.set_cross_zone(item(cross_zone_bytes(usage), prices.cross_zone_gb(), kBillion));
  cost.set_total(text_of(total));
  return cost;
}

}  // namespace broker::metering
