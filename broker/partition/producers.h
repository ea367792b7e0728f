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
    bool unknown = false;  // nothing of the producer is known
    // Of what is known of it, the end of the newest batch.
    Offset last_end{0};
    // A repeat of this stored batch: to be answered with it, once it is committed.
    std::optional<std::pair<Offset, Offset>> duplicate;  // base, end
  };
  // The next sequence follows the last without a gap (wrapping at 2^31); a new epoch and an unknown
  // producer start at 0; the last five batches are remembered for repeats. Unlike Kafka's brokers, an
  // unknown producer may not start anywhere: its first batch may have been refused a moment ago, by
  // a leader that was not ready; taken then, it would look like an old repeat, and be lost.
  // `from_zero`: the log has all its records. An unknown producer above 0 then is a gap
  // (kOutOfOrderSequence: sent again in order); else it may be forgotten (kUnknownProducer: it begins
  // a new epoch).
  Verdict check(const BatchHeader& header, bool from_zero) const;
  // A batch was appended to the log (on a leader or a follower).
  void apply(const BatchHeader& header);
  // Forgets producers silent since before `timestamp_ms`.
  void expire(int64_t timestamp_ms);
  void clear() {
    producers_.clear();
    forgot_ = false;
  }
  // The table was kept, perhaps after some had expired.
  void assume_forgotten() { forgot_ = true; }
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
  bool forgot_ = false;  // somebody
};

}  // namespace broker::partition
