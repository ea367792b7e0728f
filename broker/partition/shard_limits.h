#pragma once
// What one shard takes and gives in a second, as Kinesis limits it. The shard's leader keeps the
// count, so the limit holds exactly whichever brokers the clients talk to; a new leader begins to
// count anew. Limits are a stream's attribute "limits": "aws" (1,000 records and 1 MiB in, 5 reads
// and 2 MiB out), a factor of that ("0.5", "4"), or "none" (also when absent). On the reactor.
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "broker/base/status.h"
#include "broker/model/record_batch.h"

namespace broker::partition {

inline constexpr const char* kLimitsAttribute = "limits";

struct Limits {
  int64_t records_in = 0, bytes_in = 0, reads_out = 0, bytes_out = 0;  // per second
  bool operator==(const Limits&) const = default;
};
// No value: unlimited. kInvalidArgument for words that mean nothing.
Result<std::optional<Limits>> parse_limits(std::string_view word);

// Sums what was taken in the last second. What overdraws it (a record or a read that is larger than
// a second's worth) is paid back before anything else is let in.
class RateWindow {
 public:
  explicit RateWindow(int64_t per_second) : per_second_(per_second) {}
  // What may still be taken now.
  int64_t room(int64_t now_ms);
  void take(int64_t now_ms, int64_t amount);
  bool unused(int64_t now_ms) { return room(now_ms) == per_second_; }

 private:
  struct Slice {
    int64_t at_ms, amount;
  };
  int64_t per_second_;
  int64_t sum_ = 0;
  int64_t blocked_until_ms_ = INT64_MIN;
  std::deque<Slice> slices_;
};

class ShardLimits {
 public:
  explicit ShardLimits(const Limits& limits)
      : limits_(limits),
        records_in_(limits.records_in),
        bytes_in_(limits.bytes_in),
        reads_out_(limits.reads_out),
        bytes_out_(limits.bytes_out) {}

  const Limits& limits() const { return limits_; }
  // Takes a whole append, or nothing.
  bool admit(int64_t now_ms, int64_t records, int64_t bytes);
  // A read may begin: one of the reads, and bytes are left.
  bool admit_read(int64_t now_ms);
  void note_read(int64_t now_ms, int64_t bytes) { bytes_out_.take(now_ms, bytes); }

 private:
  Limits limits_;
  RateWindow records_in_, bytes_in_, reads_out_, bytes_out_;
};

// The first records of a batch that `limits` admit, as Kinesis counts them (key and data).
struct Admitted {
  int32_t records = 0;  // taken
  int32_t refused = 0;
  int64_t refused_bytes = 0;
  Buffer batch;  // of those taken; the given one when all are, empty when none is
};
Result<Admitted> admit_records(ShardLimits& limits, int64_t now_ms, Buffer batch);

// Where a read of at most `records_max` records and `bytes_max` bytes (key and data) from `from`
// on ends. A first record that is larger is read all the same.
struct Cut {
  int64_t records = 0;
  int64_t bytes = 0;
  Offset next;  // one past the last
};
Result<Cut> cut_records(const std::vector<Batch>& batches, Offset from, int64_t records_max,
                        int64_t bytes_max);

}  // namespace broker::partition
