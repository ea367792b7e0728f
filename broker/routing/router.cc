#include "broker/routing/router.h"

#include <algorithm>

#include "broker/base/log.h"

namespace broker::routing {
namespace {

// Request: u8 kind | stream uuid | i32 shard | body. Reply: u8 code | body, or the error's text.
enum class Kind : uint8_t {
  kAppend = 1,
  kRead = 2,
  kOffsets = 3,
  kOffsetAt = 4,
  kAppendWithinLimits = 5,
  kReadWithinLimits = 6,
};
constexpr int64_t kRetryMs = 50;
constexpr int64_t kAnswerMs = 2000;  // offsets and look-ups

std::string request_head(Kind kind, const ShardId& shard) {
  std::string head;
  ByteWriter out(head);
  out.u8(static_cast<uint8_t>(kind));
  out.uuid(shard.stream);
  out.i32(shard.index);
  return head;
}

std::string error_reply(const Status& status) {
  std::string reply(1, static_cast<char>(status.code()));
  return reply + status.message();
}

// The body of a good reply, or the Status that it carries.
Result<Buffer> reply_body(const Result<Buffer>& reply) {
  if (!reply.ok()) return reply.status();
  if (reply->empty()) return Status(Code::kCorruption, "empty reply from a broker");
  auto code = static_cast<uint8_t>(reply->view()[0]);
  if (code > static_cast<uint8_t>(Code::kInternal)) {
    return Status(Code::kCorruption, "unknown code in a broker's reply");
  }
  Buffer body = reply->slice(1, reply->size() - 1);
  if (code == 0) return body;
  return Status(static_cast<Code>(code), std::string(body.view()));
}

Result<partition::Appended> decode_appended(const Result<Buffer>& reply) {
  ASSIGN_OR_RETURN(Buffer body, reply_body(reply));
  ByteReader in(body.view());
  partition::Appended appended;
  appended.base_offset = Offset{in.i64()};
  appended.log_start = Offset{in.i64()};
  appended.records = in.i32();
  if (in.remaining() >= 8) appended.log_append_time_ms = in.i64();  // older brokers do not say
  if (!in.ok()) return Status(Code::kCorruption, "short reply from a broker");
  return appended;
}

Result<partition::Fetched> decode_fetched(const Result<Buffer>& reply) {
  ASSIGN_OR_RETURN(Buffer body, reply_body(reply));
  ByteReader in(body.view());
  partition::Fetched fetched;
  fetched.high_watermark = Offset{in.i64()};
  fetched.log_start = Offset{in.i64()};
  while (in.ok() && in.remaining() > 0) {
    std::string_view rest(in.position(), in.remaining());
    ASSIGN_OR_RETURN(BatchHeader header, parse_batch_header(rest));
    auto size = static_cast<size_t>(header.size);
    if (size > rest.size()) return Status(Code::kCorruption, "short batch from a broker");
    fetched.batches.push_back({header, body.slice(body.size() - rest.size(), size)});
    fetched.bytes += size;
    in.bytes(size);
  }
  if (!in.ok()) return Status(Code::kCorruption, "short reply from a broker");
  return fetched;
}

void reply_fetched(const Result<partition::Fetched>& result,
                   const std::function<void(std::string, std::vector<Buffer>)>& reply) {
  if (!result.ok()) return reply(error_reply(result.status()), {});
  std::string body(1, '\0');
  ByteWriter out(body);
  out.i64(result->high_watermark.value);
  out.i64(result->log_start.value);
  std::vector<Buffer> payload;
  for (auto& batch : result->batches) payload.push_back(batch.bytes);
  reply(std::move(body), std::move(payload));
}

bool not_stored_yet(Code code) { return code == Code::kNotLeader || code == Code::kUnavailable; }

}  // namespace

Router::Router(BrokerId self, env::Clock& clock, env::Executor& executor,
               cluster::Metadata& metadata, partition::Partitions& partitions,
               RequestTransport& transport, cluster::ZoneTraffic* traffic)
    : self_(self),
      clock_(clock),
      executor_(executor),
      metadata_(metadata),
      partitions_(partitions),
      transport_(transport),
      traffic_(traffic) {}

void Router::note_forwarded(BrokerId other, const ShardId& shard, size_t bytes) {
  if (!traffic_) return;
  traffic_->to_broker(other, shard.stream, cluster::TrafficKind::kForwarded, bytes);
}

Result<partition::Fetched> Router::note_fetched(BrokerId from, const ShardId& shard,
                                                Result<partition::Fetched> fetched) {
  if (fetched.ok()) note_forwarded(from, shard, fetched->bytes);
  return fetched;
}

std::optional<BrokerId> Router::leader_of(const ShardId& shard) const {
  if (auto* partition = partitions_.find(shard); partition && partition->is_leader()) return self_;
  const auto* entry = metadata_.find_shard(shard);
  if (!entry || !entry->has_leader()) return std::nullopt;
  return BrokerId{entry->leader()};
}

// Tries `once` until it succeeds, fails for good, or the time is up.
template <class T>
void Router::retrying(int64_t deadline_ms, std::function<void(std::function<void(Result<T>)>)> once,
                      std::function<void(Result<T>)> done) {
  once([this, deadline_ms, once, done](Result<T> result) {
    bool again = !result.ok() && not_stored_yet(result.code()) &&
                 clock_.mono_ms() + kRetryMs < deadline_ms;
    if (!again) {
      done(std::move(result));
      return;
    }
    executor_.schedule_after(kRetryMs, [this, deadline_ms, once, done] {
      retrying<T>(deadline_ms, once, done);
    });
  });
}

void Router::append(const ShardId& shard, Buffer batch, partition::Acks acks, int64_t timeout_ms,
                    partition::AppendDone done) {
  auto once = [this, shard, batch, acks](partition::AppendDone answer) {
    append_at_leader(shard, batch, acks, false, std::move(answer));
  };
  retrying<partition::Appended>(clock_.mono_ms() + timeout_ms, once, std::move(done));
}

void Router::append_within_limits(const ShardId& shard, Buffer batch, int64_t timeout_ms,
                                  partition::AppendDone done) {
  auto once = [this, shard, batch](partition::AppendDone answer) {
    append_at_leader(shard, batch, partition::Acks::kAll, true, std::move(answer));
  };
  retrying<partition::Appended>(clock_.mono_ms() + timeout_ms, once, std::move(done));
}

void Router::append_at_leader(const ShardId& shard, const Buffer& batch, partition::Acks acks,
                              bool within_limits, partition::AppendDone answer) {
  const auto* entry = metadata_.find_shard(shard);
  auto header = parse_batch_header(batch.view());
  bool may_be_repeat = header.ok() && header->idempotent();
  if (entry && entry->state() != cluster::v1::SHARD_STATE_OPEN && !may_be_repeat) {
    // Final: the caller chooses among the children. What may be a repeat, the shard is asked for.
    answer(Status(Code::kPolicyViolation, "the shard is closed; its children take over"));
    return;
  }
  auto leader = leader_of(shard);
  if (!leader) {
    answer(Status(Code::kUnavailable, "the shard has no leader at the moment"));
  } else if (*leader == self_) {
    append_here(shard, batch, acks, within_limits, std::move(answer));
  } else {
    std::string head =
        request_head(within_limits ? Kind::kAppendWithinLimits : Kind::kAppend, shard);
    head.push_back(static_cast<char>(acks));
    note_forwarded(*leader, shard, batch.size());
    transport_.request(*leader, std::move(head), {batch},
                       [answer](Result<Buffer> reply) { answer(decode_appended(reply)); });
  }
}

void Router::append_here(const ShardId& shard, const Buffer& batch, partition::Acks acks,
                         bool within_limits, partition::AppendDone done) {
  auto* partition = partitions_.find(shard);
  if (!partition) {
    done(Status(Code::kNotLeader, "this broker has no replica of the shard"));
  } else if (within_limits) {
    partition->append_within_limits(batch, acks, std::move(done));
  } else {
    partition->append(batch, acks, std::move(done));
  }
}

void Router::read_within_limits(const ShardId& shard, Offset from, int64_t records_max,
                                size_t bytes_max,
                                std::function<void(Result<partition::Fetched>)> done) {
  auto once = [this, shard, from, records_max,
               bytes_max](std::function<void(Result<partition::Fetched>)> answer) {
    auto leader = leader_of(shard);
    if (!leader) {
      answer(Status(Code::kUnavailable, "the shard has no leader at the moment"));
    } else if (*leader == self_) {
      limited_read_here(shard, from, records_max, bytes_max, std::move(answer));
    } else {
      std::string head = request_head(Kind::kReadWithinLimits, shard);
      ByteWriter out(head);
      out.i64(from.value);
      out.i64(records_max);
      out.u32(static_cast<uint32_t>(std::min<size_t>(bytes_max, 32u << 20)));
      transport_.request(*leader, std::move(head), {},
                         [this, answer, shard, from = *leader](Result<Buffer> reply) {
                           answer(note_fetched(from, shard, decode_fetched(reply)));
                         });
    }
  };
  retrying<partition::Fetched>(clock_.mono_ms() + kAnswerMs, once, std::move(done));
}

void Router::load_and_read(const ShardId& shard, Read read,
                           std::function<void(Result<partition::Fetched>)> done) {
  auto once = [this, shard, read = std::move(read)](storage::Load* load) -> Result<partition::Fetched> {
    auto* partition = partitions_.find(shard);
    if (!partition) return Status(Code::kNotLeader, "this broker has no replica of the shard");
    return read(*partition, load);
  };
  storage::Load load{[once, done] { done(once(nullptr)); }};
  auto fetched = once(&load);
  if (!load.started) done(std::move(fetched));
}

void Router::limited_read_here(const ShardId& shard, Offset from, int64_t records_max,
                               size_t bytes_max,
                               std::function<void(Result<partition::Fetched>)> done) {
  load_and_read(
      shard,
      [from, records_max, bytes_max](partition::Partition& partition, storage::Load* load) {
        return partition.read_within_limits(from, records_max, bytes_max, load);
      },
      std::move(done));
}

void Router::read(const ShardId& shard, Offset from, size_t bytes_max, int64_t wait_ms,
                  std::function<void(Result<partition::Fetched>)> done) {
  auto leader = leader_of(shard);
  if (!leader) {
    done(Status(Code::kUnavailable, "the shard has no leader at the moment"));
  } else if (*leader == self_) {
    read_here(shard, from, bytes_max, clock_.mono_ms() + wait_ms, std::move(done));
  } else {
    std::string head = request_head(Kind::kRead, shard);
    ByteWriter out(head);
    out.i64(from.value);
    out.u32(static_cast<uint32_t>(std::min<size_t>(bytes_max, 32u << 20)));
    out.u32(static_cast<uint32_t>(wait_ms));
    transport_.request(*leader, std::move(head), {},
                       [this, done, shard, from = *leader](Result<Buffer> reply) {
                         done(note_fetched(from, shard, decode_fetched(reply)));
                       });
  }
}

void Router::read_here(const ShardId& shard, Offset from, size_t bytes_max, int64_t deadline_ms,
                       std::function<void(Result<partition::Fetched>)> done) {
  load_and_read(
      shard,
      [from, bytes_max](partition::Partition& partition, storage::Load* load) {
        return partition.read(from, bytes_max, false, load);
      },
      [this, shard, from, bytes_max, deadline_ms, done](Result<partition::Fetched> fetched) {
        auto* partition = partitions_.find(shard);
        bool news = !fetched.ok() || !fetched->batches.empty() || !partition || partition->closed();
        if (news || clock_.mono_ms() >= deadline_ms) return done(std::move(fetched));
        wait_and_read(shard, from, bytes_max, deadline_ms, done);
      });
}

void Router::wait_and_read(const ShardId& shard, Offset from, size_t bytes_max, int64_t deadline_ms,
                           std::function<void(Result<partition::Fetched>)> done) {
  // Whichever comes first: news, or the time.
  struct Wait {
    partition::Partition::WaitId id = 0;
    env::TimerId timer = 0;
    bool over = false;
  };
  auto wait = std::make_shared<Wait>();
  auto again = [this, shard, from, bytes_max, deadline_ms, done, wait](bool timed_out) {
    if (std::exchange(wait->over, true)) return;
    executor_.cancel(wait->timer);
    if (auto* p = partitions_.find(shard)) p->cancel_wait(wait->id);
    read_here(shard, from, bytes_max, timed_out ? 0 : deadline_ms, done);
  };
  wait->timer = executor_.schedule_after(deadline_ms - clock_.mono_ms(), [again] { again(true); });
  // Not from inside the partition; which may outlive this router at a stop.
  wait->id = partitions_.find(shard)->wait_past(from, [&executor = executor_, again] {
    executor.post([again] { again(false); });
  });
}

void Router::offsets(const ShardId& shard, std::function<void(Result<ShardOffsets>)> done) {
  auto once = [this, shard](std::function<void(Result<ShardOffsets>)> answer) {
    auto leader = leader_of(shard);
    if (!leader) {
      answer(Status(Code::kUnavailable, "the shard has no leader at the moment"));
    } else if (*leader == self_) {
      answer(offsets_here(shard));
    } else {
      transport_.request(*leader, request_head(Kind::kOffsets, shard), {},
                         [answer](Result<Buffer> reply) {
                           auto body = reply_body(reply);
                           if (!body.ok()) return answer(body.status());
                           ByteReader in(body->view());
                           ShardOffsets offsets;
                           offsets.log_start = Offset{in.i64()};
                           offsets.high_watermark = Offset{in.i64()};
                           offsets.closed = in.u8();
                           answer(offsets);
                         });
    }
  };
  retrying<ShardOffsets>(clock_.mono_ms() + kAnswerMs, once, std::move(done));
}

Result<ShardOffsets> Router::offsets_here(const ShardId& shard) {
  auto* partition = partitions_.find(shard);
  if (!partition) return Status(Code::kNotLeader, "this broker has no replica of the shard");
  RETURN_IF_ERROR(partition->may_read_latest());
  return ShardOffsets{partition->log_start(), partition->high_watermark(), partition->closed()};
}

void Router::offset_at(const ShardId& shard, int64_t timestamp_ms,
                       std::function<void(Result<Offset>)> done) {
  auto once = [this, shard, timestamp_ms](std::function<void(Result<Offset>)> answer) {
    auto leader = leader_of(shard);
    if (!leader) {
      answer(Status(Code::kUnavailable, "the shard has no leader at the moment"));
    } else if (*leader == self_) {
      answer(offset_at_here(shard, timestamp_ms));
    } else {
      std::string head = request_head(Kind::kOffsetAt, shard);
      ByteWriter(head).i64(timestamp_ms);
      transport_.request(*leader, std::move(head), {}, [answer](Result<Buffer> reply) {
        auto body = reply_body(reply);
        if (!body.ok()) return answer(body.status());
        answer(Offset{ByteReader(body->view()).i64()});
      });
    }
  };
  retrying<Offset>(clock_.mono_ms() + kAnswerMs, once, std::move(done));
}

Result<Offset> Router::offset_at_here(const ShardId& shard, int64_t timestamp_ms) {
  auto* partition = partitions_.find(shard);
  if (!partition) return Status(Code::kNotLeader, "this broker has no replica of the shard");
  RETURN_IF_ERROR(partition->may_read_latest());
  ASSIGN_OR_RETURN(auto found, partition->find_timestamp(timestamp_ms));
  if (!found) return partition->high_watermark();
  return std::max(found->base_offset, partition->log_start());  // which may be inside the batch
}

void Router::on_request(const Buffer& request,
                        std::function<void(std::string, std::vector<Buffer>)> reply) {
  ByteReader in(request.view());
  auto kind = static_cast<Kind>(in.u8());
  ShardId shard;
  shard.stream = in.uuid();
  shard.index = in.i32();
  auto refuse = [&](Status status) { reply(error_reply(status), {}); };
  switch (kind) {
    case Kind::kAppend:
    case Kind::kAppendWithinLimits: {
      uint8_t acks = in.u8();
      if (!in.ok() || acks > 2) break;
      // The frame's bytes are shared with whatever came beside it: the batch, alone, is patched.
      Buffer batch = request.slice(request.size() - in.remaining(), in.remaining());
      append_here(shard, batch, static_cast<partition::Acks>(acks),
                  kind == Kind::kAppendWithinLimits, [reply](Result<partition::Appended> result) {
                    if (!result.ok()) return reply(error_reply(result.status()), {});
                    std::string body(1, '\0');
                    ByteWriter out(body);
                    out.i64(result->base_offset.value);
                    out.i64(result->log_start.value);
                    out.i32(result->records);
                    out.i64(result->log_append_time_ms);
                    reply(std::move(body), {});
                  });
      return;
    }
    case Kind::kRead: {
      Offset from{in.i64()};
      size_t bytes_max = in.u32();
      int64_t wait_ms = in.u32();
      if (!in.ok()) break;
      read_here(shard, from, bytes_max, clock_.mono_ms() + wait_ms,
                [reply](Result<partition::Fetched> result) { reply_fetched(result, reply); });
      return;
    }
    case Kind::kReadWithinLimits: {
      Offset from{in.i64()};
      int64_t records_max = in.i64();
      size_t bytes_max = in.u32();
      if (!in.ok()) break;
      limited_read_here(
          shard, from, records_max, bytes_max,
          [reply](Result<partition::Fetched> result) { reply_fetched(result, reply); });
      return;
    }
    case Kind::kOffsets: {
      auto offsets = offsets_here(shard);
      if (!offsets.ok()) return refuse(offsets.status());
      std::string body(1, '\0');
      ByteWriter out(body);
      out.i64(offsets->log_start.value);
      out.i64(offsets->high_watermark.value);
      out.u8(offsets->closed);
      return reply(std::move(body), {});
    }
    case Kind::kOffsetAt: {
      int64_t timestamp_ms = in.i64();
      if (!in.ok()) break;
      auto offset = offset_at_here(shard, timestamp_ms);
      if (!offset.ok()) return refuse(offset.status());
      std::string body(1, '\0');
      ByteWriter(body).i64(offset->value);
      return reply(std::move(body), {});
    }
  }
  refuse(Status(Code::kInvalidArgument, "malformed request from a broker"));
}

}  // namespace broker::routing
