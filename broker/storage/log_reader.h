#pragma once
// Reads a shard's batches: from its tail cache where they are, else from log files, each batch
// checked before it is returned. Short-lived, reactor only.
#include <optional>
#include <vector>

#include "broker/storage/log_files.h"
#include "broker/storage/shard_log.h"

namespace broker::storage {

// Walks the batches in `bytes`, the first of which must begin at `base`; calls `take` for each that
// begins below `limit` until it returns false. kCorruption when lengths, offsets or a CRC do not
// match.
Status walk_batches(const Buffer& bytes, Offset base, Offset limit,
                    const std::function<bool(Batch)>& take);

class LogReader {
 public:
  LogReader(ShardLog& log, LogFiles& files) : log_(log), files_(files) {}
  // As ShardLog::read, without its bounds check.
  Result<std::vector<Batch>> read(Offset from, size_t bytes_max, Offset end_max,
                                  Load* load = nullptr, int64_t records_max = INT64_MAX);
  Result<std::optional<BatchHeader>> find_timestamp(int64_t timestamp_ms, Offset end_max);
  Result<std::optional<BatchHeader>> find_max_timestamp(Offset end_max);

 private:
  struct Wanted;
  bool take(Wanted& wanted, Batch batch) const;
  Status read_run(const Run& run, Wanted& wanted);
  void read_tail(Wanted& wanted);
  Term term_at(Offset offset) const;
  // Headers of the batches of an entry, which ends at `entry_end`.
  Result<std::vector<BatchHeader>> headers(const Entry& entry, Offset entry_end, Offset end_max);
  Status corrupt(const Run& run, const Status& why) const;

  ShardLog& log_;
  LogFiles& files_;
};

}  // namespace broker::storage
