#pragma once
// The operator's certificate authority and the certificates that it issues: ECDSA P-256, PEM in and
// out. Made once and kept in Secrets by reconcile; rotation of the CA is not here yet. Pure but for
// OpenSSL's random numbers.
#include <cstdint>
#include <string>
#include <vector>

#include "broker/base/status.h"

namespace sluice_operator::certs {

struct KeyPair {
  std::string cert;  // PEM
  std::string key;   // PEM, PKCS#8
};

inline constexpr int64_t kCaDays = 3650;
inline constexpr int64_t kLeafDays = 365;

// A self-signed CA, valid from an hour ago (clocks differ) for kCaDays.
broker::Result<KeyPair> make_ca(const std::string& common_name, int64_t now_s);
// A certificate for both sides of TLS with these DNS names, the first also as its common name.
broker::Result<KeyPair> issue(const KeyPair& ca, const std::vector<std::string>& dns_names,
                              int64_t now_s);
// When a certificate ends, Unix seconds.
broker::Result<int64_t> expires_at(const std::string& cert_pem);
// Whether a leaf must be issued (again): missing, unreadable, not of this CA, other names, or in the
// last third of its life.
bool needs_issue(const std::string& cert_pem, const std::string& ca_pem,
                 const std::vector<std::string>& dns_names, int64_t now_s);

}  // namespace sluice_operator::certs
