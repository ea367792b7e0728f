#include "broker/replication/core/wire.h"

namespace broker::replication {
namespace {

// u8 version | u8 kind | stream uuid | i32 shard index | body
constexpr uint8_t kVersion = 2;
enum class Kind : uint8_t { kAttach = 1, kAttachReply = 2, kAppend = 3, kAppendReply = 4 };

struct Encoder {
  ByteWriter& out;
  std::vector<Buffer>& payload;

  void operator()(const Attach& m) {
    out.i32(m.term.value);
    out.u64(m.attach_id);
  }
  void operator()(const AttachReply& m) {
    out.i32(m.term.value);
    out.u64(m.attach_id);
    out.u8(m.accepted);
    out.i64(m.log_start.value);
    out.i64(m.log_end.value);
    out.i32(static_cast<int32_t>(m.terms.size()));
    for (const auto& entry : m.terms) {
      out.i32(entry.term.value);
      out.i64(entry.start.value);
    }
  }
  void operator()(const Append& m) {
    out.i32(m.term.value);
    out.u64(m.attach_id);
    out.u8(static_cast<uint8_t>(m.first | (m.reset << 1)));
    out.i64(m.base.value);
    out.i64(m.start_end.value);
    out.i64(m.high_watermark.value);
    out.i64(m.log_start.value);
    for (const auto& batch : m.batches) payload.push_back(batch.bytes);
  }
  void operator()(const AppendReply& m) {
    out.i32(m.term.value);
    out.u64(m.attach_id);
    out.i64(m.durable_end.value);
    out.u8(static_cast<uint8_t>(m.adopted | (m.reattach << 1) | (m.full << 2)));
    out.i64(m.log_start.value);
  }
};

Kind kind_of(const Message& message) { return static_cast<Kind>(message.index() + 1); }

Attach decode_attach(ByteReader& in) {
  Attach m;
  m.term = Term{in.i32()};
  m.attach_id = in.u64();
  return m;
}

AttachReply decode_attach_reply(ByteReader& in) {
  AttachReply m;
  m.term = Term{in.i32()};
  m.attach_id = in.u64();
  m.accepted = in.u8();
  m.log_start = Offset{in.i64()};
  m.log_end = Offset{in.i64()};
  int32_t count = in.i32();
  if (count < 0 || static_cast<size_t>(count) > in.remaining() / 12) {
    in.fail();
    return m;
  }
  m.terms.reserve(static_cast<size_t>(count));
  for (int32_t i = 0; i < count; i++) {
    Term term{in.i32()};
    m.terms.push_back({term, Offset{in.i64()}});
  }
  return m;
}

Result<Append> decode_append(ByteReader& in, const Buffer& frame) {
  Append m;
  m.term = Term{in.i32()};
  m.attach_id = in.u64();
  uint8_t flags = in.u8();
  m.first = flags & 1;
  m.reset = flags & 2;
  m.base = Offset{in.i64()};
  m.start_end = Offset{in.i64()};
  m.high_watermark = Offset{in.i64()};
  m.log_start = Offset{in.i64()};
  if (!in.ok()) return Status(Code::kCorruption, "short append");
  Offset expected = m.base;
  while (in.remaining() > 0) {
    std::string_view rest(in.position(), in.remaining());
    ASSIGN_OR_RETURN(BatchHeader header, parse_batch_header(rest));
    auto size = static_cast<size_t>(header.size);
    if (size > rest.size()) return Status(Code::kCorruption, "append ends inside a batch");
    if (header.base_offset != expected) {
      return Status(Code::kCorruption, "append has offset " +
                                           std::to_string(header.base_offset.value) + " after " +
                                           std::to_string(expected.value));
    }
    if (!batch_crc_matches(rest.substr(0, size))) {
      return Status(Code::kCorruption, "batch checksum");
    }
    size_t at = static_cast<size_t>(in.position() - frame.data());
    m.batches.push_back({header, frame.slice(at, size)});
    expected = header.end_offset();
    in.bytes(size);
  }
  return m;
}

AppendReply decode_append_reply(ByteReader& in) {
  AppendReply m;
  m.term = Term{in.i32()};
  m.attach_id = in.u64();
  m.durable_end = Offset{in.i64()};
  uint8_t flags = in.u8();
  m.adopted = flags & 1;
  m.reattach = flags & 2;
  m.full = flags & 4;
  m.log_start = Offset{in.i64()};
  return m;
}

}  // namespace

void encode_message(const ShardId& shard, const Message& message, std::string& head,
                    std::vector<Buffer>& payload) {
  ByteWriter out(head);
  out.u8(kVersion);
  out.u8(static_cast<uint8_t>(kind_of(message)));
  out.uuid(shard.stream);
  out.i32(shard.index);
  std::visit(Encoder{out, payload}, message);
}

Result<Decoded> decode_message(const Buffer& frame) {
  ByteReader in(frame.view());
  uint8_t version = in.u8();
  if (version != kVersion) {
    return Status(Code::kUnsupported, "replication message version " + std::to_string(version));
  }
  uint8_t kind = in.u8();
  Decoded decoded;
  decoded.shard.stream = in.uuid();
  decoded.shard.index = in.i32();
  switch (static_cast<Kind>(kind)) {
    case Kind::kAttach: decoded.message = decode_attach(in); break;
    case Kind::kAttachReply: decoded.message = decode_attach_reply(in); break;
    case Kind::kAppend: {
      ASSIGN_OR_RETURN(auto append, decode_append(in, frame));
      decoded.message = std::move(append);
      break;
    }
    case Kind::kAppendReply: decoded.message = decode_append_reply(in); break;
    default: return Status(Code::kCorruption, "replication message kind " + std::to_string(kind));
  }
  if (!in.ok() || in.remaining() > 0) {
    return Status(Code::kCorruption, "replication message of kind " + std::to_string(kind) +
                                         " has a wrong length");
  }
  return decoded;
}

}  // namespace broker::replication
