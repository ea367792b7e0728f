#include "broker/metering/bill.h"

#include <algorithm>
#include <cstdio>
#include <map>
#include <tuple>

namespace broker::metering {

v1::Bill make_bill(const BillInput& input) {
  v1::Bill bill;
  bill.set_at_ms(input.now_ms);
  v1::MeterLedger ledger;
  if (input.ledger) ledger = *input.ledger;
  if (ledger.since_ms() > 0) accrue(ledger, input.now_ms);
  std::map<std::string, int64_t> broker_us;
  int64_t idle_us = ledger.broker_us() - ledger.removed().broker_us();
  for (const auto& share : ledger.shares()) {
    broker_us[share.stream_id()] = share.broker_us();
    idle_us -= share.broker_us();
  }
  int64_t since = ledger.since_ms();
  auto maps = input.maps;
  std::sort(maps.begin(), maps.end(), [](const auto* a, const auto* b) {
    return std::tie(a->stream(), a->stream_id()) < std::tie(b->stream(), b->stream_id());
  });
  for (const auto* map : maps) {
    if (is_folded(ledger, map->stream_id())) continue;
    auto* line = bill.add_lines();
    line->set_stream(map->stream());
    line->set_stream_id(map->stream_id());
    *line->mutable_usage() = usage_at(*map, input.now_ms);
    line->mutable_usage()->set_broker_us(broker_us[map->stream_id()]);
    line->set_since_ms(map->metering().since_ms());
    line->set_counted_ms(map->metering().counted_ms());
    if (since == 0 || (line->since_ms() > 0 && line->since_ms() < since)) since = line->since_ms();
  }
  if (ledger.has_removed()) {
    auto* line = bill.add_lines();
    line->set_gone(true);
    *line->mutable_usage() = ledger.removed();
    line->set_since_ms(ledger.since_ms());
  }
  if (idle_us > 0) {
    auto* line = bill.add_lines();
    line->mutable_usage()->set_broker_us(idle_us);
    line->set_since_ms(ledger.since_ms());
  }
  auto& total = *bill.mutable_total();
  for (auto& line : *bill.mutable_lines()) {
    add(*total.mutable_usage(), line.usage());
    total.set_counted_ms(std::max(total.counted_ms(), line.counted_ms()));
    if (input.prices) *line.mutable_cost() = cost_of(line.usage(), *input.prices);
  }
  total.set_since_ms(since);
  bill.set_since_ms(since);
  if (input.prices) {
    *total.mutable_cost() = cost_of(total.usage(), *input.prices);
    *bill.mutable_prices() = *input.prices;
  }
  return bill;
}

v1::Bill bill_of(const v1::Bill& all, const std::string& stream) {
  v1::Bill bill;
  bill.set_at_ms(all.at_ms());
  if (all.has_prices()) *bill.mutable_prices() = all.prices();
  for (const auto& line : all.lines()) {
    if (stream.empty() || line.stream() != stream) continue;
    *bill.add_lines() = line;
    *bill.mutable_total() = line;
    bill.set_since_ms(line.since_ms());
  }
  return bill;
}

std::string hours_text(int64_t us) {
  constexpr int64_t kUsOfThousandth = 3'600'000;
  const int64_t thousandths = (us + kUsOfThousandth / 2) / kUsOfThousandth;
  char text[40];
  std::snprintf(text, sizeof text, "%lld.%03lld", static_cast<long long>(thousandths / 1000),
                static_cast<long long>(thousandths % 1000));
  return text;
}

}  // namespace broker::metering
