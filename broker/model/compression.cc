#include "broker/model/compression.h"

#include <lz4frame.h>
#include <snappy.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <memory>

#include "broker/base/bytes.h"

namespace broker {
namespace {

constexpr size_t kChunk = 64 << 10;
// snappy-java's stream: magic, version, lowest compatible version, then blocks with a 32-bit size.
constexpr std::string_view kXerialMagic("\x82SNAPPY\0", 8);
constexpr size_t kXerialHeaderSize = 16;
constexpr size_t kXerialBlock = 32 << 10;

Status corrupt(Compression codec, std::string_view why) {
  return Status(Code::kCorruption,
                std::string(to_string(codec)) + " data is damaged: " + std::string(why));
}

Status too_large(Compression codec, size_t size_max) {
  return Status(Code::kTooLarge, std::string(to_string(codec)) + " data expands beyond " +
                                     std::to_string(size_max) + " bytes");
}

// Output that grows by chunks up to a bound; one byte of room beyond it tells "too large" apart.
class BoundedOutput {
 public:
  explicit BoundedOutput(size_t size_max) : size_max_(size_max) {}
  // Makes room; false when the bound has been passed.
  bool grow() {
    if (used_ > size_max_) return false;
    if (used_ == out_.size()) {
      size_t more = std::clamp(out_.size(), kChunk, size_t{4} << 20);
      out_.resize(std::min(out_.size() + more, size_max_ + 1));
    }
    return true;
  }
  char* at() { return out_.data() + used_; }
  size_t room() const { return out_.size() - used_; }
  void advance(size_t bytes) { used_ += bytes; }
  bool too_large() const { return used_ > size_max_; }
  std::string take() {
    out_.resize(used_);
    return std::move(out_);
  }

 private:
  size_t size_max_;
  size_t used_ = 0;
  std::string out_;
};

Result<std::string> gzip_compress(std::string_view raw) {
  z_stream z{};
  if (deflateInit2(&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
    return Status(Code::kInternal, "zlib cannot start");
  }
  std::string out(deflateBound(&z, raw.size()), '\0');
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(raw.data()));
  z.avail_in = static_cast<uInt>(raw.size());
  z.next_out = reinterpret_cast<Bytef*>(out.data());
  z.avail_out = static_cast<uInt>(out.size());
  int end = deflate(&z, Z_FINISH);
  out.resize(z.total_out);
  deflateEnd(&z);
  if (end != Z_STREAM_END) return Status(Code::kInternal, "zlib did not finish");
  return out;
}

Result<std::string> gzip_decompress(std::string_view in, size_t size_max) {
  z_stream z{};
  if (inflateInit2(&z, 15 + 32) != Z_OK) return Status(Code::kInternal, "zlib cannot start");
  std::unique_ptr<z_stream, int (*)(z_stream*)> guard(&z, inflateEnd);
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(in.data()));
  z.avail_in = static_cast<uInt>(in.size());
  BoundedOutput out(size_max);
  for (;;) {
    if (!out.grow()) return too_large(Compression::kGzip, size_max);
    z.next_out = reinterpret_cast<Bytef*>(out.at());
    z.avail_out = static_cast<uInt>(out.room());
    size_t room = out.room();
    int state = inflate(&z, Z_NO_FLUSH);
    out.advance(room - z.avail_out);
    if (state == Z_STREAM_END) {
      if (z.avail_in == 0) break;
      if (inflateReset(&z) != Z_OK) return corrupt(Compression::kGzip, "second member");
      continue;
    }
    if (state != Z_OK) return corrupt(Compression::kGzip, z.msg ? z.msg : "it ends too early");
  }
  if (out.too_large()) return too_large(Compression::kGzip, size_max);
  return out.take();
}

std::string snappy_compress(std::string_view raw) {
  std::string out;
  ByteWriter w(out);
  w.bytes(kXerialMagic);
  w.i32(1);
  w.i32(1);
  for (size_t at = 0; at < raw.size(); at += kXerialBlock) {
    std::string_view block = raw.substr(at, kXerialBlock);
    std::string packed;
    snappy::Compress(block.data(), block.size(), &packed);
    w.i32(static_cast<int32_t>(packed.size()));
    w.bytes(packed);
  }
  return out;
}

Status snappy_append(std::string_view block, size_t size_max, std::string& out) {
  size_t size = 0;
  if (!snappy::GetUncompressedLength(block.data(), block.size(), &size)) {
    return corrupt(Compression::kSnappy, "no length");
  }
  if (size > size_max - out.size()) return too_large(Compression::kSnappy, size_max);
  // Before memory is taken on the word of a length: a block must be able to give that much.
  if (!snappy::IsValidCompressedBuffer(block.data(), block.size())) {
    return corrupt(Compression::kSnappy, "a block does not decode");
  }
  size_t at = out.size();
  out.resize(at + size);
  if (!snappy::RawUncompress(block.data(), block.size(), out.data() + at)) {
    return corrupt(Compression::kSnappy, "a block does not decode");
  }
  return {};
}

Result<std::string> snappy_decompress(std::string_view in, size_t size_max) {
  std::string out;
  if (in.substr(0, kXerialMagic.size()) != kXerialMagic) {
    RETURN_IF_ERROR(snappy_append(in, size_max, out));
    return out;
  }
  if (in.size() < kXerialHeaderSize) return corrupt(Compression::kSnappy, "short header");
  ByteReader r(in.substr(kXerialHeaderSize));
  while (r.remaining() > 0) {
    int32_t size = r.i32();
    if (!r.ok() || size < 0) return corrupt(Compression::kSnappy, "block size");
    std::string_view block = r.bytes(static_cast<size_t>(size));
    if (!r.ok()) return corrupt(Compression::kSnappy, "it ends within a block");
    RETURN_IF_ERROR(snappy_append(block, size_max, out));
  }
  return out;
}

Result<std::string> lz4_compress(std::string_view raw) {
  LZ4F_preferences_t preferences{};
  preferences.frameInfo.blockMode = LZ4F_blockIndependent;  // Kafka's Java reader wants these
  preferences.frameInfo.blockSizeID = LZ4F_max64KB;
  std::string out(LZ4F_compressFrameBound(raw.size(), &preferences), '\0');
  size_t size =
      LZ4F_compressFrame(out.data(), out.size(), raw.data(), raw.size(), &preferences);
  if (LZ4F_isError(size)) return Status(Code::kInternal, LZ4F_getErrorName(size));
  out.resize(size);
  return out;
}

Result<std::string> lz4_decompress(std::string_view in, size_t size_max) {
  LZ4F_dctx* context = nullptr;
  if (LZ4F_isError(LZ4F_createDecompressionContext(&context, LZ4F_VERSION))) {
    return Status(Code::kInternal, "lz4 cannot start");
  }
  std::unique_ptr<LZ4F_dctx, LZ4F_errorCode_t (*)(LZ4F_dctx*)> guard(
      context, LZ4F_freeDecompressionContext);
  BoundedOutput out(size_max);
  size_t hint = 1;
  while (hint != 0 || !in.empty()) {
    if (!out.grow()) return too_large(Compression::kLz4, size_max);
    size_t made = out.room(), read = in.size();
    hint = LZ4F_decompress(context, out.at(), &made, in.data(), &read, nullptr);
    if (LZ4F_isError(hint)) return corrupt(Compression::kLz4, LZ4F_getErrorName(hint));
    if (made == 0 && read == 0 && hint != 0) {
      return corrupt(Compression::kLz4, "it ends too early");
    }
    out.advance(made);
    in.remove_prefix(read);
  }
  if (out.too_large()) return too_large(Compression::kLz4, size_max);
  return out.take();
}

Result<std::string> zstd_compress(std::string_view raw) {
  std::string out(ZSTD_compressBound(raw.size()), '\0');
  size_t size = ZSTD_compress(out.data(), out.size(), raw.data(), raw.size(), 3);
  if (ZSTD_isError(size)) return Status(Code::kInternal, ZSTD_getErrorName(size));
  out.resize(size);
  return out;
}

Result<std::string> zstd_decompress(std::string_view in, size_t size_max) {
  std::unique_ptr<ZSTD_DStream, size_t (*)(ZSTD_DStream*)> stream(ZSTD_createDStream(),
                                                                  ZSTD_freeDStream);
  if (!stream) return Status(Code::kInternal, "zstd cannot start");
  BoundedOutput out(size_max);
  ZSTD_inBuffer source{in.data(), in.size(), 0};
  size_t hint = 1;
  while (hint != 0 || source.pos < source.size) {
    if (!out.grow()) return too_large(Compression::kZstd, size_max);
    ZSTD_outBuffer target{out.at(), out.room(), 0};
    size_t read = source.pos;
    hint = ZSTD_decompressStream(stream.get(), &target, &source);
    if (ZSTD_isError(hint)) return corrupt(Compression::kZstd, ZSTD_getErrorName(hint));
    if (target.pos == 0 && source.pos == read && hint != 0) {
      return corrupt(Compression::kZstd, "it ends too early");
    }
    out.advance(target.pos);
  }
  if (out.too_large()) return too_large(Compression::kZstd, size_max);
  return out.take();
}

}  // namespace

std::string_view to_string(Compression codec) {
  switch (codec) {
    case Compression::kNone: return "none";
    case Compression::kGzip: return "gzip";
    case Compression::kSnappy: return "snappy";
    case Compression::kLz4: return "lz4";
    case Compression::kZstd: return "zstd";
  }
  return "unknown";
}

std::optional<Compression> parse_compression(std::string_view name) {
  if (name == "uncompressed") return Compression::kNone;
  for (Compression codec :
       {Compression::kGzip, Compression::kSnappy, Compression::kLz4, Compression::kZstd}) {
    if (name == to_string(codec)) return codec;
  }
  return std::nullopt;
}

Result<std::string> compress(Compression codec, std::string_view raw) {
  switch (codec) {
    case Compression::kNone: return std::string(raw);
    case Compression::kGzip: return gzip_compress(raw);
    case Compression::kSnappy: return snappy_compress(raw);
    case Compression::kLz4: return lz4_compress(raw);
    case Compression::kZstd: return zstd_compress(raw);
  }
  return Status(Code::kUnsupported, "compression codec is unknown");
}

Result<std::string> decompress(Compression codec, std::string_view compressed, size_t size_max) {
  switch (codec) {
    case Compression::kNone:
      if (compressed.size() > size_max) return too_large(codec, size_max);
      return std::string(compressed);
    case Compression::kGzip: return gzip_decompress(compressed, size_max);
    case Compression::kSnappy: return snappy_decompress(compressed, size_max);
    case Compression::kLz4: return lz4_decompress(compressed, size_max);
    case Compression::kZstd: return zstd_decompress(compressed, size_max);
  }
  return Status(Code::kUnsupported, "compression codec is unknown");
}

}  // namespace broker
