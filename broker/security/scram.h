#pragma once
// SCRAM (RFC 5802, RFC 7677): the server's side of one authentication, and the verifier that is
// kept instead of a password. Called by the Kafka door's SaslAuthenticate and
// AlterUserScramCredentials on the reactor and by the operator when it makes a user; pure.
// Invariant: nothing in here can be used to log in elsewhere but the password, which is not kept.
#include <functional>
#include <string>
#include <string_view>

#include "broker/base/status.h"
#include "broker/proto/metadata.pb.h"

namespace broker::security {

inline constexpr const char* kScramSha256 = "SCRAM-SHA-256";
inline constexpr const char* kScramSha512 = "SCRAM-SHA-512";
inline constexpr int kIterationsMin = 4096, kIterationsMax = 16384;  // as Kafka bounds them

bool is_scram(std::string_view mechanism);

// What is kept of a password. `salt`: random bytes, fresh for every user.
sluice::v1::ScramCredential make_credential(std::string_view mechanism, std::string_view password,
                                            std::string salt, int iterations = kIterationsMin);

// The same of what a client has made of the password: PBKDF2's result, salted_password_bytes()
// long.
sluice::v1::ScramCredential credential_of_salted(std::string_view mechanism,
                                                 std::string_view salted_password, std::string salt,
                                                 int iterations);
size_t salted_password_bytes(std::string_view mechanism);

// Whether `password` is the one behind a verifier (SASL PLAIN). Takes milliseconds.
bool is_password(const sluice::v1::ScramCredential& credential, std::string_view password);

// One exchange: client-first -> server-first -> client-final -> server-final.
class ScramServer {
 public:
  // The user's verifier for this mechanism; null when there is none.
  using Lookup = std::function<const sluice::v1::ScramCredential*(const std::string& user)>;
  // `nonce`: printable, at least 24 random characters. `decoy`: a secret of this process, from
  // which unknown users get a salt that stays the same, so that names cannot be probed for.
  ScramServer(std::string mechanism, Lookup lookup, std::string nonce, std::string decoy);

  // The next message to the client; kPermissionDenied when the exchange has failed (for good).
  Result<std::string> step(std::string_view message);
  bool done() const { return state_ == State::kDone; }
  const std::string& user() const { return user_; }

 private:
  enum class State { kFirst, kFinal, kDone, kFailed };
  Result<std::string> first(std::string_view message);
  Result<std::string> final(std::string_view message);
  Status fail(std::string why);

  const std::string mechanism_;
  const Lookup lookup_;
  const std::string server_nonce_, decoy_;
  State state_ = State::kFirst;
  std::string user_, nonce_, gs2_header_, client_first_bare_, server_first_;
  sluice::v1::ScramCredential credential_;
  bool known_ = false;
};

}  // namespace broker::security
