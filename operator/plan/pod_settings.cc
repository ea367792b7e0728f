#include "operator/plan/pod_settings.h"

#include <nlohmann/json.hpp>

#include "operator/plan/objects.h"
#include "operator/plan/stream_cluster.h"

namespace sluice_operator::plan {

using Json = nlohmann::json;

namespace {

constexpr const char* kKinesisFlag = "kinesis";  // of the broker; absent: without TLS

Json to_json(const PodSettings& settings) {
  Json out = {{"image", settings.image},
              {"requests", settings.requests},
              {"limits", settings.limits},
              {"zoneKey", settings.zone_key},
              {"coordinator", settings.coordinator_address}};
  // Absent without one: pods that began before there was such a setting keep their hash.
  if (!settings.kinesis_secret.empty()) out["kinesisSecret"] = settings.kinesis_secret;
  if (!settings.listeners.empty()) out["listeners"] = settings.listeners;
  if (!settings.pod.empty()) out["pod"] = Json::parse(settings.pod);
  if (!settings.broker.empty()) out["broker"] = settings.broker;
  return out;
}

// Defaults are left out, so that pods which began without them keep their hash.
std::map<std::string, std::string> broker_settings(const api::StreamClusterSpec& spec) {
  const api::StreamClusterSpec::Kafka defaults;
  std::map<std::string, std::string> out;
  if (spec.kafka.auto_create_topics != defaults.auto_create_topics) {
    out["auto-create-topics"] = spec.kafka.auto_create_topics ? "true" : "false";
  }
  if (spec.kafka.num_partitions != defaults.num_partitions) {
    out["num-partitions"] = std::to_string(spec.kafka.num_partitions);
  }
  if (spec.kinesis.tls) out[kKinesisFlag] = "0.0.0.0:" + std::to_string(kKinesisPort) + ";tls";
  return out;
}

const char* words_of(const api::StreamClusterSpec::Listener& listener) {
  switch (listener.authentication) {
    case api::ListenerAuthentication::kNone: return listener.tls ? ";tls" : "";
    case api::ListenerAuthentication::kScram: return listener.tls ? ";tls;sasl" : ";sasl";
    case api::ListenerAuthentication::kTls: return ";mtls";
  }
  return "";
}

std::string listeners_text(const api::StreamClusterSpec& spec) {
  std::string text;
  for (const auto& listener : spec.listeners) {
    text += (text.empty() ? "" : ",") + listener.name + "=:" + std::to_string(listener.port) +
            words_of(listener);
  }
  return text;
}

}  // namespace

bool PodSettings::tls_for_clients() const { 
  return listeners.find(";tls") != std::string::npos ||
         listeners.find(";mtls") != std::string::npos || broker.contains(kKinesisFlag);
}

std::string PodSettings::hash() const { return text_hash(to_json(*this).dump()); }

std::string PodSettings::to_text() const {
  Json json = to_json(*this);
  json["imagePullPolicy"] = image_pull_policy;
  return json.dump();
}

PodSettings pod_settings(const api::StreamClusterSpec& spec, const std::string& default_image,
                         const std::string& coordinator_address) {
  return {spec.image.empty() ? default_image : spec.image,
          spec.image_pull_policy,
          spec.requests,
          spec.limits_of_pod,
          spec.zone_key,
          coordinator_address,
          spec.kinesis.credentials_secret,
          listeners_text(spec),
          spec.pod,
          broker_settings(spec)};
}

std::optional<PodSettings> read_pod_settings(const std::string& text) {
  Json json = Json::parse(text, nullptr, false);
  if (!json.is_object()) return std::nullopt;
  PodSettings out;
  auto read_text = [&](const char* name, std::string& to) {
    auto it = json.find(name);
    if (it == json.end() || !it->is_string()) return false;
    to = it->get<std::string>();
    return true;
  };
  auto read_map = [&](const char* name, std::map<std::string, std::string>& to) {
    auto it = json.find(name);
    if (it == json.end()) return false;
    if (it->is_null()) return true;
    if (!it->is_object()) return false;
    for (const auto& [key, value] : it->items()) {
      if (!value.is_string()) return false;
      to[key] = value.get<std::string>();
    }
    return true;
  };
  bool whole = read_text("image", out.image) && read_text("imagePullPolicy", out.image_pull_policy) &&
               read_map("requests", out.requests) && read_map("limits", out.limits) &&
               read_text("zoneKey", out.zone_key) &&
               read_text("coordinator", out.coordinator_address);
  if (!whole) return std::nullopt;
  if (json.contains("kinesisSecret") && !read_text("kinesisSecret", out.kinesis_secret)) {
    return std::nullopt;
  }
  if (json.contains("pod")) {
    if (!json["pod"].is_object()) return std::nullopt;
    out.pod = json["pod"].dump();
  }
  if (json.contains("broker") && !read_map("broker", out.broker)) return std::nullopt;
  if (json.contains("listeners") && !read_text("listeners", out.listeners)) return std::nullopt;
  return out;
}

}  // namespace sluice_operator::plan
