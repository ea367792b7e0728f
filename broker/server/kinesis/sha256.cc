#include "broker/server/kinesis/sha256.h"

#include <openssl/evp.h>

#include "broker/base/check.h"

namespace broker::server::kinesis {
namespace {

constexpr size_t kBlock = 64;

const EVP_MD* algorithm() {
  static const EVP_MD* md = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  return md;
}

}  // namespace

void Sha256::Free::operator()(evp_md_ctx_st* context) const { EVP_MD_CTX_free(context); }

Sha256::Sha256() : context_(EVP_MD_CTX_new()) {
  CHECK(EVP_DigestInit_ex2(context_.get(), algorithm(), nullptr) == 1);
}

void Sha256::update(std::string_view bytes) {
  CHECK(EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()) == 1);
}

Digest Sha256::finish() {
  Digest digest;
  CHECK(EVP_DigestFinal_ex(context_.get(), digest.data(), nullptr) == 1);
  CHECK(EVP_DigestInit_ex2(context_.get(), algorithm(), nullptr) == 1);
  return digest;
}

Digest sha256(std::string_view bytes) {
  Sha256 hash;
  hash.update(bytes);
  return hash.finish();
}

Digest hmac_sha256(std::string_view key, std::string_view message) {
  std::array<char, kBlock> inner{}, outer{};
  Digest hashed;
  if (key.size() > kBlock) {
    hashed = sha256(key);
    key = view(hashed);
  }
  for (size_t i = 0; i < kBlock; ++i) {
    char byte = i < key.size() ? key[i] : '\0';
    inner[i] = static_cast<char>(byte ^ 0x36);
    outer[i] = static_cast<char>(byte ^ 0x5c);
  }
  Sha256 hash;
  hash.update({inner.data(), kBlock});
  hash.update(message);
  Digest first = hash.finish();
  hash.update({outer.data(), kBlock});
  hash.update(view(first));
  return hash.finish();
}

std::string hex(const Digest& digest) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  out.reserve(64);
  for (unsigned char byte : digest) {
    out += kDigits[byte >> 4];
    out += kDigits[byte & 15];
  }
  return out;
}

}  // namespace broker::server::kinesis
