#pragma once
// The index of a sealed log file: a directory of the runs in it, then their entries (FORMAT.md).
// Written once by the store when it seals the file; the directory is read at recovery, entries when
// a read needs them.
#include <string>
#include <string_view>
#include <vector>

#include "broker/base/status.h"
#include "broker/env/env.h"
#include "broker/storage/run.h"

namespace broker::storage {

struct IndexedRun {
  uint64_t log_id = 0;
  Run run;  // `file` is the index's; `entries` is set when encoding
};

// Sets the runs' index_position, index_count and index_crc. `log_bytes` is the length of the log
// file that is in use.
std::string encode_index(uint64_t file, uint64_t log_bytes, std::vector<IndexedRun>& runs);

struct IndexDirectory {
  uint64_t log_bytes = 0;
  std::vector<IndexedRun> runs;  // without entries
};
// Reads the directory. kCorruption when a check fails, kUnsupported for a newer format.
Result<IndexDirectory> read_index_directory(env::File& index, uint64_t file);
// Reads the entries of a run.
Result<Entries> read_index_entries(env::File& index, const Run& run);

}  // namespace broker::storage
