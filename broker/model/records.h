#pragma once
// The records inside a Kafka v2 batch: making batches (gRPC publishers, seals, tests), reading them
// (gRPC subscribers, look-ups by timestamp) and judging what a producer sent. Lengths and counts in
// a batch are never trusted. Stateless but for the objects themselves; any thread.
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "broker/base/status.h"
#include "broker/model/record_batch.h"

namespace broker {

struct RecordHeader {
  std::string_view key;
  std::optional<std::string_view> value;
  bool operator==(const RecordHeader&) const = default;
};

// A record as a view into its batch (or into its iterator's decompressed bytes).
struct Record {
  Offset offset;
  int64_t timestamp_ms = 0;
  std::optional<std::string_view> key;
  std::optional<std::string_view> value;
  std::vector<RecordHeader> headers;
};

// Builds one batch. Offsets start at 0 and the term is none: the leader patches both.
class RecordBatchBuilder {
 public:
  struct Options {
    Compression compression = Compression::kNone;
    int64_t producer_id = -1;
    int16_t producer_epoch = -1;
    int32_t base_sequence = -1;
    bool control = false;
  };
  RecordBatchBuilder() = default;
  explicit RecordBatchBuilder(Options options) : options_(options) {}

  void add(int64_t timestamp_ms, std::optional<std::string_view> key,
           std::optional<std::string_view> value, std::span<const RecordHeader> headers = {});
  // Room for a batch of this size, so that it need not be copied as it grows.
  void reserve(size_t batch_bytes) { batch_.reserve(batch_bytes); }
  int32_t record_count() const { return record_count_; }
  // Of the batch so far, before compression.
  size_t size_bytes() const { return batch_.size(); }
  // The batch's bytes. At least one record must have been added. The builder is empty afterwards.
  Result<std::string> build();

 private:
  void write_header(std::string& batch) const;

  Options options_;
  std::string batch_ = std::string(kBatchHeaderSize, '\0');  // the header is written last
  int32_t record_count_ = 0;
  int64_t base_timestamp_ms_ = 0;
  int64_t max_timestamp_ms_ = 0;
};

// Reads a batch's records in order.
//   ASSIGN_OR_RETURN(auto it, RecordIterator::open(batch, 64 << 20));
//   while (it.next(record)) ...;
//   RETURN_IF_ERROR(it.status());
class RecordIterator {
 public:
  // `batch` must stay alive; the records of a compressed batch live as long as the iterator.
  // kTooLarge when the records expand beyond `decompressed_bytes_max`.
  static Result<RecordIterator> open(std::string_view batch, size_t decompressed_bytes_max);
  // False after the last record, or at damage: ask status().
  bool next(Record& record);
  const Status& status() const { return status_; }
  const BatchHeader& header() const { return header_; }
  // The records that next() has not given yet, as they are in an uncompressed batch.
  std::string_view remaining_bytes() const { return in_.rest(); }

 private:
  RecordIterator(const BatchHeader& header, Buffer bytes)
      : header_(header), bytes_(std::move(bytes)), in_(bytes_.view()) {}
  bool read_headers(ByteReader& in, std::vector<RecordHeader>& headers);
  bool fail(std::string_view why);

  BatchHeader header_;
  Buffer bytes_;  // owns them when they were decompressed
  ByteReader in_;
  int32_t records_read_ = 0;
  Status status_;
};

// The same records and header in a batch that is compressed otherwise, with a CRC of its own.
// kTooLarge when they expand beyond `decompressed_bytes_max`, kCorruption when they are damaged.
Result<std::string> recompress(std::string_view batch, Compression codec,
                               size_t decompressed_bytes_max);

// The type of a control record, from its key; -1 when the key is not one.
inline constexpr int16_t kAbortMarker = 0, kCommitMarker = 1, kSealMarker = 100;
int16_t control_record_type(std::optional<std::string_view> key);

// A seal: the control batch that ends a shard's log, with the shard's producer table as opaque
// bytes. It takes one offset.
std::string build_seal_batch(std::string_view producer_table, int64_t timestamp_ms);
// The producer table of a seal; nothing when the batch is not a seal.
std::optional<std::string> seal_content(std::string_view batch);

struct ProduceLimits {
  size_t batch_bytes_max = 1 << 20;
};

// Judges what a client sends to be appended: exactly one whole v2 batch within the limits, its CRC,
// its codec, counts that agree, and for uncompressed batches the framing of every record. Control
// and transactional batches are refused. Codes: kInvalidArgument (not acceptable), kCorruption
// (damaged), kTooLarge, kUnsupported (message format, transactions).
Result<BatchHeader> validate_produced_batch(std::string_view bytes, const ProduceLimits& limits);

}  // namespace broker
