#include "broker/handlers/grpc/subscribe.h"

#include <algorithm>
#include <set>

#include "broker/model/records.h"
#include "broker/model/sequence_number.h"

namespace broker::handlers::grpc {

namespace {

constexpr int64_t kFirstCredit = 1 << 20;
constexpr size_t kReadBytes = 256 * 1024;
constexpr size_t kEventBytes = 256 * 1024;
// Bytes that wait for the transport; a client with much credit and a slow line costs no more.
constexpr size_t kUnsentBytesMax = 4 << 20;
constexpr size_t kDecompressedBytesMax = 64 << 20;
constexpr int64_t kReadWaitMs = 5'000;
constexpr int64_t kBackoffMinMs = 20, kBackoffMaxMs = 500;

void fill(v1::Record& out, const Record& record) {
  if (record.key) out.set_key(record.key->data(), record.key->size());
  if (record.value) out.set_value(record.value->data(), record.value->size());
  out.set_timestamp_ms(record.timestamp_ms);
  out.set_offset(record.offset.value);
  for (const RecordHeader& header : record.headers) {
    auto* to = out.add_headers();
    to->set_key(header.key.data(), header.key.size());
    if (header.value) to->set_value(header.value->data(), header.value->size());
  }
}

bool keeps_trying(Code code) { return is_retriable(code) || code == Code::kTimeout; }

}  // namespace

SubscribeFlow::SubscribeFlow(const Context& context, Output output)
    : context_(context), output_(std::move(output)) {}

void SubscribeFlow::on_request(const v1::SubscribeRequest& request) {
  if (ended_) return;
  if (request.credit_bytes() < 0) {
    return finish(Status(Code::kInvalidArgument, "credit_bytes must not be negative"));
  }
  if (started_) {
    if (request.positions_size() > 0 ||
        (!request.stream().empty() && request.stream() != request_.stream())) {
      return finish(Status(Code::kInvalidArgument,
                           "later requests only give credit: open another call instead"));
    }
    credit_ += request.credit_bytes();
    return send_ready();
  }
  started_ = true;
  request_ = request;
  credit_ = request.credit_bytes() == 0 ? kFirstCredit : request.credit_bytes();
  if (request.stream().empty()) {
    return finish(Status(Code::kInvalidArgument, "the first SubscribeRequest must name its stream"));
  }
  begin(context_.clock.mono_ms() + kUnknownStreamGraceMs);
}

void SubscribeFlow::begin(int64_t give_up_ms) {
  if (ended_) return;
  stream_ = context_.metadata.find(request_.stream());
  if (!stream_) {
    if (context_.clock.mono_ms() >= give_up_ms) return finish(unknown_stream(request_.stream()));
    context_.executor.schedule_after(kUnknownStreamPollMs, [self = shared_from_this(), give_up_ms] {
      self->begin(give_up_ms);
    });
    return;
  }
  watch_ = context_.watch.add(stream_->id, [weak = weak_from_this()] {
    if (auto self = weak.lock()) self->on_stream_changed();
  });
  if (add_readers()) start_waiting();
}

void SubscribeFlow::cancel() {
  if (ended_) return;
  ended_ = true;
  if (watch_) context_.watch.remove(watch_);
  readers_.clear();
  ready_.clear();
}

void SubscribeFlow::finish(const Status& status) {
  if (ended_) return;
  cancel();
  output_.finish(status);
}

void SubscribeFlow::on_half_close() {
  half_closed_ = true;
  if (!ended_ && !started_) finish(Status(Code::kInvalidArgument, "no SubscribeRequest was sent"));
  if (!ended_ && credit_ <= 0) finish(Status());
}

void SubscribeFlow::on_sent(size_t bytes) {
  unsent_bytes_ -= std::min(bytes, unsent_bytes_);
  if (!ended_) send_ready();
}

std::string SubscribeFlow::name_of(const Reader& reader) const {
  return "shard " + std::to_string(reader.index) + " of stream '" + stream_->name() + "'";
}

// ---- which shards ----

// Adds the shards asked for: those named, or all. False when the call has ended.
bool SubscribeFlow::add_readers() {
  for (const auto& position : request_.positions()) {
    if (!stream_->shard(position.shard())) {
      finish(Status(Code::kNotFound, "stream '" + stream_->name() + "' has no shard " +
                                         std::to_string(position.shard())));
      return false;
    }
    if (!add_reader(position)) {
      finish(Status(Code::kInvalidArgument,
                    "shard " + std::to_string(position.shard()) + " is named twice"));
      return false;
    }
  }
  if (request_.positions().empty()) {
    for (const auto& shard : stream_->map.shards()) {
      v1::ShardPosition from;
      from.set_shard(shard.index());
      from.set_earliest(true);
      add_reader(from);
    }
  }
  return true;
}

bool SubscribeFlow::add_reader(const v1::ShardPosition& from) {
  auto [it, added] = readers_.try_emplace(from.shard());
  if (!added) return false;
  it->second.index = from.shard();
  it->second.from = from;
  return true;
}

void SubscribeFlow::on_stream_changed() {
  if (ended_) return;
  auto stream = context_.metadata.find(stream_->id);
  if (!stream) {
    return finish(Status(Code::kNotFound, "stream '" + stream_->name() + "' was deleted"));
  }
  stream_ = std::move(stream);
  // Partitions that were added to a stream that is read as a whole.
  if (request_.positions().empty() && !stream_->elastic()) add_readers();
  // Ending the last shard ends the call, and its readers with it: over a copy of the indexes.
  std::vector<int32_t> done;
  for (const auto& [index, reader] : readers_) {
    if (reader.stage == Stage::kReading && at_end(reader)) done.push_back(index);
  }
  for (int32_t index : done) {
    if (auto it = readers_.find(index); it != readers_.end()) advance(it->second);
  }
  start_waiting();
}

void SubscribeFlow::start_waiting() {
  // Ending one may add and start others: over a copy of the indexes.
  std::vector<int32_t> waiting;
  for (const auto& [index, reader] : readers_) {
    if (reader.stage == Stage::kWaiting) waiting.push_back(index);
  }
  for (int32_t index : waiting) {
    if (ended_) return;
    auto it = readers_.find(index);
    if (it == readers_.end() || it->second.stage != Stage::kWaiting || !may_start(index)) continue;
    it->second.stage = Stage::kResolving;
    resolve(it->second);
  }
}

bool SubscribeFlow::may_start(int32_t index) const {
  if (!request_.follow_children()) return true;
  std::set<int32_t> seen;
  std::vector<int32_t> open = {index};
  while (!open.empty()) {
    const auto* shard = stream_->shard(open.back());
    open.pop_back();
    if (!shard) continue;
    for (int32_t parent : shard->parents()) {
      if (!seen.insert(parent).second) continue;
      auto it = readers_.find(parent);
      if (it != readers_.end() && it->second.stage != Stage::kEnded) return false;
      open.push_back(parent);
    }
  }
  return true;
}

// ---- where to begin ----

template <class T>
std::function<void(Result<T>)> SubscribeFlow::on_reactor(
    int32_t index, void (SubscribeFlow::*then)(int32_t, Result<T>)) {
  return [&executor = context_.executor, weak = weak_from_this(), index, then](Result<T> result) {
    executor.post([weak, index, then, result = std::move(result)]() mutable {
      auto self = weak.lock();
      if (self && !self->ended_) ((*self).*then)(index, std::move(result));
    });
  };
}

void SubscribeFlow::resolve(Reader& reader) {
  context_.shards.offsets(id_of(reader),
                          on_reactor(reader.index, &SubscribeFlow::on_offsets));
}

void SubscribeFlow::on_offsets(int32_t index, Result<routing::ShardOffsets> offsets) {
  Reader& reader = readers_.at(index);
  if (!offsets.ok()) {
    if (keeps_trying(offsets.code())) return later(reader, &SubscribeFlow::resolve);
    return finish(offsets.status().with_context(name_of(reader)));
  }
  reader.high_watermark = offsets->high_watermark;
  switch (reader.from.from_case()) {
    case v1::ShardPosition::kLatest:
      return begin_at(reader, offsets->high_watermark);
    case v1::ShardPosition::kTimestampMs:
      return ask_timestamp(reader);
    case v1::ShardPosition::kSequenceNumber: {
      auto wanted = offset_of(reader);
      if (!wanted.ok()) return finish(wanted.status());
      if (*wanted >= offsets->log_start && *wanted <= offsets->high_watermark) {
        return begin_at(reader, *wanted);
      }
      return refuse_offset(reader, *wanted, *offsets);
    }
    case v1::ShardPosition::kOffset: {
      Offset wanted{reader.from.offset()};
      if (wanted < offsets->log_start || wanted > offsets->high_watermark) {
        return refuse_offset(reader, wanted, *offsets);
      }
      return begin_at(reader, wanted);
    }
    case v1::ShardPosition::kEarliest:
    case v1::ShardPosition::FROM_NOT_SET:
      return begin_at(reader, offsets->log_start);
  }
}

Result<Offset> SubscribeFlow::offset_of(const Reader& reader) const {
  auto number = parse_sequence_number(reader.from.sequence_number());
  const auto* shard = stream_->shard(reader.index);
  if (!number || !shard || number->stream_hash != sequence_stream_hash(stream_->id) ||
      number->shard != reader.index ||
      number->generation != static_cast<uint64_t>(shard->opened_generation())) {
    return Status(Code::kInvalidArgument, "sequence number '" + reader.from.sequence_number() +
                                              "' names no record of " + name_of(reader));
  }
  return Offset{std::max<int64_t>(static_cast<int64_t>(number->place) - 1, 0)};
}

void SubscribeFlow::refuse_offset(const Reader& reader, Offset wanted,
                                  const routing::ShardOffsets& offsets) {
  finish(Status(Code::kOutOfRange,
                "offset " + std::to_string(wanted.value) + " is not in " + name_of(reader) +
                    ": it has " + std::to_string(offsets.log_start.value) + ".." +
                    std::to_string(offsets.high_watermark.value)));
}

void SubscribeFlow::ask_timestamp(Reader& reader) {
  context_.shards.offset_at(id_of(reader), reader.from.timestamp_ms(),
                            on_reactor(reader.index, &SubscribeFlow::on_offset_at));
}

void SubscribeFlow::on_offset_at(int32_t index, Result<Offset> offset) {
  Reader& reader = readers_.at(index);
  if (offset.ok()) return begin_at(reader, *offset);
  if (keeps_trying(offset.code())) return later(reader, &SubscribeFlow::ask_timestamp);
  finish(offset.status().with_context(name_of(reader)));
}

void SubscribeFlow::begin_at(Reader& reader, Offset position) {
  reader.stage = Stage::kReading;
  reader.position = position;
  reader.backoff_ms = 0;
  advance(reader);
}

void SubscribeFlow::later(Reader& reader, void (SubscribeFlow::*next)(Reader&)) {
  reader.backoff_ms = std::clamp(reader.backoff_ms * 2, kBackoffMinMs, kBackoffMaxMs);
  context_.executor.schedule_after(reader.backoff_ms,
                                   [weak = weak_from_this(), index = reader.index, next] {
                                     auto self = weak.lock();
                                     if (!self || self->ended_) return;
                                     ((*self).*next)(self->readers_.at(index));
                                   });
}

// ---- reading ----

// Takes the next step of a shard whose fetched batches have all gone out.
void SubscribeFlow::advance(Reader& reader) {
  if (ended_ || reader.stage != Stage::kReading || reader.ready) return;
  if (!reader.caught_up && reader.position >= reader.high_watermark) {
    reader.caught_up = true;
    v1::SubscribeResponse event;
    event.set_caught_up(reader.index);
    send(std::move(event), 0);
  }
  if (at_end(reader)) return end_shard(reader);
  read(reader);
}

bool SubscribeFlow::at_end(const Reader& reader) const {
  const auto* shard = stream_->shard(reader.index);
  if (!shard) return true;  // closed, and its retention has passed
  return shard->state() == v1::SHARD_STATE_CLOSED && reader.position.value >= shard->end_offset();
}

void SubscribeFlow::read(Reader& reader) {
  if (reader.reading || reader.stage != Stage::kReading) return;
  reader.reading = true;
  reader.read_began_ms = context_.clock.mono_ms();
  context_.shards.read(id_of(reader), reader.position, kReadBytes, kReadWaitMs,
                       on_reactor(reader.index, &SubscribeFlow::on_read));
}

void SubscribeFlow::on_read(int32_t index, Result<partition::Fetched> fetched) {
  Reader& reader = readers_.at(index);
  reader.reading = false;
  if (reader.stage != Stage::kReading) return;  // its end was learned meanwhile
  if (!fetched.ok()) {
    if (fetched.code() == Code::kOutOfRange) return out_of_range(reader);
    if (at_end(reader)) return advance(reader);
    if (keeps_trying(fetched.code())) return later(reader, &SubscribeFlow::read);
    return finish(fetched.status().with_context(name_of(reader)));
  }
  reader.high_watermark = std::max(reader.high_watermark, fetched->high_watermark);
  if (fetched->batches.empty()) {
    // Woken without records, by a new leader or at the end of a sealed shard.
    bool waited = context_.clock.mono_ms() - reader.read_began_ms >= kBackoffMinMs;
    if (waited || at_end(reader)) return advance(reader);
    return later(reader, &SubscribeFlow::advance);
  }
  reader.backoff_ms = 0;
  for (Batch& batch : fetched->batches) reader.batches.push_back(std::move(batch));
  reader.ready = true;
  ready_.push_back(index);
  send_ready();
}

// The valid range may have moved since: names it as it is now. A shard asked for from its earliest
// record begins again when retention was quicker.
void SubscribeFlow::out_of_range(Reader& reader) {
  if (at_end(reader)) return advance(reader);
  bool from_earliest = reader.from.from_case() == v1::ShardPosition::kEarliest ||
                       reader.from.from_case() == v1::ShardPosition::FROM_NOT_SET;
  if (from_earliest && !reader.sent_any) {
    reader.stage = Stage::kResolving;
    return later(reader, &SubscribeFlow::resolve);
  }
  auto then = [weak = weak_from_this(), index = reader.index](Result<routing::ShardOffsets> now) {
    auto self = weak.lock();
    if (!self || self->ended_) return;
    Reader& reader = self->readers_.at(index);
    if (now.ok()) return self->refuse_offset(reader, reader.position, *now);
    self->finish(Status(Code::kOutOfRange, "offset " + std::to_string(reader.position.value) +
                                               " is no longer in " + self->name_of(reader)));
  };
  context_.shards.offsets(id_of(reader), then);
}

void SubscribeFlow::end_shard(Reader& reader) {
  reader.stage = Stage::kEnded;
  v1::SubscribeResponse event;
  auto* end = event.mutable_shard_end();
  end->set_shard(reader.index);
  if (const auto* shard = stream_->shard(reader.index)) {
    *end->mutable_children() = shard->children();
  }
  const std::vector<int32_t> children(end->children().begin(), end->children().end());
  send(std::move(event), 0);
  if (request_.follow_children()) {
    for (int32_t child : children) {
      v1::ShardPosition from;
      from.set_shard(child);
      from.set_earliest(true);
      add_reader(from);
    }
    start_waiting();
  }
  bool all_ended = std::all_of(readers_.begin(), readers_.end(), [](const auto& entry) {
    return entry.second.stage == Stage::kEnded;
  });
  if (all_ended) finish(Status());
}

// ---- sending ----

void SubscribeFlow::send_ready() {
  while (!ended_ && !ready_.empty() && credit_ > 0 && unsent_bytes_ < kUnsentBytesMax) {
    Reader& reader = readers_.at(ready_.front());
    ready_.pop_front();
    if (Status status = send_records(reader); !status.ok()) {
      return finish(status.with_context(name_of(reader)));
    }
    if (!reader.batches.empty()) {
      ready_.push_back(reader.index);
      continue;
    }
    reader.ready = false;
    advance(reader);
  }
  if (!ended_ && half_closed_ && credit_ <= 0) finish(Status());
}

Status SubscribeFlow::send_records(Reader& reader) {
  v1::SubscribeResponse event;
  auto* records = event.mutable_records();
  RETURN_IF_ERROR(take_records(reader, *records));
  if (records->records().empty()) return {};  // control batches only
  records->set_shard(reader.index);
  records->set_high_watermark(reader.high_watermark.value);
  records->set_next_offset(reader.position.value);
  size_t bytes = records->ByteSizeLong();
  context_.metrics.subscribe_records.Increment(records->records_size());
  context_.metrics.subscribe_bytes.Increment(static_cast<double>(bytes));
  reader.sent_any = true;
  send(std::move(event), bytes);
  return {};
}

// Moves records out of the fetched batches until the event is full, and the position with them.
Status SubscribeFlow::take_records(Reader& reader, v1::ShardRecords& out) {
  size_t bytes = 0;
  while (!reader.batches.empty() && bytes < kEventBytes &&
         static_cast<int64_t>(bytes) < credit_) {
    Batch batch = std::move(reader.batches.front());
    reader.batches.pop_front();
    bytes += batch.bytes.size();
    if (batch.header.end_offset() <= reader.position) continue;
    if (!batch.header.control()) {
      ASSIGN_OR_RETURN(auto it, RecordIterator::open(batch.bytes.view(), kDecompressedBytesMax));
      Record record;
      while (it.next(record)) {
        if (record.offset < reader.position) continue;
        fill(*out.add_records(), record);
        if (!request_.sequence_numbers()) continue;
        const auto* shard = stream_->shard(reader.index);
        auto number = sequence_number_of(stream_->id, reader.index,
                                         shard ? shard->opened_generation() : 0, record.offset);
        out.mutable_records(out.records_size() - 1)
            ->set_sequence_number(format_sequence_number(number));
      }
      RETURN_IF_ERROR(it.status());
    }
    reader.position = batch.header.end_offset();
  }
  return {};
}

void SubscribeFlow::send(v1::SubscribeResponse event, size_t bytes) {
  credit_ -= static_cast<int64_t>(bytes);
  unsent_bytes_ += bytes;
  output_.send(std::move(event), bytes);
}

}  // namespace broker::handlers::grpc
