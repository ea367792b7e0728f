#include "operator/apply/apply.h"

#include <cmath>
#include <cstdlib>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>

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

// A Kubernetes quantity ("500m", "1Gi", 2) as a number; nothing when it is none.
std::optional<double> quantity(const Json& value) {
  if (value.is_number()) return value.get<double>();
  if (!value.is_string()) return std::nullopt;
  const std::string& text = value.get_ref<const std::string&>();
  char* end = nullptr;
  const double number = std::strtod(text.c_str(), &end);
  if (end == text.c_str()) return std::nullopt;
  static const std::map<std::string, double> kSuffixes = {
      {"", 1},        {"n", 1e-9},    {"u", 1e-6},   {"m", 1e-3},   {"k", 1e3},
      {"M", 1e6},     {"G", 1e9},     {"T", 1e12},   {"P", 1e15},   {"E", 1e18},
      {"Ki", 0x1p10}, {"Mi", 0x1p20}, {"Gi", 0x1p30}, {"Ti", 0x1p40}, {"Pi", 0x1p50},
      {"Ei", 0x1p60}};
  auto suffix = kSuffixes.find(end);
  if (suffix == kSuffixes.end()) return std::nullopt;
  return number * suffix->second;
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

broker::Result<bool> apply_object(kube::Client& client, const kube::ResourceType& type,
                                  const Json& wanted, const kube::JsonPtr& live) {
  if (live && holds(wanted, *live)) return false;
  auto written = client.apply(type, wanted);
  if (!written.ok()) return written.status().with_context(type.kind);
  bool changed = !live || kube::metadata_text(*written, "resourceVersion") !=
                              kube::metadata_text(*live, "resourceVersion");
  if (changed) {
    broker::log_info("apply", live ? "changed" : "created",
                     {{"kind", type.kind}, {"object", kube::key_of(wanted).to_string()}});
  }
  return changed;
}

}  // namespace sluice_operator::apply
