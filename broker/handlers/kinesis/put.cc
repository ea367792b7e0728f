// PutRecord, PutRecords.
#include "broker/handlers/kinesis/attributes.h"
#include "broker/handlers/kinesis/find.h"
#include "broker/handlers/kinesis/put_flow.h"

namespace broker::handlers::kinesis {
namespace {

constexpr size_t kRequestBytesMax = 10 << 20;

std::optional<wire::Error> check_hash_key(const std::optional<std::string>& key) {
  if (!key || coordination::parse_hash_key(*key)) return std::nullopt;
  return wire::invalid_argument(
      "Invalid ExplicitHashKey. ExplicitHashKey must be in the range: [0, 2^128-1]. "
      "Specified value was " +
      *key);
}

std::optional<wire::Error> check_record(const cluster::Stream& stream, int32_t kib,
                                        const wire::PutRecordsRequestEntry& record) {
  if (auto error = check_hash_key(record.explicit_hash_key)) return error;
  if (record.data.size() <= static_cast<size_t>(kib) * 1024) return std::nullopt;
  return wire::invalid_argument("The record's data of " + std::to_string(record.data.size()) +
                                " bytes exceeds the maximum record size of stream " +
                                stream.name() + ", " + std::to_string(kib) +
                                " KiB. Use UpdateMaxRecordSize to raise it.");
}

// Puts are taken while shards split and merge; CREATING and DELETING streams are not there yet.
std::optional<wire::Error> check_takes_records(const cluster::Stream& stream,
                                               const wire::Caller& caller) {
  if (status_of(stream) != wire::StreamStatus::kCreating) return std::nullopt;
  return stream_not_found(stream.name(), caller);
}

wire::Error error_of(const PutOutcome& outcome, const cluster::Stream& stream,
                     const wire::Caller& caller) {
  if (outcome.status.code() == Code::kResourceExhausted) {
    return wire::provisioned_throughput_exceeded(
        "Rate exceeded for shard " + format_shard_id(outcome.shard) + " in stream " +
        stream.name() + " under account " + caller.account + ".");
  }
  return to_error(outcome.status);
}

std::string sequence_text(const cluster::Stream& stream, const PutOutcome& outcome) {
  const auto* shard = stream.shard(outcome.shard);
  CHECK(shard);
  return format_sequence_number(sequence_number(stream, *shard, outcome.offset));
}

std::optional<std::string> encryption_of(const cluster::Stream& stream) {
  if (attributes::get(stream, attributes::kEncryptionKey).empty()) return std::nullopt;
  return std::string(wire::EncryptionType::kKms);
}

wire::PutRecordsResultEntry result_of(const PutOutcome& outcome, const cluster::Stream& stream,
                                      const wire::Caller& caller) {
  wire::PutRecordsResultEntry entry;
  if (outcome.status.ok()) {
    entry.shard_id = format_shard_id(outcome.shard);
    entry.sequence_number = sequence_text(stream, outcome);
    return entry;
  }
  // AWS knows two codes here.
  const bool throttled = outcome.status.code() == Code::kResourceExhausted;
  entry.error_code = throttled ? "ProvisionedThroughputExceededException" : "InternalFailure";
  entry.error_message = error_of(outcome, stream, caller).message;
  return entry;
}

}  // namespace

void Handlers::handle(const Call&, wire::PutRecordRequest& request,
                      Done<wire::PutRecordResponse> done) {
  with_stream(request, done, [this, &request, done](const StreamPtr& stream) {
    std::vector<wire::PutRecordsRequestEntry> records;
    records.push_back({std::move(request.data), std::move(request.explicit_hash_key),
                       std::move(request.partition_key)});
    if (auto error = check_takes_records(*stream, done.caller())) return done(*error);
    if (auto error = check_record(*stream, record_kib(*stream), records[0])) return done(*error);
    if (request.sequence_number_for_ordering) {
      // Ours grow with every put of a key anyway; one that is none is said so. A producer begins
      // with "0", or with what another stream has given it.
      if (!may_be_sequence_number(*request.sequence_number_for_ordering)) {
        return done(wire::invalid_argument(
            "ExclusiveMinimumSequenceNumber " + *request.sequence_number_for_ordering +
            " used in PutRecord on stream " + stream->name() + " under account " +
            done.caller().account + " is invalid."));
      }
    }
    if (request.dry_run.value_or(false)) return done(wire::dry_run_operation());
    throttle_.put(done.caller(), records[0].data.size() + records[0].partition_key.size());
    auto flow = std::make_shared<PutFlow>(
        services_, key_tables_, stream, std::move(records),
        [done](const cluster::Stream& stream, const std::vector<PutOutcome>& outcomes) {
          const PutOutcome& outcome = outcomes[0];
          if (!outcome.status.ok()) return done(error_of(outcome, stream, done.caller()));
          wire::PutRecordResponse response;
          response.shard_id = format_shard_id(outcome.shard);
          response.sequence_number = sequence_text(stream, outcome);
          response.encryption_type = encryption_of(stream);
          done(response);
        });
    flow->start();
  });
}

void Handlers::handle(const Call&, wire::PutRecordsRequest& request,
                      Done<wire::PutRecordsResponse> done) {
  with_stream(request, done, [this, &request, done](const StreamPtr& stream) {
    if (auto error = check_takes_records(*stream, done.caller())) return done(*error);
    const int32_t kib = record_kib(*stream);
    size_t bytes = 0;
    for (const auto& record : request.records) {
      bytes += record.data.size() + record.partition_key.size();
      if (auto error = check_record(*stream, kib, record)) return done(*error);
    }
    if (bytes > kRequestBytesMax) {
      return done(wire::invalid_argument("Records size exceeds 10 MB limit"));
    }
    if (request.dry_run.value_or(false)) return done(wire::dry_run_operation());
    throttle_.put(done.caller(), bytes);
    auto flow = std::make_shared<PutFlow>(
        services_, key_tables_, stream, std::move(request.records),
        [done](const cluster::Stream& stream, const std::vector<PutOutcome>& outcomes) {
          wire::PutRecordsResponse response;
          int32_t failed = 0;
          response.records.reserve(outcomes.size());
          for (const auto& outcome : outcomes) {
            failed += outcome.status.ok() ? 0 : 1;
            response.records.push_back(result_of(outcome, stream, done.caller()));
          }
          response.failed_record_count = failed;
          response.encryption_type = encryption_of(stream);
          done(response);
        });
    flow->start();
  });
}

}  // namespace broker::handlers::kinesis
