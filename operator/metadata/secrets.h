#pragma once
// What is asked of a Secret's object. Pure.
#include <string>

#include "operator/kube/client/json.h"

namespace sluice_operator::metadata {

// Of its `data`, decoded; empty when there is none under the key.
std::string data_of(const kube::Json& secret, const std::string& key);
// Whether one of its owner references is the object with this uid.
bool owned_by(const kube::Json& object, const std::string& uid);

}  // namespace sluice_operator::metadata
