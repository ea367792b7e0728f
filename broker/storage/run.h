#pragma once
// Where a shard's batches are: a Run is the part of a log that one log file holds, an Entry is one
// frame in it. Internal to storage/.
#include <cstdint>
#include <memory>
#include <vector>

#include "broker/base/ids.h"

namespace broker::storage {

// Batches written by one frame: their bytes are [position, position + size) of the log file.
struct Entry {
  Offset base;
  int64_t max_timestamp_ms = 0;
  uint32_t position = 0;
  uint32_t size = 0;
  bool operator==(const Entry&) const = default;
};
using Entries = std::vector<Entry>;

struct Run {
  uint64_t file = 0;   // log file that holds the bytes
  uint64_t order = 0;  // log file that they were first written to; later orders override earlier
  Offset first, end;   // what is valid: entries outside are ignored
  int64_t max_timestamp_ms = 0;
  uint64_t bytes = 0;
  // In memory until the file's index is durable; afterwards at this place in the index.
  std::shared_ptr<Entries> entries;
  uint32_t index_position = 0, index_count = 0, index_crc = 0;
};

}  // namespace broker::storage
