#include "operator/reconcile/metering_status.h"

#include <algorithm>
#include <cstdio>

#include "broker/metering/bill.h"

namespace sluice_operator::reconcile {
namespace {

constexpr int64_t kMinuteMs = 60'000;
constexpr int64_t kHourMs = 3'600'000;

std::string hours(int64_t ms) { return broker::metering::hours_text(ms * 1000); }

std::string gb_months(int64_t byte_hours) {
  char text[40];
  std::snprintf(text, sizeof text, "%.3f", static_cast<double>(byte_hours) / 1e9 / 730);
  return text;
}

}  // namespace

std::optional<int64_t> moment_to_show(int64_t counted_ms, int64_t now_ms,
                                      const std::optional<api::MeteringStatus>& shown,
                                      const sluice::v1::Prices* prices) {
  const int64_t behind = (counted_ms + kMinuteMs - 1) / kMinuteMs * kMinuteMs;
  const int64_t minute = behind <= now_ms ? behind : counted_ms / kMinuteMs * kMinuteMs;
  const int64_t moment = std::max(minute, now_ms / kHourMs * kHourMs);
  if (!shown) return moment;
  const bool same_prices = shown->currency == (prices ? prices->currency() : "") &&
                           shown->prices_as_of == (prices ? prices->as_of() : "");
  if (api::rfc3339_ms(shown->as_of) >= moment && same_prices) return std::nullopt;
  return std::max(moment, api::rfc3339_ms(shown->as_of));
}

int64_t ms_to_next_moment(int64_t counted_ms, int64_t now_ms) {
  const int64_t behind = (counted_ms + kMinuteMs - 1) / kMinuteMs * kMinuteMs;
  const int64_t hour = (now_ms / kHourMs + 1) * kHourMs;
  return (behind > now_ms ? std::min(behind, hour) : hour) - now_ms;
}

api::MeteringStatus metering_status(const sluice::v1::Bill& bill) {
  const auto& usage = bill.total().usage();
  api::MeteringStatus out;
  out.since = api::rfc3339(bill.since_ms());
  out.as_of = api::rfc3339(std::max(bill.at_ms(), bill.since_ms()));
  out.put_units = usage.put_units();
  out.records = usage.records();
  out.bytes = usage.bytes();
  out.shard_hours = hours(usage.shard_ms());
  out.extended_shard_hours = hours(usage.extended_shard_ms());
  out.long_term_gb_months = gb_months(usage.long_term_byte_hours());
  out.broker_hours = broker::metering::hours_text(usage.broker_us());
  out.replicated_bytes = usage.replicated_bytes();
  out.forwarded_bytes = usage.forwarded_bytes();
  out.fetched_bytes = usage.fetched_bytes();
  if (!bill.has_prices()) return out;
  const auto& cost = bill.total().cost();
  out.currency = bill.prices().currency();
  out.prices_as_of = bill.prices().as_of();
  out.costs = {{"shardHours", cost.shard_hours()},
               {"putPayloadUnits", cost.put_units()},
               {"extendedRetention", cost.extended_retention()},
               {"longTermRetention", cost.long_term_retention()},
               {"brokerHours", cost.broker_hours()},
               {"crossZone", cost.cross_zone()},
               {"total", cost.total()}};
  return out;
}

}  // namespace sluice_operator::reconcile
