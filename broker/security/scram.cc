#include "broker/security/scram.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <vector>

namespace broker::security {
namespace {

constexpr size_t kMessageBytesMax = 16 << 10;

const EVP_MD* digest_of(std::string_view mechanism) {
  return mechanism == kScramSha512 ? EVP_sha512() : EVP_sha256();
}

std::string hash(const EVP_MD* md, std::string_view data) {
  std::string out(static_cast<size_t>(EVP_MD_size(md)), '\0');
  unsigned size = 0;
  CHECK(EVP_Digest(data.data(), data.size(), reinterpret_cast<unsigned char*>(out.data()), &size, md,
                   nullptr) == 1);
  return out;
}

std::string hmac(const EVP_MD* md, std::string_view key, std::string_view data) {
  std::string out(static_cast<size_t>(EVP_MD_size(md)), '\0');
  unsigned size = 0;
  CHECK(HMAC(md, key.data(), static_cast<int>(key.size()),
             reinterpret_cast<const unsigned char*>(data.data()), data.size(),
             reinterpret_cast<unsigned char*>(out.data()), &size) != nullptr);
  return out;
}

std::string xored(std::string a, std::string_view b) {
  for (size_t i = 0; i < a.size(); ++i) a[i] = static_cast<char>(a[i] ^ b[i]);
  return a;
}

std::string base64(std::string_view bytes) {
  std::string out(4 * ((bytes.size() + 2) / 3), '\0');
  EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                  reinterpret_cast<const unsigned char*>(bytes.data()),
                  static_cast<int>(bytes.size()));
  return out;
}

std::optional<std::string> unbase64(std::string_view text) {
  if (text.empty() || text.size() % 4 != 0) return std::nullopt;
  std::string out(text.size() / 4 * 3, '\0');
  int size = EVP_DecodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                             reinterpret_cast<const unsigned char*>(text.data()),
                             static_cast<int>(text.size()));
  if (size < 0) return std::nullopt;
  size_t padding = text.ends_with("==") ? 2 : text.ends_with("=") ? 1 : 0;
  out.resize(static_cast<size_t>(size) - padding);
  return out;
}

// "=2C" is a comma and "=3D" an equals sign in a user's name (RFC 5802 section 5.1).
std::optional<std::string> decode_name(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '=') {
      out += text[i];
    } else if (text.substr(i, 3) == "=2C" || text.substr(i, 3) == "=3D") {
      out += text[i + 2] == 'C' ? ',' : '=';
      i += 2;
    } else {
      return std::nullopt;
    }
  }
  return out;
}

// The value of `key` ("r", "n", ...) among the comma-separated attributes of a message.
std::optional<std::string_view> attribute(std::string_view message, char key) {
  while (!message.empty()) {
    std::string_view one = message.substr(0, message.find(','));
    if (one.size() >= 2 && one[0] == key && one[1] == '=') return one.substr(2);
    message.remove_prefix(std::min(message.size(), one.size() + 1));
  }
  return std::nullopt;
}

}  // namespace

bool is_scram(std::string_view mechanism) {
  return mechanism == kScramSha256 || mechanism == kScramSha512;
}

sluice::v1::ScramCredential make_credential(std::string_view mechanism, std::string_view password,
                                            std::string salt, int iterations) {
  const EVP_MD* md = digest_of(mechanism);
  std::string salted(salted_password_bytes(mechanism), '\0');
  CHECK(PKCS5_PBKDF2_HMAC(password.data(), static_cast<int>(password.size()),
                          reinterpret_cast<const unsigned char*>(salt.data()),
                          static_cast<int>(salt.size()), iterations, md,
                          static_cast<int>(salted.size()),
                          reinterpret_cast<unsigned char*>(salted.data())) == 1);
  return credential_of_salted(mechanism, salted, std::move(salt), iterations);
}

size_t salted_password_bytes(std::string_view mechanism) {
  return static_cast<size_t>(EVP_MD_size(digest_of(mechanism)));
}

sluice::v1::ScramCredential credential_of_salted(std::string_view mechanism,
                                                 std::string_view salted_password, std::string salt,
                                                 int iterations) {
  const EVP_MD* md = digest_of(mechanism);
  sluice::v1::ScramCredential out;
  out.set_mechanism(std::string(mechanism));
  out.set_stored_key(hash(md, hmac(md, salted_password, "Client Key")));
  out.set_server_key(hmac(md, salted_password, "Server Key"));
  out.set_salt(std::move(salt));
  out.set_iterations(iterations);
  return out;
}

bool is_password(const sluice::v1::ScramCredential& credential, std::string_view password) {
  auto tried = make_credential(credential.mechanism(), password, credential.salt(),
                               credential.iterations());
  return tried.stored_key().size() == credential.stored_key().size() &&
         CRYPTO_memcmp(tried.stored_key().data(), credential.stored_key().data(),
                       tried.stored_key().size()) == 0;
}

ScramServer::ScramServer(std::string mechanism, Lookup lookup, std::string nonce, std::string decoy)
    : mechanism_(std::move(mechanism)),
      lookup_(std::move(lookup)),
      server_nonce_(std::move(nonce)),
      decoy_(std::move(decoy)) {}

Status ScramServer::fail(std::string why) {
  state_ = State::kFailed;
  return Status(Code::kPermissionDenied, std::move(why));
}

Result<std::string> ScramServer::step(std::string_view message) {
  if (message.size() > kMessageBytesMax) return fail("the SCRAM message is too long");
  if (state_ == State::kFirst) return first(message);
  if (state_ == State::kFinal) return final(message);
  return fail("the SCRAM exchange has ended");
}

// "n,[a=authzid],n=user,r=nonce[,extensions]"; channel binding is not offered, so "p=" is refused.
Result<std::string> ScramServer::first(std::string_view message) {
  size_t flag_end = message.find(',');
  size_t header_end = flag_end == std::string_view::npos ? flag_end : message.find(',', flag_end + 1);
  if (header_end == std::string_view::npos || (message[0] != 'n' && message[0] != 'y')) {
    return fail("malformed SCRAM client-first message");
  }
  gs2_header_ = message.substr(0, header_end + 1);
  std::string_view authorization = message.substr(flag_end + 1, header_end - flag_end - 1);
  client_first_bare_ = message.substr(header_end + 1);
  auto name = attribute(client_first_bare_, 'n');
  auto client_nonce = attribute(client_first_bare_, 'r');
  auto user = name ? decode_name(*name) : std::nullopt;
  if (!user || user->empty() || !client_nonce || client_nonce->empty() ||
      attribute(client_first_bare_, 'm')) {
    return fail("malformed SCRAM client-first message");
  }
  if (!authorization.empty() &&
      (!authorization.starts_with("a=") || decode_name(authorization.substr(2)) != user)) {
    return fail("acting as another user is not supported");
  }
  user_ = *user;
  if (const auto* credential = lookup_(user_)) {
    credential_ = *credential;
    known_ = true;
  } else {
    const EVP_MD* md = digest_of(mechanism_);
    credential_.set_salt(hmac(md, decoy_, user_).substr(0, 20));
    credential_.set_stored_key(std::string(static_cast<size_t>(EVP_MD_size(md)), '\0'));
    credential_.set_iterations(kIterationsMin);
  }
  nonce_ = std::string(*client_nonce) + server_nonce_;
  server_first_ = "r=" + nonce_ + ",s=" + base64(credential_.salt()) +
                  ",i=" + std::to_string(credential_.iterations());
  state_ = State::kFinal;
  return server_first_;
}

// "c=base64(gs2 header),r=nonce[,extensions],p=proof"
Result<std::string> ScramServer::final(std::string_view message) {
  size_t proof_at = message.rfind(",p=");
  auto binding = attribute(message, 'c');
  auto nonce = attribute(message, 'r');
  if (proof_at == std::string_view::npos || !binding || !nonce) {
    return fail("malformed SCRAM client-final message");
  }
  auto proof = unbase64(message.substr(proof_at + 3));
  const EVP_MD* md = digest_of(mechanism_);
  const bool sound = *nonce == nonce_ && unbase64(*binding) == gs2_header_ && proof &&
                     proof->size() == credential_.stored_key().size();
  std::string signed_text = client_first_bare_ + "," + server_first_ + "," +
                            std::string(message.substr(0, proof_at));
  bool right = false;
  if (sound) {
    std::string key = xored(*proof, hmac(md, credential_.stored_key(), signed_text));
    std::string stored = hash(md, key);
    right = CRYPTO_memcmp(stored.data(), credential_.stored_key().data(), stored.size()) == 0;
  }
  // One message for a wrong password and an unknown user.
  if (!right || !known_) return fail("Authentication failed during authentication due to invalid "
                                     "credentials with SASL mechanism " + mechanism_);
  state_ = State::kDone;
  return "v=" + base64(hmac(md, credential_.server_key(), signed_text));
}

}  // namespace broker::security
