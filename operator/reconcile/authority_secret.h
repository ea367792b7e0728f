#pragma once
// A CA in its Secret: read, made where there is none, and taken to its next phase by compare-and-swap.
// Used by certificates and by the authority's reconciler. Blocks; any thread. Of two operators that
// make or change it at once one wins, and both go on from what is written.
#include <optional>
#include <string>

#include "operator/certs/rotation.h"
#include "operator/kube/client/client.h"
#include "operator/metadata/secrets.h"

namespace sluice_operator::reconcile {

// On a CA's Secret: somebody sets it to have the CA replaced; the rotation's first write takes it away.
inline constexpr const char* kRotateAnnotation = "sluice.dev/rotate-ca";
// For people: the phase, which the keys of the Secret decide, and since when it lasts.
inline constexpr const char* kPhaseAnnotation = "sluice.dev/ca-phase";
inline constexpr const char* kPhaseSinceAnnotation = "sluice.dev/ca-phase-since";

struct AuthorityState {
  certs::Authority authority;
  std::string version;  // of the Secret
  bool asked = false;   // kRotateAnnotation is there
};

using metadata::data_of;
using metadata::owned_by;

// `owner`: an owner reference, or null. A Secret of that name that is not the owner's is left alone:
// kAlreadyExists. Where there is none, `before` is written back, or a new CA made when that is empty: what
// everybody trusts is replaced in phases only.
broker::Result<AuthorityState> load_authority(kube::Client& client, const kube::ObjectKey& secret,
                                              const kube::Json& owner, int64_t now_s,
                                              const certs::Authority& before);
// kConflict: somebody else has changed it; read it again.
broker::Result<AuthorityState> advance_authority(kube::Client& client,
                                                 const kube::ObjectKey& secret,
                                                 const AuthorityState& from,
                                                 certs::RotationStep step, int64_t now_s);

}  // namespace sluice_operator::reconcile
