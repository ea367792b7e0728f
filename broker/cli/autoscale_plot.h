#pragma once
// What `sluice autoscale plot` draws: a stream's scaling over time, from the decisions in its status
// or from the operator's metrics in a Prometheus. Pure.
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "broker/base/status.h"
#include "operator/autoscale/timeline.h"

namespace broker::cli {

// Of the series in a Prometheus; `namespace` empty: of all.
std::string plot_query(const std::string& stream, const std::string& ns);
// From the answer of /api/v1/query_range to plot_query(). kNotFound when it holds no series.
Result<sluice_operator::autoscale::Timeline> timeline_of_answer(const std::string& body);

}  // namespace broker::cli
