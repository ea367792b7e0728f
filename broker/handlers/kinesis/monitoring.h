#pragma once
// Which shard-level metrics a stream has asked for. For this folder's files only; pure.
#include <string>
#include <vector>

#include "broker/cluster/metadata.h"

namespace broker::handlers::kinesis {

// In AWS's order.
std::vector<std::string> monitored_metrics(const cluster::Stream& stream);

}  // namespace broker::handlers::kinesis
