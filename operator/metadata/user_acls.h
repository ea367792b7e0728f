#pragma once
// Between a StreamUser's spec.acls and ACLs one by one: a rule of the resource has several
// operations. Pure; used by the reconciler, which tells brokers, and by KubeRequests, which edits
// the resource for Kafka's clients. Invariant: an edit leaves every rule that it is not about as
// somebody wrote it.
#include <functional>
#include <vector>

#include "broker/proto/coordination.pb.h"
#include "operator/api/stream_user.h"
#include "operator/kube/client/json.h"

namespace sluice_operator::metadata {

std::vector<sluice::v1::Acl> acls_of(const api::StreamUserSpec& spec);

// `object` is the StreamUser that `spec` was read from. False: nothing had to be changed.
bool add_acls(kube::Json& object, const api::StreamUserSpec& spec,
              const std::vector<sluice::v1::Acl>& acls);
bool remove_acls(kube::Json& object, const api::StreamUserSpec& spec,
                 const std::function<bool(const sluice::v1::Acl&)>& leaves);

}  // namespace sluice_operator::metadata
