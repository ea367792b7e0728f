#include "broker/storage/format/checkpoint.h"

#include "broker/base/bytes.h"
#include "broker/base/crc32c.h"

namespace broker::storage {
namespace {
constexpr uint16_t kVersion = 1;

// {crc of the rest, magic, version, flags} and a body.
std::string wrap(std::string_view magic, uint16_t flags, std::string_view body) {
  std::string out;
  ByteWriter w(out);
  w.u32(0);
  w.bytes(magic);
  w.u16(kVersion);
  w.u16(flags);
  w.bytes(body);
  store_be(out.data(), crc32c(std::string_view(out).substr(4)));
  return out;
}

Result<std::string_view> unwrap(std::string_view bytes, std::string_view magic, uint16_t& flags) {
  ByteReader r(bytes);
  uint32_t crc = r.u32();
  if (r.bytes(4) != magic || crc != crc32c(bytes.substr(4))) {
    return Status(Code::kCorruption, "checksum or magic does not match");
  }
  uint16_t version = r.u16();
  flags = r.u16();
  if (!r.ok()) return Status(Code::kCorruption, "shorter than its header");
  if (version != kVersion) {
    return Status(Code::kUnsupported, "format " + std::to_string(version) +
                                          " is newer than this program (1)");
  }
  return bytes.substr(12);
}

void encode_shard(ByteWriter& w, const CheckpointShard& s) {
  w.uuid(s.id.stream);
  w.i32(s.id.index);
  w.u64(s.log_id);
  w.i32(s.state.term.value);
  w.i32(s.state.adopted_term.value);
  w.i64(s.log_start.value);
  w.i64(s.log_end.value);
  w.u32(static_cast<uint32_t>(s.terms.size()));
  for (const TermStart& t : s.terms) {
    w.i32(t.term.value);
    w.i64(t.start.value);
  }
  w.u32(static_cast<uint32_t>(s.snapshots.size()));
  for (const Snapshot& snapshot : s.snapshots) {
    w.i64(snapshot.at.value);
    w.u32(static_cast<uint32_t>(snapshot.blob.size()));
    w.bytes(snapshot.blob);
  }
  w.u32(static_cast<uint32_t>(s.quarantine.size()));
  w.bytes(s.quarantine);
}

CheckpointShard decode_shard(ByteReader& r) {
  CheckpointShard s;
  s.id.stream = r.uuid();
  s.id.index = r.i32();
  s.log_id = r.u64();
  s.state.term = Term{r.i32()};
  s.state.adopted_term = Term{r.i32()};
  s.log_start = Offset{r.i64()};
  s.log_end = Offset{r.i64()};
  for (uint32_t n = r.u32(); n > 0 && r.ok(); n--) {
    Term term{r.i32()};
    s.terms.push_back({term, Offset{r.i64()}});
  }
  for (uint32_t n = r.u32(); n > 0 && r.ok(); n--) {
    Offset at{r.i64()};
    uint32_t size = r.u32();
    s.snapshots.push_back({at, std::string(r.bytes(size))});
  }
  uint32_t size = r.u32();
  s.quarantine = std::string(r.bytes(size));
  return s;
}
}  // namespace

std::string encode_checkpoint(const Checkpoint& c) {
  std::string body;
  ByteWriter w(body);
  w.u64(c.replay_from);
  w.u64(c.next_sequence);
  w.u64(c.next_log_id);
  w.u32(static_cast<uint32_t>(c.shards.size()));
  for (const CheckpointShard& s : c.shards) encode_shard(w, s);
  return wrap("SLCP", c.clean ? 1 : 0, body);
}

Result<Checkpoint> decode_checkpoint(std::string_view bytes) {
  uint16_t flags = 0;
  ASSIGN_OR_RETURN(std::string_view body, unwrap(bytes, "SLCP", flags));
  ByteReader r(body);
  Checkpoint c;
  c.clean = flags & 1;
  c.replay_from = r.u64();
  c.next_sequence = r.u64();
  c.next_log_id = r.u64();
  for (uint32_t n = r.u32(); n > 0 && r.ok(); n--) c.shards.push_back(decode_shard(r));
  if (!r.ok() || r.remaining() > 0) return Status(Code::kCorruption, "lengths do not add up");
  return c;
}

std::string encode_meta(const Meta& meta) {
  std::string body;
  ByteWriter w(body);
  w.uuid(meta.directory);
  w.i32(meta.broker.value);
  return wrap("SLMT", 0, body);
}

Result<Meta> decode_meta(std::string_view bytes) {
  uint16_t flags = 0;
  ASSIGN_OR_RETURN(std::string_view body, unwrap(bytes, "SLMT", flags));
  ByteReader r(body);
  Meta meta;
  meta.directory = r.uuid();
  meta.broker = BrokerId{r.i32()};
  if (!r.ok()) return Status(Code::kCorruption, "shorter than its fields");
  return meta;
}

}  // namespace broker::storage
