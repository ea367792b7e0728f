#pragma once
// Parts of plan that the objects share. Pure; private to plan.
#include <string>

#include <nlohmann/json_fwd.hpp>

#include "operator/plan/stream_cluster.h"

namespace sluice_operator::plan {

// An object with the cluster's namespace, the standard labels and the cluster as its owner.
nlohmann::json child(const api::StreamCluster& cluster, const std::string& api_version,
                     const std::string& kind, const std::string& name);
// Notes the hash of all the rest in the object.
void seal(nlohmann::json& object);
// 64 bits of FNV-1a in hexadecimal: tells versions of our own text apart, no more.
std::string text_hash(const std::string& text);

// The brokers' broker.yaml.
std::string broker_config(const PlanInput& input);
nlohmann::json config_map(const PlanInput& input);
nlohmann::json stateful_set(const PlanInput& input);

}  // namespace sluice_operator::plan
