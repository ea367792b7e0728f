#pragma once
// JSON in and out for the custom resources. Reading fails with kInvalidArgument, naming the field,
// where a value is not of the kind that the definition promises; it never throws.
#include <nlohmann/json_fwd.hpp>

#include "broker/base/status.h"
#include "operator/api/stream.h"
#include "operator/api/stream_cluster.h"
#include "operator/api/stream_user.h"

namespace sluice_operator::api {

broker::Result<Metadata> read_metadata(const nlohmann::json& object);
broker::Result<StreamCluster> read_stream_cluster(const nlohmann::json& object);
broker::Result<Stream> read_stream(const nlohmann::json& object);
broker::Result<StreamUser> read_stream_user(const nlohmann::json& object);

nlohmann::json spec_to_json(const StreamClusterSpec& spec);
// `metadata_name` decides whether spec.name must be written.
nlohmann::json spec_to_json(const StreamSpec& spec, const std::string& metadata_name);
nlohmann::json status_to_json(const StreamClusterStatus& status);
nlohmann::json status_to_json(const StreamStatus& status);
nlohmann::json status_to_json(const StreamUserStatus& status);

}  // namespace sluice_operator::api
