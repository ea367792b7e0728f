#pragma once
// A scaling policy from YAML: the fields of Stream.spec.autoscaling, or a whole Stream, and what
// the trace simulator has to know beside it. Used by `sluice autoscale simulate`.
#include <string>

#include "operator/autoscale/simulate.h"

namespace sluice_operator::autoscale {

// What the text leaves out has the resource's defaults, but for maxShards: 2000, the greatest that
// it may be. kInvalidArgument names an unknown field or a value that it cannot have.
broker::Result<SimulateOptions> parse_policy(const std::string& yaml);

}  // namespace sluice_operator::autoscale
