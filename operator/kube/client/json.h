#pragma once
// Kubernetes objects are plain JSON documents. Headers include this; .cc files that look inside
// include <nlohmann/json.hpp>.
#include <memory>

#include <nlohmann/json_fwd.hpp>

namespace sluice_operator::kube {

using Json = nlohmann::json;
// An object that several threads read and nobody changes.
using JsonPtr = std::shared_ptr<const Json>;

}  // namespace sluice_operator::kube
