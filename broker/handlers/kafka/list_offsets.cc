// ListOffsets: offsets by timestamp and the special timestamps. Nothing is kept in remote storage,
// so what asks for that gets "none".
#include <algorithm>

#include "broker/handlers/kafka/handlers.h"
#include "broker/handlers/kafka/topics.h"
#include "broker/model/records.h"
#include "broker/partition/partition.h"

namespace broker::handlers::kafka {
namespace {

using Asked = wire::ListOffsetsRequest::Topic::Partition;
using Answer = wire::ListOffsetsResponse::Topic::Partition;

constexpr int64_t kLatest = -1, kEarliest = -2, kMaxTimestamp = -3, kEarliestLocal = -4,
                  kLatestTiered = -5, kEarliestPendingUpload = -6;

// The first version that may ask for a special timestamp; 0 for a timestamp that is none.
int16_t version_min(int64_t timestamp) {
  switch (timestamp) {
    case kMaxTimestamp:
      return 7;
    case kEarliestLocal:
      return 8;
    case kLatestTiered:
      return 9;
    case kEarliestPendingUpload:
      return 11;
    default:
      return timestamp >= kEarliest ? 0 : INT16_MAX;
  }
}

struct Found {
  Offset offset;
  int64_t timestamp_ms;
};

// The first record in the batch at `header` that has at least `timestamp_ms`. Where its records
// cannot be read (damaged by their producer, or too large when decompressed), the batch's first.
Result<Found> find_in_batch(partition::Partition& partition, const BatchHeader& header,
                            int64_t timestamp_ms, const Options& options) {
  // The log may start inside the batch.
  const Offset from = std::max(header.base_offset, partition.log_start());
  ASSIGN_OR_RETURN(partition::Fetched fetched, partition.read(from, 1));
  if (fetched.batches.empty()) return Status(Code::kUnavailable, "the batch is gone");
  const Batch& batch = fetched.batches.front();
  auto records =
      RecordIterator::open(batch.bytes.view(), static_cast<size_t>(options.decompressed_bytes_max));
  Record record;
  while (records.ok() && records->next(record)) {
    if (record.timestamp_ms >= timestamp_ms && record.offset >= fetched.log_start) {
      return Found{record.offset, record.timestamp_ms};
    }
  }
  return Found{std::max(batch.header.base_offset, fetched.log_start),
               batch.header.max_timestamp_ms};
}

// Fills offset, timestamp and epoch from a look-up; none found leaves them at -1.
Status fill(partition::Partition& partition, Result<std::optional<BatchHeader>> batch,
            std::optional<int64_t> timestamp_ms, const Options& options, Answer& answer) {
  if (!batch.ok()) return batch.status();
  if (!*batch) return {};
  const BatchHeader& header = **batch;
  ASSIGN_OR_RETURN(
      Found found,
      find_in_batch(partition, header, timestamp_ms.value_or(header.max_timestamp_ms), options));
  answer.offset = found.offset.value;
  answer.timestamp = found.timestamp_ms;
  answer.leader_epoch = header.term.value;
  return {};
}

Status look_up(partition::Partition& partition, int64_t timestamp, const Options& options,
               Answer& answer) {
  switch (timestamp) {
    case kLatest:
      RETURN_IF_ERROR(partition.may_read_latest());
      answer.offset = partition.high_watermark().value;
      answer.leader_epoch = partition.term().value;
      return {};
    case kEarliest:
    case kEarliestLocal:
      answer.offset = partition.log_start().value;
      answer.leader_epoch = partition.term_at(partition.log_start()).value;
      return {};
    case kLatestTiered:
    case kEarliestPendingUpload:
      return {};
    case kMaxTimestamp:
      return fill(partition, partition.find_max_timestamp(), std::nullopt, options, answer);
    default:
      return fill(partition, partition.find_timestamp(timestamp), timestamp, options, answer);
  }
}

Error look_up_error(const Status& status, int16_t version) {
  if (status.code() != Code::kUnavailable) return wire::to_kafka_error(status.code());
  return version >= 5 ? Error::kOffsetNotAvailable : Error::kLeaderNotAvailable;
}

Answer answer(const Services& services, Exchange& exchange, const TopicRef& topic,
              const Asked& asked) {
  Answer answer;
  answer.partition_index = asked.partition_index;
  Error error = topic.error;
  if (topic.stream) {
    Led led = find_led(services, *topic.stream, asked.partition_index, asked.current_leader_epoch);
    error = led.error;
    if (error == Error::kNone && exchange.version() < version_min(asked.timestamp)) {
      error = Error::kUnsupportedVersion;
    }
    if (error == Error::kNone) {
      Status status = look_up(*led.partition, asked.timestamp, services.options, answer);
      if (!status.ok()) error = look_up_error(status, exchange.version());
    }
  }
  answer.error_code = exchange.fail(error);
  return answer;
}

}  // namespace

void handle(Context& context, const ExchangePtr& exchange, wire::ListOffsetsRequest request) {
  wire::ListOffsetsResponse response;
  for (const auto& asked : request.topics) {
    auto& topic = response.topics.emplace_back();
    topic.name = asked.name;
    TopicRef ref = find_topic(context.services, *exchange, security::Operation::kDescribe, asked.name);
    for (const auto& partition : asked.partitions) {
      topic.partitions.push_back(answer(context.services, *exchange, ref, partition));
    }
  }
  respond(*exchange, response);
}

}  // namespace broker::handlers::kafka
