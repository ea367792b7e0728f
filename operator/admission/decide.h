#pragma once
// PURE: what is refused of a resource, and what is warned of, that its definition (CEL) cannot see
// because it depends on other resources. Called by the admission webhook before an object is stored,
// and by `sluice cluster diff` before anybody tries.
// Invariant: what was there before is no reason to refuse: an object that is already wrong can still
// be edited, labelled, and deleted.
#include <optional>
#include <string>
#include <vector>

#include "operator/api/stream.h"
#include "operator/api/stream_user.h"

namespace sluice_operator::admission {

struct Verdict {
  std::vector<api::FieldError> refusals;
  std::vector<std::string> warnings;
  bool allowed() const { return refusals.empty(); }
};

// `before` is null for a new object. `cluster` is the one that it names, null when there is none;
// `others` are of the same namespace and may hold the object itself.
Verdict decide(const api::Stream& stream, const api::Stream* before,
               const api::StreamCluster* cluster, const std::vector<api::Stream>& others);

// `streams` are of the same namespace.
Verdict decide(const api::StreamCluster& cluster, const api::StreamCluster* before,
               const std::vector<api::Stream>& streams);

// Who a Secret belongs to, as its metadata says.
struct SecretOwner {
  bool exists = false;
  std::string uid;          // of the controlling owner; empty: none
  std::string description;  // "StreamUser 'ann'", for people
};
Verdict decide(const api::StreamUser& user, const api::StreamUser* before,
               const api::StreamCluster* cluster, const std::vector<api::StreamUser>& others,
               const SecretOwner& secret);

}  // namespace sluice_operator::admission
