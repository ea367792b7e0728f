#include "broker/partition/usage_meter.h"

namespace broker::partition {
namespace {

// Reports under way; when the map has one that was forgotten, the log is counted again from there.
constexpr size_t kToldMax = 64;

}  // namespace

void UsageMeter::stop() { *this = UsageMeter(); }

void UsageMeter::follow(Offset metered, Offset log_start) {
  if (!counting_ || metered != from_) {
    while (counting_ && !told_.empty() && told_.front().end < metered) told_.pop_front();
    if (counting_ && !told_.empty() && told_.front().end == metered) {
      const metering::Counted recorded = told_.front().counted;
      told_.pop_front();
      sum_ -= recorded;
      committed_.counted -= recorded;
      for (auto& mark : ends_) mark.counted -= recorded;
      for (auto& mark : told_) mark.counted -= recorded;
      from_ = metered;
    } else {
      stop();
      counting_ = true;
      from_ = next_ = committed_.end = metered;
    }
  }
  if (next_ < log_start) next_ = log_start;
}

void UsageMeter::count(const Batch& batch) {
  if (!counting_ || batch.header.base_offset > next_ || batch.header.end_offset() <= next_) return;
  sum_ += metering::count_batch(batch);
  next_ = batch.header.end_offset();
  ends_.push_back({next_, sum_});
}

UsageMeter::Mark UsageMeter::tell(Offset high_watermark) {
  while (!ends_.empty() && ends_.front().end <= high_watermark) {
    committed_ = ends_.front();
    ends_.pop_front();
  }
  if (committed_.end > from_ && (told_.empty() || told_.back().end < committed_.end)) {
    told_.push_back(committed_);
    if (told_.size() > kToldMax) told_.pop_front();
  }
  return committed_;
}

}  // namespace broker::partition
