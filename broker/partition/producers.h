#pragma once
// The producers of one shard, derived from its own batches: what makes a retry be stored once
// (KIP-98). Pure; owned by Partition. Every replica keeps it, so that a new leader knows it.
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "broker/model/record_batch.h"

namespace broker::partition {

// A producer that has been silent for longer is forgotten (Kafka's producer.id.expiration.ms).
inline constexpr int64_t kProducerIdExpirationMs = 86'400'000;

class Producers {
 public:
  // How a batch relates to what its producer has stored before.
  struct Verdict {
    Code code = Code::kOk;
    std::string reason;
    // A repeat of this stored batch: to be answered with it, once it is committed.
    std::optional<std::pair<Offset, Offset>> duplicate;  // base, end
  };
  // Kafka's rules: the next sequence follows the last without a gap (wrapping at 2^31), a new epoch
  // or an unknown producer starts anywhere when its history is gone, else at 0; the last five
  // batches are remembered for repeats.
  Verdict check(const BatchHeader& header) const;
  // A batch was appended to the log (on a leader or a follower).
  void apply(const BatchHeader& header);
  // Forgets producers silent since before `timestamp_ms`.
  void expire(int64_t timestamp_ms);
  void clear() { producers_.clear(); }
  struct View {
    int64_t id;
    int16_t epoch;
    int32_t last_sequence;
    int64_t last_timestamp_ms;
  };
  void for_each(const std::function<void(const View&)>& visit) const;
  size_t size() const { return producers_.size(); }

  std::string encode() const;
  static Result<Producers> decode(std::string_view blob);
  bool operator==(const Producers&) const = default;

 private:
  struct Stored {
    int32_t first_sequence, last_sequence;
    Offset base, end;
    bool operator==(const Stored&) const = default;
  };
  struct Producer {
    int16_t epoch = -1;
    int64_t last_timestamp_ms = 0;
    std::deque<Stored> batches;  // ascending, at most five
    bool operator==(const Producer&) const = default;
  };
  std::map<int64_t, Producer> producers_;
};

}  // namespace broker::partition
