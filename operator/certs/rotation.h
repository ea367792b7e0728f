#pragma once
// PURE: a CA that is replaced without a moment at which somebody refuses somebody else. Three phases,
// each recorded in the CA's Secret by one compare-and-swap, so that an operator which ends anywhere is
// followed by one that goes on: the new CA is trusted everywhere; what the old one issued is issued
// again by the new one; the old one is dropped. Used for the operator's CA and for the clients' CA of
// a cluster. Invariant: a certificate in use is always of a CA that everybody who sees it trusts.
#include <map>
#include <string>

#include "operator/certs/certs.h"

namespace sluice_operator::certs {

enum class CaPhase { kStable, kTrusting, kReissuing };
const char* to_string(CaPhase phase);  // Stable | Trusting | Reissuing

struct Authority {
  KeyPair ca;            // issues
  KeyPair next;          // Trusting: will issue
  std::string old_cert;  // Reissuing: issued before
  int64_t since_s = 0;   // when this phase began
  bool operator==(const Authority&) const = default;

  CaPhase phase() const;
  // What others are to trust.
  std::string bundle() const;
};

// The keys of a Secret: ca.crt and ca.key, next-ca.crt and next-ca.key, old-ca.crt. kCorruption when
// there is no CA in them.
broker::Result<Authority> read_authority(const std::map<std::string, std::string>& data,
                                         int64_t since_s);
// The same the other way; keys without a value are to be removed.
std::map<std::string, std::string> to_data(const Authority& authority);

struct RotationInput {
  bool asked = false;               // somebody wants a new CA now
  bool trusted_everywhere = false;  // everybody has loaded bundle()
  bool reissued_everywhere = false; // everybody shows a certificate of `ca`
  int64_t now_s = 0;
  int64_t phase_s = 0;  // the least time in a phase, for clients that nobody here can ask
};
enum class RotationStep { kNone, kBegin, kReissue, kDropOld };
RotationStep next_step(const Authority& authority, const RotationInput& input);
// `fresh`: the CA to come, for kBegin.
Authority after(const Authority& authority, RotationStep step, const KeyPair& fresh, int64_t now_s);

}  // namespace sluice_operator::certs
