#pragma once
// What `sluice autoscale plot` draws and `sluice why` tells: the scaling of a stream's shards or of
// a cluster's brokers over time, from the decisions in a status or from the operator's metrics in a
// Prometheus. Pure.
#include <nlohmann/json.hpp>
#include <string>

#include "broker/base/status.h"
#include "operator/autoscale/timeline.h"

namespace broker::cli {

// As kubectl names things: "clicks" and "stream/clicks" are a stream, "cluster/quickstart" a
// cluster.
struct ScalingOf {
  bool cluster = false;
  std::string name;

  const char* kind() const { return cluster ? "StreamCluster" : "Stream"; }
  const char* resources() const {
    return cluster ? "streamclusters.sluice.dev" : "streams.sluice.dev";
  }
};
ScalingOf parse_scaling_of(const std::string& word);

// The member at `pointer` where it is of the type of `otherwise`.
nlohmann::ordered_json member(const nlohmann::ordered_json& object, const char* pointer,
                              nlohmann::ordered_json otherwise);
// A decision of a status, with its inputs, as lines.
std::string described(const nlohmann::ordered_json& decision);

// Of a Stream or StreamCluster. kNotFound when nothing has been decided.
Result<sluice_operator::autoscale::Timeline> timeline_of_status(
    const ScalingOf& of, const nlohmann::ordered_json& resource);

// Of the series in a Prometheus; `namespace` empty: of all.
std::string plot_query(const ScalingOf& of, const std::string& ns);
// From the answer of /api/v1/query_range to plot_query(). kNotFound when it holds no series.
Result<sluice_operator::autoscale::Timeline> timeline_of_answer(const ScalingOf& of,
                                                                const std::string& body);

}  // namespace broker::cli
