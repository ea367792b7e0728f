#pragma once
// SCRAM credentials that a Kafka client has set (KIP-554), in the Secret of a StreamUser. While the
// Secret has them the password is the client's: nobody here knows it, so that the Secret has no
// `password`, and the reconciler makes none. It makes one again when the Secret is deleted.
// Pure; used by the reconciler, which tells brokers, and by KubeRequests, which writes for clients.
#include <optional>
#include <vector>

#include "broker/base/status.h"
#include "broker/proto/coordination.pb.h"
#include "operator/kube/client/json.h"

namespace sluice_operator::metadata {

// The Secret's key: a JSON list, empty when clients have taken every credential away.
inline constexpr const char* kScramCredentials = "scram.credentials";
inline constexpr const char* kPassword = "password";
inline constexpr const char* kJaasConfig = "sasl.jaas.config";

// Nothing: the password is the operator's. kInvalidArgument: what is there cannot be read.
broker::Result<std::optional<std::vector<sluice::v1::ScramCredential>>> client_credentials(
    const kube::Json& secret);

// A merge patch, by compare-and-swap, after which `secret` holds what the change says; what the
// user has for the other mechanism stays, of a password of the operator's too. Null: it is so
// already. kNotFound: there is nothing to take away.
broker::Result<kube::Json> scram_patch(const kube::Json& secret,
                                       const sluice::v1::AlterScram& change);

}  // namespace sluice_operator::metadata
