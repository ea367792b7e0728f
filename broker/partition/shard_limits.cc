#include "broker/partition/shard_limits.h"

#include <charconv>

#include "broker/model/records.h"

namespace broker::partition {
namespace {

constexpr int64_t kSecondMs = 1000;
constexpr Limits kAws = {1000, 1 << 20, 5, 2 << 20};
constexpr double kFactorMax = 10'000;
constexpr size_t kDecompressedMax = 64 << 20;

int64_t scale(int64_t limit, double factor) {
  return std::max<int64_t>(1, static_cast<int64_t>(static_cast<double>(limit) * factor));
}

int64_t bytes_of(const Record& record) {
  return static_cast<int64_t>(record.key.value_or("").size() + record.value.value_or("").size());
}

}  // namespace

Result<std::optional<Limits>> parse_limits(std::string_view word) {
  if (word.empty() || word == "none") return std::optional<Limits>();
  if (word == "aws") return std::optional(kAws);
  double factor = 0;
  auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), factor);
  // Written so that what is not a number fails too.
  if (error != std::errc() || end != word.data() + word.size() ||
      !(factor > 0 && factor <= kFactorMax)) {
    return Status(Code::kInvalidArgument,
                  "limits are 'aws', 'none' or a factor above 0 and up to 10000, not '" +
                      std::string(word) + "'");
  }
  return std::optional(Limits{scale(kAws.records_in, factor), scale(kAws.bytes_in, factor),
                              scale(kAws.reads_out, factor), scale(kAws.bytes_out, factor)});
}

int64_t RateWindow::room(int64_t now_ms) {
  while (!slices_.empty() && slices_.front().at_ms <= now_ms - kSecondMs) {
    sum_ -= slices_.front().amount;
    slices_.pop_front();
  }
  if (now_ms < blocked_until_ms_) return 0;
  return std::max<int64_t>(0, per_second_ - sum_);
}

void RateWindow::take(int64_t now_ms, int64_t amount) {
  room(now_ms);
  sum_ += amount;
  if (!slices_.empty() && slices_.back().at_ms == now_ms) {
    slices_.back().amount += amount;
  } else {
    slices_.push_back({now_ms, amount});
  }
  if (sum_ <= per_second_) return;
  blocked_until_ms_ = std::max(blocked_until_ms_, now_ms + sum_ * kSecondMs / per_second_);
}

bool ShardLimits::admit(int64_t now_ms, int64_t records, int64_t bytes) {
  bool fits = records_in_.room(now_ms) >= records && bytes_in_.room(now_ms) >= bytes;
  // What never fits would never be let in: once a while it is, and paid back.
  bool whole = records_in_.unused(now_ms) && bytes_in_.unused(now_ms);
  if (!fits && !whole) return false;
  records_in_.take(now_ms, records);
  bytes_in_.take(now_ms, bytes);
  return true;
}

bool ShardLimits::admit_read(int64_t now_ms) {
  if (reads_out_.room(now_ms) < 1 || bytes_out_.room(now_ms) < 1) return false;
  reads_out_.take(now_ms, 1);
  return true;
}

Result<Admitted> admit_records(ShardLimits& limits, int64_t now_ms, Buffer batch) {
  ASSIGN_OR_RETURN(auto it, RecordIterator::open(batch.view(), kDecompressedMax));
  Admitted out;
  RecordBatchBuilder taken;
  Record record;
  while (it.next(record)) {
    const int64_t bytes = bytes_of(record);
    // In order: what follows a refused record of its shard is refused too.
    if (out.refused == 0 && limits.admit(now_ms, 1, bytes)) {
      ++out.records;
      continue;
    }
    ++out.refused;
    out.refused_bytes += bytes;
  }
  RETURN_IF_ERROR(it.status());
  if (out.refused == 0) {
    out.batch = std::move(batch);
    return out;
  }
  if (out.records == 0) return out;
  ASSIGN_OR_RETURN(auto again, RecordIterator::open(batch.view(), kDecompressedMax));
  for (int32_t i = 0; i < out.records && again.next(record); ++i) {
    taken.add(record.timestamp_ms, record.key, record.value, record.headers);
  }
  ASSIGN_OR_RETURN(std::string bytes, taken.build());
  out.batch = Buffer::from_string(std::move(bytes));
  return out;
}

Result<Cut> cut_records(const std::vector<Batch>& batches, Offset from, int64_t records_max,
                        int64_t bytes_max) {
  Cut cut;
  cut.next = from;
  for (const Batch& batch : batches) {
    if (batch.header.end_offset() <= cut.next) continue;
    if (!batch.header.control()) {
      ASSIGN_OR_RETURN(auto it, RecordIterator::open(batch.bytes.view(), kDecompressedMax));
      Record record;
      while (it.next(record)) {
        if (record.offset < from) continue;
        const int64_t bytes = bytes_of(record);
        if (cut.records == records_max || (cut.records > 0 && cut.bytes + bytes > bytes_max)) {
          return cut;
        }
        ++cut.records;
        cut.bytes += bytes;
        cut.next = record.offset + 1;
      }
      RETURN_IF_ERROR(it.status());
    }
    cut.next = batch.header.end_offset();
  }
  return cut;
}

}  // namespace broker::partition
