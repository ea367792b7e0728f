#pragma once
// Money as decimal text and exact integers: prices to nine digits behind the point, amounts rounded
// half up once, at the end. Pure.
#include <cstdint>
#include <string>

#include "broker/base/status.h"
#include "broker/proto/metering.pb.h"

namespace broker::metering {

namespace v1 = ::sluice::v1;

// A price in billionths of the currency's unit. kInvalidArgument unless it is a decimal number from 0
// to 1,000,000 with at most nine digits behind the point. Empty: 0.
Result<int64_t> parse_price(const std::string& text);

// Checks a whole table; the message names the field.
Status check_prices(const v1::Prices& prices);

// What `usage` costs at checked prices. GB and GB-months are 10^9 bytes and 730 hours. Six digits
// behind the point.
v1::Cost cost_of(const v1::Usage& usage, const v1::Prices& prices);

}  // namespace broker::metering
