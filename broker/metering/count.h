#pragma once
// What a record batch counts for. A pure function of the stored bytes, so that any replica that
// counts a range of the log again comes to the same sum. Called by partition/ on the reactor.
#include <cstdint>

#include "broker/model/record_batch.h"

namespace broker::metering {

// A PUT payload unit: 25 KB of a record's data (1 KB = 1,024 bytes), rounded up per record.
inline constexpr int64_t kPutUnitBytes = 25 * 1024;

struct Counted {
  int64_t put_units = 0;
  int64_t records = 0;
  int64_t bytes = 0;
  Counted& operator+=(const Counted& other);
  Counted& operator-=(const Counted& other);
  bool operator==(const Counted&) const = default;
};

int64_t put_units_of(int64_t data_bytes);

// Control batches count for nothing. A compressed batch is not unpacked: its records count for one
// unit each, and together at least for the units of its compressed bytes.
Counted count_batch(const Batch& batch);

}  // namespace broker::metering
