#pragma once
// Certificates: authorities (CAs), what they issue to brokers and users, and what there is to say of
// a certificate that somebody else made. ECDSA P-256, PEM in and out. Used by reconcile, which keeps
// them in Secrets. Pure but for OpenSSL's random numbers.
#include <cstdint>
#include <string>
#include <vector>

#include "broker/base/status.h"

namespace sluice_operator::certs {

struct KeyPair {
  std::string cert;  // PEM; what chains to a root may follow
  std::string key;   // PEM, PKCS#8
  bool operator==(const KeyPair&) const = default;
};

inline constexpr int64_t kCaDays = 3650;
inline constexpr int64_t kLeafDays = 365;
inline constexpr size_t kCommonNameMax = 64;  // X.509's limit

// Whom a certificate is for: hosts (DNS names and IP addresses) for both sides of TLS, or, without
// any, a client of this name.
struct Subject {
  std::string common_name;
  std::vector<std::string> hosts;
};
Subject for_hosts(const std::vector<std::string>& hosts);  // the first is the common name
Subject for_user(const std::string& name);

// A self-signed CA, valid from an hour ago (clocks differ) for kCaDays.
broker::Result<KeyPair> make_ca(const std::string& common_name, int64_t now_s);
// Valid for kLeafDays, not longer than its CA; the CA's own chain follows where it is no root.
// kInvalidArgument when the name is longer than a certificate's may be, kCorruption when the CA's
// certificate and key are not that.
broker::Result<KeyPair> issue(const KeyPair& ca, const Subject& subject, int64_t now_s);

// When a certificate begins and ends, Unix seconds.
struct Validity {
  int64_t begins_s = 0, ends_s = 0;
};
broker::Result<Validity> validity(const std::string& cert_pem);
// In the last third of its life (or past it): time for another one. True for what is no certificate.
bool wears_out(const std::string& cert_pem, int64_t now_s);
// Whether a leaf must be issued (again): missing, unreadable, not of this CA, for others, or worn.
bool needs_issue(const KeyPair& leaf, const std::string& ca_pem, const Subject& subject,
                 int64_t now_s);
// The first certificate of `cert_pem` was signed by the first of `ca_pem`.
bool issued_by(const std::string& cert_pem, const std::string& ca_pem);
// What is wrong with a pair that somebody else made; empty: nothing. `authority`: it is to issue.
std::string pair_problem(const KeyPair& pair, bool authority, int64_t now_s);
// A leaf for a server is accepted by whoever trusts the certificates of `bundle_pem`.
bool verifies(const std::string& chain_pem, const std::string& bundle_pem, int64_t now_s);
// The certificates of a PEM text one by one, each written the same way.
std::vector<std::string> split(const std::string& pem);

}  // namespace sluice_operator::certs
