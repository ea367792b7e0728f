#pragma once
// Resources of Kubernetes, through the user's own kubectl: its context, its credentials. Used by
// the commands that read a Stream's status. Blocks.
#include <string>

#include "broker/base/status.h"

namespace broker::cli {

// All resources of the kind in the namespace (empty: the context's), as kubectl's JSON list.
// kUnavailable with kubectl's own words when it fails.
Result<std::string> kubectl_get(const std::string& kind, const std::string& ns);

}  // namespace broker::cli
