#include "operator/apply/apply.h"

#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>

#include "broker/base/log.h"
#include "operator/api/quantity.h"

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

std::optional<double> quantity(const Json& value) {
  if (value.is_number()) return value.get<double>();
  return value.is_string() ? api::quantity(value.get<std::string>()) : std::nullopt;
}

// The server writes quantities in its own way: 0.5 as 500m, 1024Mi as 1Gi.
bool holds_quantities(const Json& wanted, const Json& live) {
  for (const auto& [name, value] : wanted.items()) {
    auto it = live.find(name);
    if (it == live.end()) return false;
    if (value == *it) continue;
    auto a = quantity(value), b = quantity(*it);
    if (!a || !b || std::abs(*a - *b) > 1e-12 * std::abs(*a)) return false;
  }
  return true;
}

bool holds_field(const std::string& name, const Json& wanted, const Json& live) {
  const bool quantities = (name == "requests" || name == "limits") && wanted.is_object();
  if (quantities && live.is_object()) return holds_quantities(wanted, live);
  return holds(wanted, live);
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
    if (!holds_field(key, value, *it)) return false;
  }
  return true;
}

Json merge_difference(const Json& before, const Json& after) {
  Json patch = Json::object();
  for (const auto& [name, value] : before.items()) {
    if (!after.contains(name)) patch[name] = nullptr;
  }
  for (const auto& [name, value] : after.items()) {
    auto old = before.find(name);
    if (old == before.end()) {
      patch[name] = value;
    } else if (value.is_object() && old->is_object()) {
      Json inner = merge_difference(*old, value);
      if (!inner.empty()) patch[name] = std::move(inner);
    } else if (value != *old) {
      patch[name] = value;
    }
  }
  return patch;
}

namespace {

// Whose `live` is: "StreamCluster 'orders'", "something else". Empty: the cluster's.
std::string stranger(const Json& live, const std::string& uid, const std::string& cluster) {
  const Json none = Json::object();
  std::string controller;
  for (const auto& owner : live.value("/metadata/ownerReferences"_json_pointer, Json::array())) {
    if (owner.value("uid", std::string()) == uid) return {};
    if (!owner.value("controller", false)) continue;
    controller = owner.value("kind", std::string()) + " '" + owner.value("name", std::string()) + "'";
  }
  if (controller == "StreamCluster '" + cluster + "'") return "an earlier " + controller;
  if (!controller.empty()) return controller;
  const Json labels = live.value("/metadata/labels"_json_pointer, none);
  const bool ours = labels.value("app.kubernetes.io/managed-by", std::string()) == "sluice-operator" &&
                    labels.value("app.kubernetes.io/instance", cluster) == cluster;
  return ours ? "" : "something else";
}

}  // namespace

broker::Status check_owner(const Json& live, const std::string& kind, const std::string& uid,
                           const std::string& cluster) {
  const std::string whose = stranger(live, uid, cluster);
  if (whose.empty()) return {};
  return {broker::Code::kAlreadyExists, kind + " " + kube::metadata_text(live, "name") +
                                            " belongs to " + whose +
                                            ", and is left alone; rename the StreamCluster or remove it"};
}

broker::Result<bool> apply_object(kube::Client& client, const kube::ResourceType& type,
                                  const Json& wanted, const kube::JsonPtr& cached) {
  kube::JsonPtr live = cached;
  if (!live) {
    const auto key = kube::key_of(wanted);
    auto found = client.get(type, key.ns, key.name);
    if (!found.ok() && found.code() != broker::Code::kNotFound) {
      return found.status().with_context(type.kind);
    }
    if (found.ok()) live = std::make_shared<const Json>(std::move(*found));
  }
  const Json owners = wanted.value("/metadata/ownerReferences"_json_pointer, Json::array());
  if (live && !owners.empty()) {
    RETURN_IF_ERROR(check_owner(*live, type.kind, owners[0].value("uid", std::string()),
                                owners[0].value("name", std::string())));
  }
  if (live && holds(wanted, *live)) return false;
  bool created = false;
  kube::ApplyOptions options;
  options.created = &created;
  auto written = client.apply(type, wanted, options);
  if (!written.ok()) return written.status().with_context(type.kind);
  // A cache that has not seen our own creation yet makes us apply once more, which changes nothing.
  bool changed = created || (live && kube::metadata_text(*written, "resourceVersion") !=
                                         kube::metadata_text(*live, "resourceVersion"));
  if (changed) {
    broker::log_info("apply", created ? "created" : "changed",
                     {{"kind", type.kind}, {"object", kube::key_of(wanted).to_string()}});
  }
  return changed;
}

}  // namespace sluice_operator::apply
