#include "broker/storage/format/frame.h"

#include <algorithm>

#include "broker/base/bytes.h"
#include "broker/base/crc32c.h"

namespace broker::storage {
namespace {
constexpr std::string_view kFileMagic = "SLLG";
constexpr size_t kFrameFileAt = 40;
constexpr uint64_t kWindowBytes = 1 << 20;
}  // namespace

std::string encode_file_header(const FileHeader& header) {
  std::string out;
  ByteWriter w(out);
  w.u32(0);
  w.bytes(kFileMagic);
  w.u16(kLogFormatVersion);
  w.u16(0);
  w.u32(0);
  w.u64(header.file);
  w.u64(header.first_sequence);
  w.u32(header.prev_crc);
  w.u32(0);
  w.uuid(header.directory);
  w.u64(0);
  store_be(out.data(), crc32c(std::string_view(out).substr(4)));
  return out;
}

Result<FileHeader> decode_file_header(std::string_view bytes) {
  ByteReader r(bytes);
  uint32_t crc = r.u32();
  std::string_view magic = r.bytes(4);
  uint16_t version = r.u16();
  if (bytes.size() < kFileHeaderSize || magic != kFileMagic ||
      crc != crc32c(bytes.substr(4, kFileHeaderSize - 4))) {
    return Status(Code::kCorruption, "no log file header");
  }
  if (version != kLogFormatVersion) {
    return Status(Code::kUnsupported, "log file format " + std::to_string(version) +
                                          " is newer than this program (1)");
  }
  r.u16();
  r.u32();
  FileHeader h;
  h.file = r.u64();
  h.first_sequence = r.u64();
  h.prev_crc = r.u32();
  r.u32();
  h.directory = r.uuid();
  return h;
}

uint32_t encode_frame_header(const FrameHeader& h, std::string& out) {
  size_t start = out.size();
  ByteWriter w(out);
  w.u32(0);
  w.u32(h.body_crc);
  w.u32(h.prev_crc);
  w.u32(h.length);
  w.u64(h.sequence);
  w.u64(h.synced);
  w.u64(h.log_id);
  w.u32(h.file);
  w.u8(static_cast<uint8_t>(h.type));
  w.u8(0);
  w.u16(0);
  uint32_t crc = crc32c(std::string_view(out).substr(start + 4));
  store_be(out.data() + start, crc);
  return crc;
}

std::optional<FrameHeader> decode_frame_header(std::string_view bytes) {
  if (bytes.size() < kFrameHeaderSize) return std::nullopt;
  ByteReader r(bytes);
  FrameHeader h;
  h.crc = r.u32();
  if (h.crc != crc32c(bytes.substr(4, kFrameHeaderSize - 4))) return std::nullopt;
  h.body_crc = r.u32();
  h.prev_crc = r.u32();
  h.length = r.u32();
  h.sequence = r.u64();
  h.synced = r.u64();
  h.log_id = r.u64();
  h.file = r.u32();
  h.type = static_cast<FrameType>(r.u8());
  return h;
}

std::string encode_offset_body(Offset offset) {
  std::string out;
  ByteWriter(out).i64(offset.value);
  return out;
}

bool decode_offset_body(std::string_view body, Offset& offset) {
  ByteReader r(body);
  offset = Offset{r.i64()};
  return r.ok() && r.remaining() == 0;
}

std::string encode_state_body(Term term, Term adopted) {
  std::string out;
  ByteWriter w(out);
  w.i32(term.value);
  w.i32(adopted.value);
  return out;
}

bool decode_state_body(std::string_view body, Term& term, Term& adopted) {
  ByteReader r(body);
  term = Term{r.i32()};
  adopted = Term{r.i32()};
  return r.ok() && r.remaining() == 0;
}

std::string encode_create_body(const ShardId& id, Term term, Term adopted) {
  std::string out;
  ByteWriter w(out);
  w.uuid(id.stream);
  w.i32(id.index);
  w.i32(term.value);
  w.i32(adopted.value);
  return out;
}

bool decode_create_body(std::string_view body, ShardId& id, Term& term, Term& adopted) {
  ByteReader r(body);
  id.stream = r.uuid();
  id.index = r.i32();
  term = Term{r.i32()};
  adopted = Term{r.i32()};
  return r.ok() && r.remaining() == 0;
}

Result<std::string_view> FrameScanner::bytes(uint64_t position, uint64_t size) {
  if (position >= size_) return std::string_view();
  size = std::min(size, size_ - position);
  bool inside = position >= window_at_ && position + size <= window_at_ + window_.size();
  if (!inside) {
    window_at_ = position;
    window_.resize(std::min(std::max(size, kWindowBytes), size_ - position));
    ASSIGN_OR_RETURN(size_t got, file_.read_at(position, window_.data(), window_.size()));
    window_.resize(got);
    size = std::min<uint64_t>(size, got);
  }
  return std::string_view(window_).substr(position - window_at_, size);
}

Result<FileHeader> FrameScanner::file_header() {
  ASSIGN_OR_RETURN(std::string_view head, bytes(0, kFileHeaderSize));
  ASSIGN_OR_RETURN(FileHeader header, decode_file_header(head));
  if (header.file != number_) {
    return Status(Code::kCorruption, "the header is of log file " + std::to_string(header.file));
  }
  return header;
}

Result<FrameScanner::Found> FrameScanner::read(uint64_t position, FrameHeader& header,
                                               std::string_view& body) {
  ASSIGN_OR_RETURN(std::string_view head, bytes(position, kFrameHeaderSize));
  auto decoded = decode_frame_header(head);
  if (!decoded || decoded->file != static_cast<uint32_t>(number_)) return Found::kBadHeader;
  header = *decoded;
  ASSIGN_OR_RETURN(std::string_view all, bytes(position, kFrameHeaderSize + header.length));
  if (all.size() < kFrameHeaderSize + header.length) return Found::kBadBody;
  body = all.substr(kFrameHeaderSize);
  return crc32c(body) == header.body_crc ? Found::kFrame : Found::kBadBody;
}

Result<bool> FrameScanner::proves_durable(uint64_t position, uint64_t sequence) {
  char wanted[4];
  store_be(wanted, static_cast<uint32_t>(number_));
  uint64_t at = (position + kFrameAlignment - 1) / kFrameAlignment * kFrameAlignment;
  while (at + kFrameHeaderSize <= size_) {
    ASSIGN_OR_RETURN(std::string_view chunk, bytes(at, std::min(kWindowBytes, size_ - at)));
    if (chunk.size() < kFrameHeaderSize) return false;
    size_t i = 0;
    for (; i + kFrameHeaderSize <= chunk.size(); i += kFrameAlignment) {
      if (std::memcmp(chunk.data() + i + kFrameFileAt, wanted, 4) != 0) continue;
      auto header = decode_frame_header(chunk.substr(i));
      if (header && header->synced >= sequence) return true;
    }
    at += i;
  }
  return false;
}

}  // namespace broker::storage
