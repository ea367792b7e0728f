#include "operator/apply/apply.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "broker/base/log.h"

namespace sluice_operator::apply {

using kube::Json;

namespace {

const Json* named(const Json& list, const std::string& name) {
  for (const auto& element : list) {
    if (element.is_object() && element.value("name", std::string()) == name) return &element;
  }
  return nullptr;
}

bool holds_list(const Json& wanted, const Json& live) {
  if (!live.is_array() || wanted.size() != live.size()) return false;
  for (size_t i = 0; i < wanted.size(); i++) {
    bool by_name = wanted[i].is_object() && wanted[i].contains("name") && wanted[i]["name"].is_string();
    const Json* other = by_name ? named(live, wanted[i]["name"].get<std::string>()) : &live[i];
    if (!other || !holds(wanted[i], *other)) return false;
  }
  return true;
}

}  // namespace

bool holds(const Json& wanted, const Json& live) {
  if (wanted.is_array()) return holds_list(wanted, live);
  if (!wanted.is_object()) return wanted == live;
  if (!live.is_object()) return wanted.empty() && live.is_null();
  for (const auto& [key, value] : wanted.items()) {
    auto it = live.find(key);
    if (it == live.end()) {
      // The server leaves out what is empty.
      bool empty = (value.is_object() || value.is_array()) && value.empty();
      if (!empty) return false;
      continue;
    }
    if (!holds(value, *it)) return false;
  }
  return true;
}

broker::Result<bool> apply_object(kube::Client& client, const kube::ResourceType& type,
                                  const Json& wanted, const kube::JsonPtr& live) {
  if (live && holds(wanted, *live)) return false;
  auto written = client.apply(type, wanted);
  if (!written.ok()) return written.status().with_context(type.kind);
  // A value that the server writes differently (1Gi as 1024Mi) is no change.
  bool changed = !live || kube::metadata_text(*written, "resourceVersion") !=
                              kube::metadata_text(*live, "resourceVersion");
  if (changed) {
    broker::log_info("apply", live ? "changed" : "created",
                     {{"kind", type.kind}, {"object", kube::key_of(wanted).to_string()}});
  }
  return changed;
}

}  // namespace sluice_operator::apply
