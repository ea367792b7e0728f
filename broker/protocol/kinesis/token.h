#pragma once
// What a value on the wire looks like before its shape is asked for; shared by the two formats.
#include <cstdint>

namespace broker::protocol::kinesis {

enum class Token : uint8_t { kNull, kBoolean, kNumber, kString, kBytes, kList, kMap, kMalformed };

struct Number {
  bool is_integer = true;
  int64_t integer = 0;  // saturated
  double real = 0;
};

inline int64_t saturate(double value) {
  if (!(value > -9.2e18)) return INT64_MIN;  // NaN too
  return value < 9.2e18 ? static_cast<int64_t>(value) : INT64_MAX;
}

}  // namespace broker::protocol::kinesis
