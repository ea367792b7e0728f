#include "operator/metadata/user_acls.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "broker/security/acls/acls.h"

namespace sluice_operator::metadata {

namespace v1 = ::sluice::v1;
namespace acls = broker::security::acls;
using kube::Json;
using Rule = api::StreamUserSpec::Rule;

namespace {

constexpr const char* kCluster = "Cluster";
constexpr const char* kClusterName = "kafka-cluster";

v1::Acl acl_of(const Rule& rule, const std::string& operation) {
  v1::Acl acl;
  acl.set_resource(rule.resource);
  acl.set_name(rule.name.empty() && rule.resource == kCluster ? kClusterName : rule.name);
  acl.set_prefix(rule.prefix);
  acl.set_operation(operation);
  acl.set_deny(rule.deny);
  acl.set_host(rule.host);
  return acl;
}

// Its index; the list's size when it is not there.
size_t find_same(const std::vector<v1::Acl>& list, const v1::Acl& acl) {
  auto it = std::find_if(list.begin(), list.end(),
                         [&](const v1::Acl& other) { return acls::same(acl, other); });
  return static_cast<size_t>(it - list.begin());
}

Json rule_of(const v1::Acl& acl) {
  Json rule{{"resource", acl.resource()},
            {"name", acl.name()},
            {"operations", Json::array({acl.operation()})}};
  if (acl.prefix()) rule["prefix"] = true;
  if (acl.deny()) rule["effect"] = "Deny";
  if (acls::host_of(acl) != acls::kAny) rule["host"] = acl.host();
  return rule;
}

}  // namespace

std::vector<v1::Acl> acls_of(const api::StreamUserSpec& spec) {
  std::vector<v1::Acl> out;
  for (const Rule& rule : spec.acls) {
    for (const auto& operation : rule.operations) out.push_back(acl_of(rule, operation));
  }
  return out;
}

bool add_acls(Json& object, const api::StreamUserSpec& spec, const std::vector<v1::Acl>& wanted) {
  std::vector<v1::Acl> known = acls_of(spec);
  Json& rules = object["spec"]["acls"];
  if (!rules.is_array()) rules = Json::array();
  // What each rule of the resource is about, whatever its operations.
  std::vector<v1::Acl> about;
  for (const Rule& rule : spec.acls) about.push_back(acl_of(rule, ""));
  const size_t before = known.size();
  for (const v1::Acl& acl : wanted) {
    if (find_same(known, acl) < known.size()) continue;
    known.push_back(acl);
    v1::Acl without = acl;
    without.clear_operation();
    const size_t rule = find_same(about, without);
    if (rule < about.size()) {
      rules[rule]["operations"].push_back(acl.operation());
    } else {
      rules.push_back(rule_of(acl));
      about.push_back(without);
    }
  }
  return known.size() != before;
}

bool remove_acls(Json& object, const api::StreamUserSpec& spec,
                 const std::function<bool(const v1::Acl&)>& leaves) {
  Json rules = Json::array();
  bool changed = false;
  for (size_t i = 0; i < spec.acls.size(); i++) {
    const Rule& rule = spec.acls[i];
    Json operations = Json::array();
    for (const auto& operation : rule.operations) {
      if (!leaves(acl_of(rule, operation))) operations.push_back(operation);
    }
    const bool whole = operations.size() == rule.operations.size();
    changed |= !whole;
    if (operations.empty() && !whole) continue;
    rules.push_back(object["spec"]["acls"][i]);
    if (!whole) rules.back()["operations"] = operations;
  }
  if (!changed) return false;
  if (rules.empty())
    object["spec"].erase("acls");
  else
    object["spec"]["acls"] = rules;
  return true;
}

}  // namespace sluice_operator::metadata
