// libFuzzer target: a record batch as a producer sends it, with its CRC made right so that the
// fuzzer reaches the records.
#include <string>

#include "broker/base/check.h"
#include "broker/base/crc32c.h"
#include "broker/model/records.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace broker;
  std::string batch(reinterpret_cast<const char*>(data), size);
  if (batch.size() > kBatchHeaderSize) {
    store_be(batch.data() + 17, crc32c(std::string_view(batch).substr(21)));
  }
  auto header = validate_produced_batch(batch, {});
  auto records = RecordIterator::open(batch, 1 << 20);
  if (!records.ok()) return 0;
  Record record;
  int32_t count = 0;
  while (records->next(record)) ++count;
  CHECK_LE(count, records->header().record_count);
  if (header.ok() && header->compression() == Compression::kNone) CHECK(records->status().ok());
  return 0;
}
