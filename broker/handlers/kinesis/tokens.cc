#include "broker/handlers/kinesis/tokens.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "broker/base/bytes.h"
#include "broker/base/check.h"
#include "broker/handlers/kinesis/base64url.h"
#include "broker/protocol/kinesis/base64.h"

namespace broker::handlers::kinesis {
namespace wire = protocol::kinesis;
namespace {

constexpr size_t kTagBytes = 16;
constexpr uint8_t kIterator = 1, kPage = 2;
constexpr size_t kTokenBytesMax = 4096;
// What AWS's iterators look like: they begin with this number, and have 152 bytes or 16 more, or 32
// more and so on. Its emulators' tests look at it.
constexpr uint64_t kIteratorPrefix = 1;
constexpr size_t kIteratorBytes = 152, kIteratorBlock = 16;

std::string tag_of(std::string_view secret, std::string_view payload) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  const auto* made =
      HMAC(EVP_sha256(), secret.data(), static_cast<int>(secret.size()),
           reinterpret_cast<const unsigned char*>(payload.data()), payload.size(), digest, &size);
  CHECK(made && size >= kTagBytes);
  return {reinterpret_cast<const char*>(digest), kTagBytes};
}

std::string with_tag(std::string_view secret, std::string payload) {
  payload += tag_of(secret, payload);
  return payload;
}

// The payload without its tag.
std::optional<std::string> open_payload(std::string_view secret, const std::string& bytes) {
  if (bytes.size() <= kTagBytes) return std::nullopt;
  std::string_view payload(bytes.data(), bytes.size() - kTagBytes);
  const std::string expected = tag_of(secret, payload);
  if (CRYPTO_memcmp(expected.data(), bytes.data() + payload.size(), kTagBytes) != 0) {
    return std::nullopt;
  }
  return std::string(payload);
}

void put_text(ByteWriter& out, std::string_view text) {
  out.u16(static_cast<uint16_t>(text.size()));
  out.bytes(text);
}

}  // namespace

std::string seal(std::string_view secret, const ShardIterator& iterator) {
  std::string payload;
  ByteWriter out(payload);
  out.u64(kIteratorPrefix);
  out.u8(kIterator);
  out.uuid(iterator.shard.stream);
  out.i32(iterator.shard.index);
  out.i64(iterator.position.value);
  out.i64(iterator.from_timestamp_ms);
  out.i64(iterator.issued_ms);
  out.u32(iterator.number);
  put_text(out, iterator.stream_name);
  size_t whole = kIteratorBytes;
  while (whole < payload.size() + kTagBytes) whole += kIteratorBlock;
  payload.resize(whole - kTagBytes);
  std::string text;
  wire::base64_append(with_tag(secret, std::move(payload)), text);
  return text;
}

std::string seal(std::string_view secret, const PageToken& token) {
  std::string payload;
  ByteWriter out(payload);
  out.u8(kPage);
  put_text(out, token.operation);
  out.uuid(token.stream);
  put_text(out, token.last);
  put_text(out, token.filter);
  out.i64(token.issued_ms);
  return to_base64url(with_tag(secret, std::move(payload)));
}

std::optional<ShardIterator> open_iterator(std::string_view secret, std::string_view text) {
  std::string bytes, why;
  if (text.size() > kTokenBytesMax || !wire::base64_decode(text, bytes, why)) return std::nullopt;
  auto payload = open_payload(secret, bytes);
  if (!payload) return std::nullopt;
  ByteReader in(*payload);
  if (in.u64() != kIteratorPrefix || in.u8() != kIterator) return std::nullopt;
  ShardIterator iterator;
  iterator.shard.stream = in.uuid();
  iterator.shard.index = in.i32();
  iterator.position = Offset{in.i64()};
  iterator.from_timestamp_ms = in.i64();
  iterator.issued_ms = in.i64();
  iterator.number = in.u32();
  iterator.stream_name = in.bytes(in.u16());
  if (!in.ok() || in.remaining() >= kIteratorBytes) return std::nullopt;
  return iterator;
}

std::optional<PageToken> open_page_token(std::string_view secret, std::string_view text) {
  if (text.size() > kTokenBytesMax) return std::nullopt;
  auto bytes = from_base64url(text);
  if (!bytes) return std::nullopt;
  auto payload = open_payload(secret, *bytes);
  if (!payload) return std::nullopt;
  ByteReader in(*payload);
  if (in.u8() != kPage) return std::nullopt;
  PageToken token;
  token.operation = in.bytes(in.u16());
  token.stream = in.uuid();
  token.last = in.bytes(in.u16());
  token.filter = in.bytes(in.u16());
  token.issued_ms = in.i64();
  if (!in.ok() || in.remaining() > 0) return std::nullopt;
  return token;
}

}  // namespace broker::handlers::kinesis
