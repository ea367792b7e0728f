#pragma once
// PURE: what must not leave a cluster, taken out of resources and logs. Used by `sluice report`, which
// never asks for the data of a Secret in the first place; this is for what people put elsewhere.
#include <string>

#include <nlohmann/json_fwd.hpp>

namespace broker::cli {

inline constexpr const char* kRemoved = "(removed)";

// The data of Secrets; the values of environment variables and annotations whose name sounds like a
// credential; the copy of a resource that kubectl apply keeps in an annotation; the user and
// password in URLs. managedFields go, too: they only make the text long.
void redact(nlohmann::json& object);
// The user and password in URLs.
std::string redact_text(std::string text);

}  // namespace broker::cli
