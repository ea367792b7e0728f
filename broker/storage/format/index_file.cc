#include "broker/storage/format/index_file.h"

#include "broker/base/bytes.h"
#include "broker/base/crc32c.h"

namespace broker::storage {
namespace {
constexpr std::string_view kMagic = "SLIX";
constexpr uint16_t kVersion = 1;
constexpr size_t kHeaderSize = 32, kRunSize = 64, kEntrySize = 24;

void encode_run(ByteWriter& w, const IndexedRun& r) {
  w.u64(r.log_id);
  w.u64(r.run.order);
  w.i64(r.run.first.value);
  w.i64(r.run.end.value);
  w.i64(r.run.max_timestamp_ms);
  w.u64(r.run.bytes);
  w.u32(r.run.index_position);
  w.u32(r.run.index_count);
  w.u32(r.run.index_crc);
  w.u32(0);
}

IndexedRun decode_run(ByteReader& r, uint64_t file) {
  IndexedRun out;
  out.log_id = r.u64();
  out.run.file = file;
  out.run.order = r.u64();
  out.run.first = Offset{r.i64()};
  out.run.end = Offset{r.i64()};
  out.run.max_timestamp_ms = r.i64();
  out.run.bytes = r.u64();
  out.run.index_position = r.u32();
  out.run.index_count = r.u32();
  out.run.index_crc = r.u32();
  r.u32();
  return out;
}

std::string encode_entries(const Entries& entries) {
  std::string out;
  out.reserve(entries.size() * kEntrySize);
  ByteWriter w(out);
  for (const Entry& e : entries) {
    w.i64(e.base.value);
    w.i64(e.max_timestamp_ms);
    w.u32(e.position);
    w.u32(e.size);
  }
  return out;
}

Status corrupt(uint64_t file, const char* what) {
  return Status(Code::kCorruption, "index of log file " + std::to_string(file) + ": " + what);
}
}  // namespace

std::string encode_index(uint64_t file, uint64_t log_bytes, std::vector<IndexedRun>& runs) {
  std::string blocks, directory;
  ByteWriter d(directory);
  size_t blocks_at = kHeaderSize + runs.size() * kRunSize;
  for (IndexedRun& r : runs) {
    std::string block = encode_entries(*r.run.entries);
    r.run.index_position = static_cast<uint32_t>(blocks_at + blocks.size());
    r.run.index_count = static_cast<uint32_t>(r.run.entries->size());
    r.run.index_crc = crc32c(block);
    encode_run(d, r);
    blocks += block;
  }
  std::string out;
  ByteWriter w(out);
  w.u32(0);
  w.bytes(kMagic);
  w.u16(kVersion);
  w.u16(0);
  w.u32(static_cast<uint32_t>(runs.size()));
  w.u64(file);
  w.u64(log_bytes);
  out += directory;
  store_be(out.data(), crc32c(std::string_view(out).substr(4)));
  return out + blocks;
}

Result<IndexDirectory> read_index_directory(env::File& index, uint64_t file) {
  char head[kHeaderSize];
  ASSIGN_OR_RETURN(size_t got, index.read_at(0, head, kHeaderSize));
  ByteReader r(std::string_view(head, got));
  uint32_t crc = r.u32();
  if (got < kHeaderSize || r.bytes(4) != kMagic) return corrupt(file, "no header");
  uint16_t version = r.u16();
  r.u16();
  uint32_t count = r.u32();
  uint64_t number = r.u64();
  IndexDirectory out;
  out.log_bytes = r.u64();
  ASSIGN_OR_RETURN(uint64_t size, index.size());
  if (uint64_t{count} * kRunSize + kHeaderSize > size) return corrupt(file, "shorter than its runs");
  std::string all(head, kHeaderSize);
  all.resize(kHeaderSize + size_t{count} * kRunSize);
  ASSIGN_OR_RETURN(got, index.read_at(kHeaderSize, all.data() + kHeaderSize, all.size() - kHeaderSize));
  if (got + kHeaderSize < all.size() || crc != crc32c(std::string_view(all).substr(4))) {
    return corrupt(file, "checksum of the directory");
  }
  if (version != kVersion) {
    return Status(Code::kUnsupported, "index format " + std::to_string(version) +
                                          " is newer than this program (1)");
  }
  if (number != file) return corrupt(file, "it belongs to another log file");
  ByteReader runs(std::string_view(all).substr(kHeaderSize));
  for (uint32_t i = 0; i < count; i++) out.runs.push_back(decode_run(runs, file));
  return out;
}

Result<Entries> read_index_entries(env::File& index, const Run& run) {
  std::string block(size_t{run.index_count} * kEntrySize, '\0');
  ASSIGN_OR_RETURN(size_t got, index.read_at(run.index_position, block.data(), block.size()));
  if (got < block.size() || crc32c(block) != run.index_crc) {
    return corrupt(run.file, "checksum of entries");
  }
  Entries out;
  out.reserve(run.index_count);
  ByteReader r(block);
  for (uint32_t i = 0; i < run.index_count; i++) {
    Entry e;
    e.base = Offset{r.i64()};
    e.max_timestamp_ms = r.i64();
    e.position = r.u32();
    e.size = r.u32();
    out.push_back(e);
  }
  return out;
}

}  // namespace broker::storage
