// GetShardIterator, GetRecords.
#include <ctime>

#include "broker/handlers/kinesis/attributes.h"
#include "broker/handlers/kinesis/find.h"
#include "broker/handlers/kinesis/key_mapping.h"
#include "broker/model/records.h"

namespace broker::handlers::kinesis {
namespace {

constexpr int32_t kRecordsMax = 10'000;
constexpr size_t kBytesMax = 10 << 20;
// Of a batch that a Kafka client has compressed.
constexpr size_t kDecompressedMax = 64 << 20;
// Not much more is read than the asked number of records may need.
constexpr size_t kBytesPerRecord = 16 << 10, kBytesMin = 256 << 10;

std::string utc_text(int64_t ms) {
  std::time_t seconds = static_cast<std::time_t>(ms / 1000);
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char text[64];
  std::strftime(text, sizeof text, "%a %b %d %H:%M:%S UTC %Y", &parts);
  return text;
}

wire::Error expired(int64_t issued_ms, int64_t now_ms) {
  return wire::expired_iterator("Iterator expired. The iterator was created at time " +
                                utc_text(issued_ms) + " while right now it is " + utc_text(now_ms) +
                                " which is further in the future than the tolerated delay of " +
                                std::to_string(kTokenLifeMs) + " milliseconds.");
}

wire::Error invalid_iterator() {
  return wire::invalid_argument("Invalid ShardIterator.");
}

// AWS takes an iterator that a client has left in JSON's quotes.
std::string_view without_quotes(std::string_view text) {
  const bool quoted = text.size() > 2 && text.front() == '"' && text.back() == '"';
  return quoted ? text.substr(1, text.size() - 2) : text;
}

wire::Error no_shard(const std::string& shard, const std::string& stream,
                     const wire::Caller& caller) {
  return wire::resource_not_found("Shard " + shard + " in stream " + stream + " under account " +
                                  caller.account + " does not exist");
}

bool wants_sequence_number(std::string_view type) {
  return type == wire::ShardIteratorType::kAtSequenceNumber ||
         type == wire::ShardIteratorType::kAfterSequenceNumber;
}

// The position that a sequence number of this shard stands for, or AWS's refusal.
std::variant<Offset, wire::Error> position_of(const wire::GetShardIteratorRequest& request,
                                              const cluster::Stream& stream, const v1::Shard& shard,
                                              const wire::Caller& caller) {
  const std::string& text = *request.starting_sequence_number;
  const std::string used = "StartingSequenceNumber " + text +
                           " used in GetShardIterator on shard " + format_shard_id(shard.index()) +
                           " in stream " + stream.name() + " under account " + caller.account +
                           " is invalid";
  auto number = parse_sequence_number(text);
  if (!number) return wire::invalid_argument(used + ".");
  if (number->stream_hash != sequence_stream_hash(stream.id)) {
    return wire::invalid_argument(used + " because it did not come from this stream.");
  }
  if (number->shard != shard.index()) {
    return wire::invalid_argument(
        "Invalid StartingSequenceNumber. It encodes " + format_shard_id(number->shard) +
        ", while it was used in a call to a shard with " + format_shard_id(shard.index()));
  }
  if (number->generation != static_cast<uint64_t>(shard.opened_generation())) {
    return wire::invalid_argument(used + ".");
  }
  const bool after = request.shard_iterator_type == wire::ShardIteratorType::kAfterSequenceNumber;
  auto place = static_cast<int64_t>(number->place);
  if (after) return Offset{place};
  return Offset{place > 0 ? place - 1 : 0};  // place 0 is the start of the shard
}

std::optional<wire::Error> check_iterator_request(const wire::GetShardIteratorRequest& request,
                                                  int64_t now_ms) {
  const bool wants = wants_sequence_number(request.shard_iterator_type);
  if (wants != request.starting_sequence_number.has_value() &&
      (wants || request.shard_iterator_type != wire::ShardIteratorType::kAtTimestamp)) {
    return wire::invalid_argument(
        "Must either specify (1) AT_SEQUENCE_NUMBER or AFTER_SEQUENCE_NUMBER and "
        "StartingSequenceNumber or (2) TRIM_HORIZON or LATEST and no StartingSequenceNumber. "
        "Request specified " +
        request.shard_iterator_type +
        (wants ? " and no StartingSequenceNumber." : " and also a StartingSequenceNumber."));
  }
  if (request.shard_iterator_type != wire::ShardIteratorType::kAtTimestamp) return std::nullopt;
  if (!request.timestamp_ms) {
    return wire::invalid_argument(
        "Must specify timestampInMillis parameter for iterator of type AT_TIMESTAMP. Current "
        "request has no timestamp parameter.");
  }
  if (*request.timestamp_ms > now_ms) {
    return wire::invalid_argument(
        "The timestampInMillis parameter cannot be greater than the currentTimestampInMillis. "
        "timestampInMillis: " +
        std::to_string(*request.timestamp_ms) +
        ", currentTimestampInMillis: " + std::to_string(now_ms));
  }
  return std::nullopt;
}

}  // namespace

void Handlers::handle(const Call& call, wire::GetShardIteratorRequest& request,
                      Done<wire::GetShardIteratorResponse> done) {
  auto index = parse_shard_id(request.shard_id);
  const std::string name = name_in(request);
  if (!index) return done(shard_not_found(request.shard_id, name, done.caller()));
  auto found = [this, call, index, &request, done, name](OrError<StreamPtr> result) {
    const std::string shard_id = format_shard_id(*index);
    if (auto* error = std::get_if<wire::Error>(&result)) {
      const bool missing = error->type == "ResourceNotFoundException";
      return done(missing ? no_shard(shard_id, name, done.caller()) : *error);
    }
    const StreamPtr stream = std::get<StreamPtr>(result);
    const auto* shard = stream->shard(*index);
    if (!shard) return done(no_shard(shard_id, stream->name(), done.caller()));
    if (auto error = check_iterator_request(request, services_.clock.wall_ms())) {
      return done(*error);
    }
    const ShardId id{stream->id, shard->index()};
    const bool dry_run = request.dry_run.value_or(false);
    auto answer = [this, id, done, dry_run, name = stream->name()](Offset position, int64_t from_timestamp_ms) {
      if (dry_run) return done(wire::dry_run_operation());
      state_.with_secret(
          [this, id, done, position, from_timestamp_ms, name](const Result<std::string>& secret) {
            if (!secret.ok()) return done(to_error(secret.status()));
            wire::GetShardIteratorResponse response;
            response.shard_iterator =
                seal(*secret, ShardIterator{id, position, from_timestamp_ms,
                                            services_.clock.wall_ms(), ++iterators_made_, name});
            done(response);
          });
    };
    const std::string& type = request.shard_iterator_type;
    if (type == wire::ShardIteratorType::kTrimHorizon) return answer(Offset{0}, 0);
    if (type == wire::ShardIteratorType::kLatest) {
      return services_.router().offsets(id, [answer, done](Result<routing::ShardOffsets> offsets) {
        if (!offsets.ok()) return done(to_error(offsets.status()));
        answer(offsets->high_watermark, 0);
      });
    }
    if (type == wire::ShardIteratorType::kAtTimestamp) {
      const int64_t at_ms = *request.timestamp_ms;
      return services_.router().offset_at(id, at_ms, [answer, done, at_ms](Result<Offset> offset) {
        if (!offset.ok()) return done(to_error(offset.status()));
        answer(*offset, at_ms);
      });
    }
    auto position = position_of(request, *stream, *shard, done.caller());
    if (auto* error = std::get_if<wire::Error>(&position)) return done(*error);
    answer(std::get<Offset>(position), 0);
  };
  const Names names = names_of(request);
  find_stream(done.caller(), names.name, names.arn, names.id, std::move(found));
}

// One GetRecords under way.
struct Handlers::Read {
  Read(Done<wire::GetRecordsResponse> d) : done(std::move(d)) {}
  Done<wire::GetRecordsResponse> done;
  std::string token;
  std::string stream_arn;
  int64_t limit = kRecordsMax;
  std::string secret;
  ShardIterator iterator;
  StreamPtr stream;
  bool moved_to_start = false;
  bool dry_run = false;
};

void Handlers::handle(const Call&, wire::GetRecordsRequest& request,
                      Done<wire::GetRecordsResponse> done) {
  auto read = std::make_shared<Read>(done);
  read->token = std::move(request.shard_iterator);
  read->stream_arn = request.stream_arn.value_or("");
  read->limit = request.limit.value_or(kRecordsMax);
  read->dry_run = request.dry_run.value_or(false);
  state_.with_secret([this, read](const Result<std::string>& secret) {
    if (!secret.ok()) return read->done(to_error(secret.status()));
    read->secret = *secret;
    resolve_iterator(read);
  });
}

void Handlers::resolve_iterator(const std::shared_ptr<Read>& read) {
  auto iterator = open_iterator(read->secret, without_quotes(read->token));
  if (!iterator) return read->done(invalid_iterator());
  read->iterator = *iterator;
  const int64_t now_ms = services_.clock.wall_ms();
  if (now_ms - iterator->issued_ms > kTokenLifeMs) {
    return read->done(expired(iterator->issued_ms, now_ms));
  }
  read->stream = services_.metadata.find(iterator->shard.stream);
  const std::string shard = format_shard_id(iterator->shard.index);
  if (!read->stream) {
    return read->done(no_shard(shard, iterator->stream_name, read->done.caller()));
  }
  if (auto denied = access_.check(read->done.caller(), wire::Operation::kGetRecords,
                                  read->stream->name())) {
    return read->done(*denied);
  }
  if (!read->stream_arn.empty()) {
    auto named = stream_name_of(read->done.caller(), "", read->stream_arn);
    auto* name = std::get_if<std::string>(&named);
    if (!name || *name != read->stream->name()) return read->done(invalid_iterator());
  }
  if (!read->stream->shard(iterator->shard.index)) {
    return read->done(no_shard(shard, read->stream->name(), read->done.caller()));
  }
  if (read->dry_run) return read->done(wire::dry_run_operation());
  read_records(read);
}

void Handlers::read_records(const std::shared_ptr<Read>& read) {
  const auto* shard = read->stream->shard(read->iterator.shard.index);
  if (shard && shard->state() == v1::SHARD_STATE_CLOSED &&
      read->iterator.position.value >= shard->end_offset()) {
    return answer_records(read, nullptr);
  }
  const size_t bytes =
      std::clamp(static_cast<size_t>(read->limit) * kBytesPerRecord, kBytesMin, kBytesMax);
  services_.router().read_within_limits(
      read->iterator.shard, read->iterator.position, read->limit, bytes,
      [this, read](Result<partition::Fetched> fetched) { on_fetched(read, fetched); });
}

void Handlers::on_fetched(const std::shared_ptr<Read>& read,
                          const Result<partition::Fetched>& fetched) {
  if (fetched.ok()) return answer_records(read, &*fetched);
  if (fetched.code() == Code::kOutOfRange && !read->moved_to_start) return on_out_of_range(read);
  if (fetched.code() == Code::kResourceExhausted) {
    return read->done(wire::provisioned_throughput_exceeded(
        "Rate exceeded for shard " + format_shard_id(read->iterator.shard.index) + " in stream " +
        read->stream->name() + " under account " + read->done.caller().account + "."));
  }
  read->done(to_error(fetched.status()));
}

// Records that retention has removed are passed over, as AWS does; a position that is not written
// yet (after the last record) waits.
void Handlers::on_out_of_range(const std::shared_ptr<Read>& read) {
  read->moved_to_start = true;
  services_.router().offsets(read->iterator.shard,
                             [this, read](Result<routing::ShardOffsets> offsets) {
                               if (!offsets.ok()) return read->done(to_error(offsets.status()));
                               if (read->iterator.position >= offsets->high_watermark) {
                                 return answer_records(read, nullptr);
                               }
                               read->iterator.position = offsets->log_start;
                               read_records(read);
                             });
}

namespace {

struct Taken {
  std::vector<wire::Record> records;
  Offset next;
  size_t bytes = 0;  // key and data
  std::optional<int64_t> next_timestamp_ms;  // of the first record that did not fit
};

wire::Record to_record(const cluster::Stream& stream, const v1::Shard& shard,
                       const broker::Record& record, bool encrypted) {
  wire::Record out;
  out.sequence_number = format_sequence_number(sequence_number(stream, shard, record.offset));
  out.approximate_arrival_timestamp_ms = record.timestamp_ms;
  out.data = record.value.value_or("");
  out.partition_key = to_partition_key(record.key);
  if (encrypted) out.encryption_type = wire::EncryptionType::kKms;
  return out;
}

// The records from `from` on, as many as were asked for and fit into an answer.
Result<Taken> take_records(const cluster::Stream& stream, const v1::Shard& shard,
                           const std::vector<Batch>& batches, const ShardIterator& from,
                           int64_t limit) {
  const bool encrypted = !attributes::get(stream, attributes::kEncryptionKey).empty();
  Taken taken;
  taken.next = from.position;
  bool passing_over = from.from_timestamp_ms > 0;
  size_t& bytes = taken.bytes;
  for (const Batch& batch : batches) {
    if (batch.header.end_offset() <= taken.next) continue;
    if (!batch.header.control()) {
      ASSIGN_OR_RETURN(auto it, RecordIterator::open(batch.bytes.view(), kDecompressedMax));
      broker::Record record;
      while (it.next(record)) {
        if (record.offset < taken.next) continue;
        if (passing_over && record.timestamp_ms < from.from_timestamp_ms) continue;
        passing_over = false;
        const size_t size = record.key.value_or("").size() + record.value.value_or("").size();
        if (static_cast<int64_t>(taken.records.size()) == limit ||
            (!taken.records.empty() && bytes + size > kBytesMax)) {
          taken.next = record.offset;
          taken.next_timestamp_ms = record.timestamp_ms;
          return taken;
        }
        bytes += size;
        taken.records.push_back(to_record(stream, shard, record, encrypted));
        taken.next = record.offset + 1;
      }
      RETURN_IF_ERROR(it.status());
    }
    taken.next = batch.header.end_offset();
  }
  return taken;
}

}  // namespace

void Handlers::answer_records(const std::shared_ptr<Read>& read,
                              const partition::Fetched* fetched) {
  const int64_t now_ms = services_.clock.wall_ms();
  // The map may say more than it did when the read began.
  auto stream = services_.metadata.find(read->iterator.shard.stream);
  if (!stream) stream = read->stream;
  const auto* shard = stream->shard(read->iterator.shard.index);
  if (!shard) {
    return read->done(
        no_shard(format_shard_id(read->iterator.shard.index), stream->name(), read->done.caller()));
  }
  Taken taken;
  taken.next = read->iterator.position;
  if (fetched) {
    auto result = take_records(*stream, *shard, fetched->batches, read->iterator, read->limit);
    if (!result.ok()) return read->done(to_error(result.status()));
    taken = std::move(*result);
    throttle_.got(read->done.caller(), taken.bytes);
  }
  wire::GetRecordsResponse response;
  response.millis_behind_latest = 0;
  const bool behind = fetched && taken.next < fetched->high_watermark;
  if (behind) {
    std::optional<int64_t> oldest = taken.next_timestamp_ms;
    if (!oldest && !taken.records.empty()) {
      oldest = taken.records.back().approximate_arrival_timestamp_ms;
    }
    if (oldest) response.millis_behind_latest = std::max<int64_t>(0, now_ms - *oldest);
  }
  const bool passed_over =
      read->iterator.from_timestamp_ms > 0 && taken.records.empty() && !taken.next_timestamp_ms;
  response.records = std::move(taken.records);
  if (shard->state() == v1::SHARD_STATE_CLOSED && taken.next.value >= shard->end_offset()) {
    response.millis_behind_latest = 0;
    response.child_shards = children_of(*stream, *shard);
  } else {
    response.next_shard_iterator =
        seal(read->secret, ShardIterator{read->iterator.shard, taken.next,
                                         passed_over ? read->iterator.from_timestamp_ms : 0, now_ms,
                                         ++iterators_made_, stream->name()});
  }
  read->done(response);
}

}  // namespace broker::handlers::kinesis
