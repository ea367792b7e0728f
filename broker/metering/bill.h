#pragma once
// The bill: every stream's usage and cost up to a moment, the brokers' idle time, what is gone, and the
// total. Pure; for the gRPC API, the operator's status and its metrics.
#include <cstdint>
#include <string>
#include <vector>

#include "broker/metering/ledger.h"
#include "broker/metering/money.h"

namespace broker::metering {

struct BillInput {
  std::vector<const v1::ShardMap*> maps;
  const v1::MeterLedger* ledger = nullptr;  // null: not known yet
  const v1::Prices* prices = nullptr;       // null: usage without money
  int64_t now_ms = 0;
};
// Lines by stream name, then "gone" and idle brokers where there is something to say.
v1::Bill make_bill(const BillInput& input);
// Only that stream's line, which is the total too.
v1::Bill bill_of(const v1::Bill& all, const std::string& stream);

// For people and for status: hours to three digits, rounded half up.
std::string hours_text(int64_t us);

}  // namespace broker::metering
