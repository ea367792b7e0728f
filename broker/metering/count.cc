#include "broker/metering/count.h"

#include <algorithm>

#include "broker/model/records.h"

namespace broker::metering {

Counted& Counted::operator+=(const Counted& other) {
  put_units += other.put_units;
  records += other.records;
  bytes += other.bytes;
  return *this;
}

Counted& Counted::operator-=(const Counted& other) {
  put_units -= other.put_units;
  records -= other.records;
  bytes -= other.bytes;
  return *this;
}

int64_t put_units_of(int64_t data_bytes) {
  return std::max<int64_t>(1, (data_bytes + kPutUnitBytes - 1) / kPutUnitBytes);
}

Counted count_batch(const Batch& batch) {
  if (batch.header.control()) return {};
  const int64_t records = batch.header.record_count;
  const int64_t bytes = batch.header.size;
  const int64_t payload = bytes - static_cast<int64_t>(kBatchHeaderSize);
  Counted counted{records, records, bytes};
  if (payload <= kPutUnitBytes) return counted;  // no record can be larger
  if (batch.header.compression() != Compression::kNone) {
    counted.put_units = std::max(records, put_units_of(payload));
    return counted;
  }
  auto iterator = RecordIterator::open(batch.bytes.view(), 0);
  if (!iterator.ok()) return counted;  // validated when it was produced
  counted.put_units = 0;
  Record record;
  while (iterator->next(record)) {
    counted.put_units += put_units_of(static_cast<int64_t>(record.value.value_or("").size()));
  }
  counted.put_units = std::max(counted.put_units, records);
  return counted;
}

}  // namespace broker::metering
