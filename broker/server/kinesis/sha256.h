#pragma once
// SHA-256 and HMAC-SHA-256 for signatures, over OpenSSL without its per-call look-ups. Plain
// values, any thread.
#include <array>
#include <memory>
#include <string>
#include <string_view>

struct evp_md_ctx_st;

namespace broker::server::kinesis {

using Digest = std::array<unsigned char, 32>;

// Hashes pieces as they come.
class Sha256 {
 public:
  Sha256();
  Sha256(Sha256&&) noexcept = default;
  Sha256& operator=(Sha256&&) noexcept = default;
  void update(std::string_view bytes);
  // Once; begins anew afterwards.
  Digest finish();

 private:
  struct Free {
    void operator()(evp_md_ctx_st* context) const;
  };
  std::unique_ptr<evp_md_ctx_st, Free> context_;
};

Digest sha256(std::string_view bytes);
Digest hmac_sha256(std::string_view key, std::string_view message);
std::string hex(const Digest& digest);
inline std::string_view view(const Digest& digest) {
  return {reinterpret_cast<const char*>(digest.data()), digest.size()};
}

}  // namespace broker::server::kinesis
