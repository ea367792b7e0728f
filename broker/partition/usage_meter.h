#pragma once
// Counts what is appended to a shard that this broker leads, from the offset up to which the stream's
// map has it already. The count is of the log: whoever leads next counts the same range to the same
// sum, so nothing is lost with a broker, and the map adds each range once. Called by Partition.
#include <deque>

#include "broker/metering/count.h"

namespace broker::partition {

class UsageMeter {
 public:
  // A count up to a batch's end.
  struct Mark {
    Offset end;
    metering::Counted counted;  // since from()
  };

  // Forgets everything: this broker does not lead.
  void stop();
  // Begins, or goes on, behind what the map has. Records below `log_start` are gone uncounted.
  void follow(Offset metered, Offset log_start);
  bool counting() const { return counting_; }
  Offset from() const { return from_; }
  // Where the next batch to count begins.
  Offset next() const { return next_; }
  // A batch that begins behind next() is left for later, when the log is read. One that next() lies
  // in counts as a whole: its first records were deleted before anybody counted them.
  void count(const Batch& batch);
  // The count of what is committed; remembered until the map has it.
  Mark tell(Offset high_watermark);

 private:
  bool counting_ = false;
  Offset from_{0}, next_{0};
  metering::Counted sum_;  // of [from_, next_)
  Mark committed_;
  std::deque<Mark> ends_;  // of batches that were not committed when last asked
  std::deque<Mark> told_;
};

}  // namespace broker::partition
