// The write pipeline of one map: at most one write under way; edits that arrive meanwhile go out
// together in the next. Conflict, time-out and every other failure are handled alike (rule 1): read
// the map, see whether our write is in it, else apply the edits to what is there.
#include <google/protobuf/util/message_differencer.h>

#include "broker/base/log.h"
#include "broker/coordination/core.h"

namespace broker::coordination {
namespace {

constexpr int64_t kRetryMs = 100;
constexpr int64_t kRetryMsMax = 2000;

int64_t backoff(int failures) {
  return std::min<int64_t>(kRetryMs << std::min(failures, 5), kRetryMsMax);
}

std::string_view result_name(const Status& status) {
  if (status.ok()) return "ok";
  if (status.code() == Code::kConflict) return "conflict";
  if (status.code() == Code::kTimeout) return "timeout";
  return "error";
}

}  // namespace

void Core::queue(Stream& stream, Edit edit) {
  stream.queued.push_back(std::move(edit));
}

void Core::flush(Stream& stream) {
  if (stream.writing || stream.retry_ms >= 0 || stream.queued.empty()) return;
  std::vector<Edit> edits = std::move(stream.queued);
  stream.queued.clear();
  stream.next = stream.map;
  stream.next.set_generation(stream.map.generation() + 1);
  metering::accrue(stream.next, clock_.wall_ms());
  std::vector<std::pair<Edit, Status>> refused;
  for (auto& edit : edits) {
    Status status = edit.apply(stream.next);
    if (status.ok()) {
      stream.inflight.push_back(std::move(edit));
    } else {
      refused.emplace_back(std::move(edit), status);
    }
  }
  if (!stream.inflight.empty()) {
    if (!stream.next.has_metering()) metering::accrue(stream.next, clock_.wall_ms());
    Status sane = check_map(stream.next, stream.stored() ? &stream.map : nullptr);
    if (!sane.ok()) {
      log_error("coordinator", "an edit would break the map, it is refused",
                {{"stream", stream.next.stream()},
                 {"edit", stream.inflight.front().what},
                 {"error", sane.message()}});
      for (auto& edit : stream.inflight) refused.emplace_back(std::move(edit), sane);
      stream.inflight.clear();
    }
  }
  if (!stream.inflight.empty()) {
    stream.writing = true;
    store_.write_map(stream.next, stream.version,
                     [this, id = stream.next.stream_id(), alive = alive_](Result<std::string> v) {
                       if (*alive) written(id, std::move(v));
                     });
  }
  for (auto& [edit, status] : refused) {
    if (edit.done) edit.done(status);
  }
}

void Core::written(const std::string& id, Result<std::string> version) {
  observer_->metadata_written(result_name(version.status()));
  Stream* stream = find_stream_by_id(id);
  CHECK(stream);
  stream->writing = false;
  if (version.ok()) {
    accepted(*stream, std::move(*version));
  } else {
    if (version.code() != Code::kConflict) {
      log_warn("coordinator", "a metadata write failed",
               {{"stream", stream->next.stream()}, {"error", version.status().to_string()}});
    }
    read_again(*stream);
  }
  settle();
}

void Core::accepted(Stream& stream, std::string version) {
  stream.map = std::move(stream.next);
  stream.next.Clear();
  stream.version = std::move(version);
  stream.failures = 0;
  stream.dirty = true;
  streams_dirty_ = true;
  something_changed_ = true;
  push_map(stream);
  std::vector<Edit> edits = std::move(stream.inflight);
  stream.inflight.clear();
  for (auto& edit : edits) {
    if (edit.done) edit.done(Status());
  }
}

void Core::read_again(Stream& stream) {
  stream.retry_ms = -1;
  stream.writing = true;
  const ShardMap& names = stream.stored() ? stream.map : stream.next;
  store_.read_map(
      names.stream_id(), names.stream(),
      [this, id = names.stream_id(), alive = alive_](Result<std::optional<StoredMap>> stored) {
        if (*alive) read_back(id, std::move(stored));
      });
}

void Core::read_back(const std::string& id, Result<std::optional<StoredMap>> stored) {
  Stream* stream = find_stream_by_id(id);
  CHECK(stream);
  stream->writing = false;
  if (!stored.ok()) {
    stream->retry_ms = now() + backoff(stream->failures++);
    return settle();
  }
  if (!stored->has_value()) {
    if (stream->stored()) {
      map_vanished(*stream);
      return settle();
    }
    // Our creation did not get there: the same map again, a little later.
    stream->retry_ms = now() + backoff(stream->failures++);
  } else if (google::protobuf::util::MessageDifferencer::Equals((*stored)->map, stream->next)) {
    accepted(*stream, std::move((*stored)->version));
    return settle();
  } else if ((*stored)->map.stream_id() != id) {
    // Another stream has the name: a creation by the process before, which was carried out after this
    // one had looked.
    map_vanished(*stream);
    if (!find_stream_by_id((*stored)->map.stream_id())) {
      Stream& other = take_in(std::move(**stored));
      other.dirty = true;
      push_map(other);
      log_info("coordinator", "stream found",
               {{"stream", other.name}, {"id", other.map.stream_id()}});
    }
    return settle();
  } else {
    stream->map = std::move((*stored)->map);
    stream->version = std::move((*stored)->version);
    stream->dirty = true;
    something_changed_ = true;
    push_map(*stream);
    if (stream->failures++ > 0) stream->retry_ms = now() + backoff(stream->failures);
  }
  // What had not been written goes first, then what has come since.
  std::vector<Edit> edits = std::move(stream->inflight);
  stream->inflight.clear();
  for (auto& edit : stream->queued) edits.push_back(std::move(edit));
  stream->queued = std::move(edits);
  settle();
}

void Core::map_vanished(Stream& stream) {
  log_warn("coordinator", "a map was removed by somebody else",
           {{"stream", stream.stored() ? stream.map.stream() : stream.next.stream()}});
  const std::string id = stream.stored() ? stream.map.stream_id() : stream.next.stream_id();
  std::vector<Edit> edits = std::move(stream.inflight);
  for (auto& edit : stream.queued) edits.push_back(std::move(edit));
  stream.inflight.clear();
  stream.queued.clear();
  for (auto& edit : edits) {
    if (edit.done) edit.done(Status(Code::kNotFound, "the stream is gone"));
  }
  if (stream.stored()) {
    metering::fold(ledger_, stream.map, clock_.wall_ms());
    ledger_dirty_ = true;
  }
  forget_stream(id);
}

void Core::retry_reads() {
  for (auto& [id, stream] : streams_) {
    if (stream.retry_ms < 0 || stream.writing || now() < stream.retry_ms) continue;
    // A read that failed is made again; after a successful one only the edits were waiting.
    stream.retry_ms = -1;
    if (!stream.inflight.empty()) read_again(stream);
  }
}

}  // namespace broker::coordination
