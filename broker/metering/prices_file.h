#pragma once
// A price table in a YAML file: the fields of a StreamCluster's spec.prices. For the coordinator
// without Kubernetes and for the command line.
#include <string>

#include "broker/base/status.h"
#include "broker/proto/metering.pb.h"

namespace broker::metering {

// The text of such a file. kInvalidArgument names the field.
Result<sluice::v1::Prices> parse_prices(const std::string& yaml);

}  // namespace broker::metering
